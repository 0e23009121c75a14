"""A state into a model, by name and strictly."""

import json
import warnings
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ..errors import InputError
from ..files import refuse_overwrite, replacing
from ..preprocessing import Preprocessing
from .applications import from_applications, is_applications, require_their_function
from .bundled import DATA_SETS, all_bundled, bundled
from .catalogue import checkpoint, is_named, require_conventions
from .download import fetch_shown
from .files import State, read_state
from .torch import from_torch, is_torch

if TYPE_CHECKING:
    import keras

Channels = Literal["sum", "mean"]


class Adapted(UserWarning):
    """Weights were loaded into a network of another class or channel count."""


class UntrainedClassifier(Adapted):
    """The classifier has another class count than the file's and keeps its random initialisation."""


SHOWN = 6  # names an error lists of each kind
SAME = "build the network that the file is of, with the options that it was saved with"


def load_weights(
    model: "keras.Model",
    path: str | PathLike[str],
    *,
    classifiers: Sequence[str] = (),
    other_classes: bool = False,
    unused: Sequence[str] = (),
    variant: str | None = None,
    channels: Channels = "sum",
) -> None:
    """Loads a weights file into a model by the names of its layers and variables.

    Every variable must be in the file with its shape and nothing else may be, but for the first convolution where the
    channels differ (see `channels`), the classifier and auxiliary heads as below. Each adaptation is one warning.

    Args:
        model: a functional model; changed only if everything fits.
        path: a .safetensors, .npz, .weights.h5, .keras, .h5, .pth, .pt or .th file.
        classifiers: names of the model's classifiers.
        other_classes: leave a classifier as initialised where its shape differs, with a warning.
        unused: layer names, or prefixes of them, that the file may hold and the model lacks.
        variant: the conventions that the model was built by, "torch" or "keras", where known; a file of
            keras.applications is refused by another than its own.
        channels: what every channel of a first convolution gets that reads another number of them than the file's: the
            file's average ("mean"), or that scaled so that the sum over the channels stays ("sum"): equal channels then
            answer as in the file, a grey image in one channel as in three.

    Raises:
        InputError: an unreadable file, or names and shapes that do not fit, listed.
    """
    state = named(read_state(path), model, path, variant)
    variables = {name: tuple(v.shape) for name, v in _variables(model).items()}
    state = {name: value for name, value in state.items() if name in variables or not name.startswith(tuple(unused))}
    _adapt_channels(state, variables, path, channels)
    skipped = [f"{layer}/" for layer in classifiers if other_classes and _differs(state, variables, f"{layer}/kernel")]
    if skipped:
        warnings.warn(
            f"{path}: the classifier has another class count and keeps its random initialisation",
            UntrainedClassifier,
            stacklevel=2,
        )
        state = {name: value for name, value in state.items() if not name.startswith(tuple(skipped))}
        variables = {name: shape for name, shape in variables.items() if not name.startswith(tuple(skipped))}
    _require_match(state, variables, path, classifiers)
    assign(model, state)


def save_weights(
    model: "keras.Model", path: str | PathLike[str], *, preprocessing: Preprocessing | None = None, force: bool = True
) -> None:
    """Writes a model's state by name, whole or not at all: .safetensors or .npz.

    Args:
        model: a functional model.
        path: of the file.
        preprocessing: what the network was trained on; it travels with a .safetensors file, of an .npz file a warning
            says that it does not.
        force: replace an existing file.

    Raises:
        InputError: another suffix, an existing file without `force`, a place that cannot be written, or two variables
            of one name.
    """
    require_place(path, force=force)
    if preprocessing is not None and str(path).endswith(".npz"):
        warnings.warn(f"{path}: an .npz file keeps no preprocessing, a .safetensors file would", stacklevel=2)
    state = state_of(model)
    with replacing(path, force=force) as temporary:
        if str(path).endswith(".npz"):
            with temporary.open("wb") as file:
                np.savez(file, **state)  # type: ignore[arg-type]
        else:
            from safetensors.numpy import save_file

            spec = {} if preprocessing is None else {"preprocessing": json.dumps(preprocessing.to_dict())}
            save_file(state, temporary, {"format": "keras_cnnzoo", **spec})


