"""Layers that combine maps, value by value."""

import numpy as np

from ...graph import Node, Shape
from .registry import Call, rule

PAIRWISE = {"Add": "Add", "Multiply": "Mul", "Subtract": "Sub", "Maximum": "Max", "Minimum": "Min"}


def _of_one_rank(node: Node, shapes: tuple[Shape, ...]) -> bool:
    return len({len(shape) for shape in shapes}) == 1


@rule(*PAIRWISE, where=_of_one_rank)
def combine(call: Call) -> None:
    """Pairwise from the left, as Keras does."""
    op, (left, *others) = PAIRWISE[call.node.op], call.inputs
    for index, right in enumerate(others[:-1], start=1):
        left = call.step(op, [left, right], str(index))
    call.last(op, [left, others[-1]] if others else [left])


@rule("keras.src.ops.numpy.Divide", "keras.src.ops.numpy.TrueDivide", where=_of_one_rank)
def divide(call: Call) -> None:
    call.last("Div", list(call.inputs))


UNARY = {
    "keras.src.ops.numpy.Abs": "Abs",
    "keras.src.ops.numpy.Absolute": "Abs",
    "keras.src.ops.numpy.Sqrt": "Sqrt",
}


@rule(*UNARY)
def unary(call: Call) -> None:
    call.last(UNARY[call.node.op], list(call.inputs))


@rule("keras.src.ops.numpy.Square")
def square(call: Call) -> None:
    call.last("Mul", [call.inputs[0], call.inputs[0]])


@rule("keras.src.ops.math.Rsqrt")
def inverse_root(call: Call) -> None:
    call.last("Reciprocal", [call.step("Sqrt", list(call.inputs), "root")])


@rule("MapScale")
def map_scale(call: Call) -> None:
    (factors,) = call.node.weights
    call.last("Mul", [call.inputs[0], call.constant("factors", factors.transpose(2, 0, 1))])


@rule("Average", where=_of_one_rank)
def average(call: Call) -> None:
    left, *others = call.inputs
    for index, right in enumerate(others):
        left = call.step("Add", [left, right], str(index))
    call.last("Mul", [left, call.constant("share", np.float32(1 / len(call.inputs)))])


@rule("Rescaling")
def rescaling(call: Call) -> None:
    scale, offset = (_per_channel(call.node.config[key], call.node.shape) for key in ("scale", "offset"))
    _affine(call, scale, offset)


@rule("Normalization")
def normalization(call: Call) -> None:
    """(x - mean) / max(sqrt(variance), epsilon), or back."""
    mean, variance = (np.reshape(w, -1) for w in _statistics(call.node))
    deviation = np.maximum(np.sqrt(variance), 1e-7)  # keras.config.epsilon()
    if call.node.config.get("invert"):
        scale, offset = np.broadcast_arrays(deviation, mean)
    else:
        scale, offset = 1 / deviation, -mean / deviation
    _affine(call, _per_channel(scale, call.node.shape), _per_channel(offset, call.node.shape))


def _statistics(node: Node) -> tuple[np.ndarray, np.ndarray]:
    """Adapted ones are weights, given ones stand in the configuration."""
    if node.config.get("mean") is not None:
        return np.asarray(node.config["mean"], np.float32), np.asarray(node.config["variance"], np.float32)
    return node.weights[0], node.weights[1]


def _affine(call: Call, scale: np.ndarray, offset: np.ndarray) -> None:
    if not np.any(offset):
        call.last("Mul", [call.inputs[0], call.constant("scale", scale)])
        return
    scaled = call.step("Mul", [call.inputs[0], call.constant("scale", scale)], "scaled")
    call.last("Add", [scaled, call.constant("offset", offset)])


def _per_channel(value: object, shape: Shape) -> np.ndarray:
    """A scalar, or a value for each channel as it broadcasts over channels first."""
    array = np.asarray(value, np.float32)
    return (
        array.reshape(-1, 1, 1) if array.size > 1 and len(shape) == 3 else array.reshape(-1 if array.size > 1 else ())
    )
