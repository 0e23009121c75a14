"""Any network of the registry, built by its name, with what the weights asked for need of it."""

import inspect
from typing import TYPE_CHECKING, Any

from .errors import InputError, suggestion
from .registry import builder_of, info
from .weights.bundled import DATA_SETS, bundled

if TYPE_CHECKING:
    import keras


def create(name: str, /, **options: Any) -> "keras.Model":
    """Builds a network by name.

    Args:
        name: as in `list_models()`.
        options: those of its builder, e.g. `weights`, `classes`, `input_shape`; a published checkpoint chooses the
            `variant` that it needs, bundled weights the input shape, the classes and whatever else is theirs.

    Raises:
        InputError: no such network, no such option, or an argument out of its limits.
    """
    build = builder_of(name)
    known = inspect.signature(build).parameters
    unknown = [option for option in options if option not in known]
    if unknown:
        hint = suggestion(unknown[0], known)
        raise InputError(f"{info(name).name} has no option {unknown[0]!r}; {hint}it takes {', '.join(known)}")
    if "variant" in known and "variant" not in options:
        from .weights.catalogue import variant_of

        if variant := variant_of(options.get("weights"), info(name).name):
            options["variant"] = variant
    own: dict[str, Any] = {}
    if options.get("weights") in DATA_SETS:
        own = bundled(options["weights"], info(name).name).defaults()
    return build(**{"name": info(name).name, **info(name).options, **own, **options})
