"""Layers that combine maps, value by value."""

import numpy as np

from ...graph import Node, Shape
from ...lowering.affine import is_affine, scale_and_shift
from .registry import Call, rule

PAIRWISE = {"Add": "Add", "Multiply": "Mul", "Subtract": "Sub", "Maximum": "Max", "Minimum": "Min"}
MERGES = (*PAIRWISE, "Average")  # which are of one rank when they are written, see `layout.of_one_rank`


@rule(*PAIRWISE)
def combine(call: Call) -> None:
    """Pairwise from the left, as Keras does."""
    op, (left, *others) = PAIRWISE[call.node.op], call.inputs
    for index, right in enumerate(others[:-1], start=1):
        left = call.step(op, [left, right], str(index))
    call.last(op, [left, others[-1]] if others else [left])


def _are_two(node: Node, shapes: tuple[Shape, ...]) -> bool:
    """Both tensors of the graph, of one rank: the call keeps no constant."""
    return len(shapes) == 2 and len(shapes[0]) == len(shapes[1])


@rule("keras.src.ops.numpy.Divide", "keras.src.ops.numpy.TrueDivide", where=_are_two)
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


@rule("Average")
def average(call: Call) -> None:
    left, *others = call.inputs
    for index, right in enumerate(others):
        left = call.step("Add", [left, right], str(index))
    call.last("Mul", [left, call.constant("share", np.float32(1 / len(call.inputs)))])


def _is_by_channel(node: Node, shapes: tuple[Shape, ...]) -> bool:
    return is_affine(node)


@rule("Normalization", "Rescaling", where=_is_by_channel)
def affine(call: Call) -> None:
    """scale * x + shift, the shift left out where it is 0."""
    place = (-1, 1, 1) if len(call.node.shape) == 3 else (-1,)
    scale, shift = (value.astype(np.float32).reshape(place) for value in scale_and_shift(call.node))
    if not np.any(shift):
        call.last("Mul", [call.inputs[0], call.constant("scale", scale)])
        return
    scaled = call.step("Mul", [call.inputs[0], call.constant("scale", scale)], "scaled")
    call.last("Add", [scaled, call.constant("offset", shift)])
