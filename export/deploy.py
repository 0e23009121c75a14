"""The lowered network as a Keras model: on every backend, to be saved, timed or exported to ONNX."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import InputError
from .graph import from_keras
from .lowering.guard import Lowered, lower_under
from .lowering.parity import Parity
from .lowering.passes import choose
from .rebuild import to_keras
from .schemes import Scheme

if TYPE_CHECKING:
    import keras


def lower(
    model: "keras.Model",
    passes: str | Sequence[str] = "auto",
    *,
    scheme: Scheme = "float32",
    costs_of: str | None = None,
) -> "keras.Model":
    """The model in the form in which it is deployed: same inputs, same outputs up to rounding, fewer layers.

    Args:
        model: functional or sequential, of known input size.
        passes: "auto" (those that the measured costs speak for), "none" (what costs nothing alone), or names.
        scheme: what the model will be quantized to; int8 asks for other passes than float32.
        costs_of: the machine whose costs count, "this", or a .toml file; None takes what pays on every one measured.

    Raises:
        InputError: no functional model, an unknown pass or machine, or a layer that cannot be rebuilt as it is.
    """
    chosen = choose(passes, scheme, costs_of)
    return rebuilt(lower_under(from_keras(model), chosen, Parity.of(model)))


def rebuilt(lowered: Lowered) -> "keras.Model":
    """The model of a graph that was lowered under a check.

    Raises:
        InputError: a layer that cannot be rebuilt, or a graph that answers otherwise than the network.
    """
    model = to_keras(lowered.graph)
    if lowered.fault is not None:
        raise InputError(f"{model.name}: lowered it answers otherwise ({lowered.fault}); use the network as it is")
    return model