def require_place(path: str | PathLike[str], *, preprocess: str | None = None, force: bool = True) -> None:
    """Raises InputError where weights, and what --preprocess says, could not be written; ask before long work."""
    if not str(path).endswith((".safetensors", ".npz")):
        raise InputError(f"{path}: weights are written as .safetensors or .npz; name it so")
    if preprocess is not None and str(path).endswith(".npz"):
        raise InputError(f"{path}: an .npz file keeps no --preprocess {preprocess}; write a .safetensors file")
    refuse_overwrite(path, force=force)


def located(
    weights: str | PathLike[str], network: str, model: "keras.Model", variant: str | None = None
) -> str | PathLike[str]:
    """The file that a builder's `weights` means: itself, or the checkpoint of that name, fetched.

    Args:
        weights: a path, or a checkpoint's name.
        network: the registry's name.
        model: as built; it must be what the checkpoint was trained with.
        variant: the conventions that it was built by, where its family has several.

    Raises:
        InputError: no such checkpoint, not to be fetched, or of another network.
    """
    if weights in DATA_SETS:
        return bundled(str(weights), network).path
    if not is_named(weights):
        return weights
    row = checkpoint(str(weights), network)
    require_conventions(model, row, variant)
    sides = tuple(model.inputs[0].shape[1:3])
    if sides != (row.size, row.size) and None not in sides:
        warnings.warn(
            f"{row.spec} was trained at {row.size}x{row.size}, {model.name} reads {sides[0]}x{sides[1]}: its top-1 is "
            "not the published one",
            stacklevel=5,
        )
    return fetch_shown(row)


def preprocessing_of(path: str | PathLike[str], network: str | None = None) -> Preprocessing | None:
    """What a weights file, or a network's checkpoint, says that it was trained on; None where it says nothing."""
    if network is not None and path in DATA_SETS:
        path = bundled(str(path), network).path
    if network is not None and is_named(path):
        return checkpoint(str(path), network).preprocessing
    if not str(path).endswith(".safetensors") or not Path(path).is_file():
        return None
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            said = (file.metadata() or {}).get("preprocessing")
        spec: Any = None if said is None else json.loads(said)
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(
            f"{path}: truncated, no .safetensors file, or one with broken metadata ({error}); write or fetch it again"
        ) from error
    return None if said is None else Preprocessing.from_dict(spec)


def state_of(model: "keras.Model") -> State:
    """The model's variables as arrays, by `layer/variable`."""
    return {name: np.asarray(value) for name, value in _values(model).items()}


def assign(model: "keras.Model", state: State) -> None:
    """Sets the variables of the names in `state`, whose shapes fit."""
    variables = _variables(model)
    for name, value in state.items():
        variables[name].assign(value)


def named(state: State, model: "keras.Model", path: Any, variant: str | None = None) -> State:
    """A state under the model's own names: torch's paths and keras.applications' names translated, numbers named."""
    layers = {layer.name: layer for layer in model.layers}
    if is_torch(state):
        return from_torch(state, layers)
    trained = {name: layer for name, layer in layers.items() if layer.weights}  # VGG's ReLUs are numbered, too
    if is_applications(state, trained):
        require_their_function(model, variant, path)
        state = from_applications(state, trained)
    return {_variable_name(name, model): value for name, value in state.items()}


def _variable_name(name: str, model: "keras.Model") -> str:
    """`layer/0` is the layer's first variable."""
    layer_name, _, number = name.rpartition("/")
    layer = next((layer for layer in model.layers if layer.name == layer_name), None)
    if number.isdigit() and layer is not None and int(number) < len(layer.weights):
        return f"{layer_name}/{layer.weights[int(number)].name}"
    return name


def _variables(model: "keras.Model") -> dict[str, Any]:
    """Each variable by `layer/variable`, or by the path to its inner layer where a layer holds a name twice."""
    found: dict[str, Any] = {}
    for name, variable in (pair for layer in model.layers for pair in _of_layer(layer)):
        if found.setdefault(name, variable) is not variable:
            raise InputError(f"{model.name}: two of its variables are {name}; give the layers names of their own")
    return found


