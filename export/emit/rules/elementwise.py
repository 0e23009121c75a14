"""Sums, products and the like, of tensors and of constants."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ...graph import Node, is_by_channel
from .registry import Call, rule

KINDS: dict[str, tuple[str, type]] = {
    "Add": ("ADD", schema.AddOptionsT),
    "Average": ("ADD", schema.AddOptionsT),
    "Maximum": ("MAXIMUM", schema.MaximumMinimumOptionsT),
    "Minimum": ("MINIMUM", schema.MaximumMinimumOptionsT),
    "Multiply": ("MUL", schema.MulOptionsT),
    "Subtract": ("SUB", schema.SubOptionsT),
}
FUSING = ("ADD", "MUL", "SUB", "DIV")
DIVISIONS = ("keras.src.ops.numpy.Divide", "keras.src.ops.numpy.TrueDivide")


def _has_several(node: Node) -> bool:
    return len(node.inputs) > 1


@rule(*KINDS, when=_has_several)
def combine(call: Call) -> Any:
    """Pairwise from the left, as Keras does; an average is a sum and a product."""
    kind, options = KINDS[call.node.op]
    average = call.node.op == "Average"
    left, *others = _of_one_rank(call)
    for index, right in enumerate(others, start=1):
        last = index == len(others)
        if last and not average:
            written = call.operator(kind, [left, right], options=options())
            return written if kind in FUSING else None
        shape = np.broadcast_shapes(call.shape(left), call.shape(right))
        left = call.step(str(index), kind, [left, right], options(), shape)
    share = call.constant("share", 1 / len(call.inputs))
    return call.operator("MUL", [left, share], options=schema.MulOptionsT())


def _of_one_rank(call: Call) -> list[int]:
    """The inputs, smaller ones with axes of 1 behind the batch, as Keras has them; of one image LiteRT sees to it."""
    shapes, found = {i: call.shape(i) for i in call.inputs}, []
    rank = max(map(len, shapes.values()))
    for place, tensor in enumerate(call.inputs):
        batch, *sides = shapes[tensor]
        if batch > 1 and len(sides) + 1 < rank:
            shape = (batch, *(1,) * (rank - len(sides) - 1), *sides)
            target = call.constant(f"{place}/shape", shape, np.int32)
            tensor = call.step(f"{place}/reshaped", "RESHAPE", [tensor, target], None, shape)
        found.append(tensor)
    return found


@rule(*DIVISIONS, when=_has_several)
def divide(call: Call) -> Any:
    return call.operator("DIV", call.inputs, options=schema.DivOptionsT())


def _per_channel(node: Node) -> bool:
    """Scale and offset are numbers, or vectors over the last axis."""
    return all(is_by_channel(node.config[key], node.shape) for key in ("scale", "offset"))


@rule("Rescaling", when=_per_channel)
def rescaling(call: Call) -> Any:
    """scale * x + offset, of which a part that does nothing is left out."""
    scale, offset = (np.asarray(call.config[key], np.float32).ravel() for key in ("scale", "offset"))
    return scale_and_shift(call, call.inputs[0], scale, offset)


def scale_and_shift(call: Call, source: int, scale: np.ndarray, offset: np.ndarray) -> Any:
    """MUL and ADD by constants, (channels,) or (1,), to the node's output."""
    if (scale != 1).any() or not offset.any():
        factor = call.constant("scale", scale)
        if not offset.any():
            return call.operator("MUL", [source, factor], options=schema.MulOptionsT())
        source = call.step("scaled", "MUL", [source, factor], schema.MulOptionsT())
    return call.operator("ADD", [source, call.constant("offset", offset)], options=schema.AddOptionsT())


@rule("MapScale")
def map_scale(call: Call) -> Any:
    """Each position by a constant of its own: (h, w, 1)."""
    factors = call.constant("factors", call.node.weights[0][None])
    return call.operator("MUL", [*call.inputs, factors], options=schema.MulOptionsT())


UNARY = {
    f"keras.src.ops.numpy.{name}": (kind, options)
    for name, kind, options in (
        ("Abs", "ABS", schema.AbsOptionsT),
        ("Absolute", "ABS", schema.AbsOptionsT),
        ("Sqrt", "SQRT", None),
        ("Square", "SQUARE", schema.SquareOptionsT),
    )
} | {"keras.src.ops.math.Rsqrt": ("RSQRT", None)}


@rule(*UNARY)
def unary(call: Call) -> None:
    kind, options = UNARY[call.node.op]
    call.operator(kind, call.inputs, options=options() if options else None)
