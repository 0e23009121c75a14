"""The MODEL of the command line: a network of the zoo, a Keras file, or a function of keras.applications."""

import inspect
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, first_line
from ..options import typed_options
from ..preprocessing import PRESETS
from .graph import functional
from .origin import Origin, State

if TYPE_CHECKING:
    import keras

APPLICATIONS = "keras.applications."
# what keras.applications' own preprocess_input does, by module
PREPROCESSING = {
    "convnext": "none",
    "densenet": "torch",
    "efficientnet": "none",
    "efficientnet_v2": "none",
    "inception_resnet_v2": "tf",
    "inception_v3": "tf",
    "mobilenet": "tf",
    "mobilenet_v2": "tf",
    "mobilenet_v3": "none",
    "nasnet": "torch",
    "resnet": "caffe",
    "resnet_v2": "tf",
    "vgg16": "caffe",
    "vgg19": "caffe",
    "xception": "tf",
}


def load(source: str, weights: str | None, settings: Sequence[str]) -> tuple["keras.Model", Origin]:
    """The model that `source` names and what is known of where it came from.

    Args:
        source: a registry name, a .keras or .h5 file, or keras.applications.NAME.
        weights: a file, "random", or None for a model file, which has its own.
        settings: "key=value" options of the builder.

    Raises:
        InputError: no such model or options, or weights missing where they are needed.
    """
    if source.endswith((".keras", ".h5")):
        if weights is not None or settings:
            raise InputError(f"{source}: a model file is exported as it is; drop --weights and --set")
        return _from_file(Path(source)), Origin(builder=Path(source).name)
    if weights is None:
        raise InputError(f"{source}: give --weights FILE, or --weights random if you mean it (for latency work)")
    if source.startswith(APPLICATIONS):
        return _from_applications(source, weights, settings)
    return _from_zoo(source, weights, settings)


def _from_file(path: Path) -> "keras.Model":
    if not path.is_file():
        raise InputError(f"{path}: no such file; name a .keras or .h5 file that is there")
    import keras

    from .. import layers  # noqa: F401  registers them, so that a saved network of the zoo finds its classes
    from ..archive import require_sound

    require_sound(path)
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: truncated, or not a Keras model ({first_line(error)}); save it again by model.save"
        ) from error
    functional(model)
    return model


def _from_applications(source: str, weights: str, settings: Sequence[str]) -> tuple["keras.Model", Origin]:
    import keras

    from ..weights import load_weights

    name = source.removeprefix(APPLICATIONS)
    build = getattr(keras.applications, name, None)
    if not inspect.isfunction(build):
        raise InputError(
            f"{source}: keras.applications has no function {name!r}; name one as in {APPLICATIONS}MobileNetV2"
        )
    options = {"classifier_activation": None} | typed_options(build, settings, source)
    model = _built(build, {"weights": None, **options})
    if weights != "random":
        load_weights(model, weights)
    known = PREPROCESSING.get(build.__module__.rpartition(".")[2])
    if not options.get("include_preprocessing", True):
        known = None
    state: State = "random" if weights == "random" else "trained"
    return model, Origin(state, source, options, PRESETS[known] if known else None)


def _from_zoo(source: str, weights: str, settings: Sequence[str]) -> tuple["keras.Model", Origin]:
    from ..by_name import create
    from ..registry import builder_of, info
    from ..weights import preprocessing_of
    from ..weights.load import UntrainedClassifier

    variant = info(source)
    options = {"classifier_activation": None} | typed_options(builder_of(source), settings, variant.name)
    if weights == "random":
        return create(source, **options), Origin("random", variant.name, options, PRESETS[variant.preprocess])
    known = preprocessing_of(weights, variant.name)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = create(source, weights=weights, **options)
    for each in said:
        warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    partly = any(issubclass(each.category, UntrainedClassifier) for each in said)
    return model, Origin("partly untrained" if partly else "trained", variant.name, options, known)


def _built(build: Callable[..., Any], options: dict[str, Any]) -> "keras.Model":
    try:
        return build(**options)
    except (ValueError, TypeError) as error:
        raise InputError(f"{build.__name__}: {first_line(error)}") from error