def _of_layer(layer: Any) -> Iterator[tuple[str, Any]]:
    if len({variable.name for variable in layer.weights}) == len(layer.weights):
        yield from ((f"{layer.name}/{variable.name}", variable) for variable in layer.weights)
        return
    inner = layer._flatten_layers(include_self=False, recursive=False)
    of_inner = {id(variable) for part in inner for variable in part.weights}
    own = (variable for variable in layer.weights if id(variable) not in of_inner)
    yield from ((f"{layer.name}/{variable.name}", variable) for variable in own)
    yield from ((f"{layer.name}/{name}", variable) for part in inner for name, variable in _of_layer(part))


def _values(model: "keras.Model") -> dict[str, Any]:
    import keras

    return {name: keras.ops.convert_to_numpy(v.value) for name, v in _variables(model).items()}


def _differs(state: State, variables: dict[str, tuple[int, ...]], name: str) -> bool:
    return name in state and name in variables and state[name].shape != variables[name]


def _adapt_channels(state: State, variables: dict[str, tuple[int, ...]], path: Any, rule: Channels) -> None:
    """Gives the first convolution's kernel the model's channels by a rule of `load_weights`."""
    if rule not in get_args(Channels):
        raise InputError(f"channels={rule!r}: choose one of {', '.join(get_args(Channels))}")
    first = next((name for name in variables if name.endswith("/kernel") and len(variables[name]) == 4), None)
    if first is None or not _differs(state, variables, first):
        return
    kernel, wanted = state[first], variables[first]
    if kernel.ndim != 4 or (*kernel.shape[:2], kernel.shape[3]) != (*wanted[:2], wanted[3]):
        return
    mean = kernel.mean(axis=2, keepdims=True) * (kernel.shape[2] / wanted[2] if rule == "sum" else 1)
    state[first] = np.repeat(mean, wanted[2], axis=2).astype(kernel.dtype)
    kept = ", scaled so that their sum stays" if rule == "sum" else ""
    warnings.warn(
        f"{path}: {first} reads {kernel.shape[2]} channels, the model {wanted[2]}: its kernel was averaged over "
        f"them{kept}",
        Adapted,
        stacklevel=3,
    )


def _require_match(state: State, variables: dict[str, tuple[int, ...]], path: Any, classifiers: Sequence[str]) -> None:
    missing = [name for name in variables if name not in state]
    unexpected = [name for name in state if name not in variables]
    shapes = [
        f"{name} {state[name].shape} for {shape}"
        for name, shape in variables.items()
        if name in state and state[name].shape != shape
    ]
    faults = {"missing": missing, "unexpected": unexpected, "of the wrong shape": shapes}
    listed = [f"{len(names)} {kind}: {_listed(names)}" for kind, names in faults.items() if names]
    if listed:
        hint = _as_trained(path) or (SAME if missing or unexpected else _way_out(state, variables, classifiers))
        raise InputError(f"{path} does not fit the model: {'; '.join(listed)}; {hint}")


def _as_trained(path: Any) -> str:
    """How to build what a file of the package was trained as."""
    call = next((f"create({row.network!r}, weights={row.data!r})" for row in all_bundled() if row.path == path), None)
    return f"keras_cnnzoo.{call} builds the network that was trained" if call else ""


def _way_out(state: State, variables: dict[str, tuple[int, ...]], classifiers: Sequence[str]) -> str:
    """What differing shapes call for: the input size for a dense kernel's rows, the class count for classifiers."""
    pairs = {name: (state[name].shape, shape) for name, shape in variables.items() if state[name].shape != shape}
    if any(len(a) == len(b) == 2 and a[0] != b[0] and a[1] == b[1] for a, b in pairs.values()):
        return "pass the file's input_shape=...: a dense layer reads the whole map"
    answers = {*classifiers} or {[*variables][-1].rpartition("/")[0]}
    if {name.rpartition("/")[0] for name in pairs} <= answers:
        return "pass classes=... for another class count"
    return "the file is of another form of the network: see the builder's small_input, width, variant"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
