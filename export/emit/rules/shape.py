"""What moves values without changing them."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ...graph import Node
from .registry import Call, rule


def _is_not_the_batch(node: Node) -> bool:
    return node.config["axis"] != 0 and node.config["axis"] != -len(node.shape) - 1


@rule("Concatenate", when=_is_not_the_batch)
def concatenation(call: Call) -> None:
    options = schema.ConcatenationOptionsT()
    options.axis = call.config["axis"] % (len(call.node.shape) + 1)
    call.operator("CONCATENATION", call.inputs, options=options)


@rule("ZeroPadding2D")
def zero_padding(call: Call) -> None:
    _pad(call, [(0, 0), *call.config["padding"], (0, 0)])


@rule("ChannelPad")
def channel_pad(call: Call) -> None:
    _pad(call, [(0, 0), (0, 0), (0, 0), (call.config["before"], call.config["after"])])


@rule("Cropping2D")
def cropping(call: Call) -> None:
    (top, _), (left, _) = call.config["cropping"]
    slice_(call, (0, top, left, 0))


@rule("Slice")
def slice_of_each_image(call: Call) -> None:
    slice_(call, (0, *call.config["begin"]))


def slice_(call: Call, begin: tuple[int, ...]) -> None:
    """As large as the output."""
    bounds = [call.constant("begin", begin, np.int32), call.constant("size", call.shape(call.outputs[0]), np.int32)]
    call.operator("SLICE", [*call.inputs, *bounds], options=schema.SliceOptionsT())


@rule("ChannelSplit")
def split(call: Call) -> None:
    options = schema.SplitOptionsT()
    options.numSplits = len(call.outputs)
    call.operator("SPLIT", [call.constant("axis", 3, np.int32), *call.inputs], options=options)


SPLIT = "keras.src.ops.numpy.Split"


@rule(SPLIT, when=lambda node: node.config["axis"] not in (0, -len(node.shapes[0]) - 1))
def split_by_slices(call: Call) -> None:
    """Slices, which delegates take, for SPLIT_V, which they do not."""
    axis, start = call.config["axis"] % len(call.shape(call.inputs[0])), 0
    for i, output in enumerate(call.outputs):
        size = call.shape(output)
        begin = [start if a == axis else 0 for a in range(len(size))]
        bounds = [call.constant(f"{i}/begin", begin, np.int32), call.constant(f"{i}/size", size, np.int32)]
        call.operator("SLICE", [*call.inputs, *bounds], [output], schema.SliceOptionsT())
        start += size[axis]


@rule("ChannelShuffle")
def channel_shuffle(call: Call) -> None:
    """(n, h, w, g * c) as a matrix g x c for each pixel, transposed."""
    batch, height, width, channels = call.shape(call.outputs[0])
    groups = call.config["groups"]
    matrix = (batch, height * width, groups, channels // groups)
    grouped = reshape(call, call.inputs[0], call.between("grouped", matrix), "grouped")
    transposed = transpose(call, grouped, (0, 1, 3, 2), call.between("transposed", (*matrix[:2], *matrix[:1:-1])))
    reshape(call, transposed, call.outputs[0], "shuffled")


@rule("Permute")
def permute(call: Call) -> None:
    transpose(call, call.inputs[0], (0, *call.config["dims"]), call.outputs[0])


@rule("Flatten", "Reshape")
def reshaping(call: Call) -> None:
    reshape(call, call.inputs[0], call.outputs[0])


def reshape(call: Call, source: int, target: int, name: str = "") -> int:
    """Writes a RESHAPE between two tensors; returns the second."""
    options = schema.ReshapeOptionsT()
    options.newShape = np.array(call.shape(target), np.int32)
    shape = call.constant(f"{name}/shape" if name else "shape", options.newShape, np.int32)
    call.operator("RESHAPE", [source, shape], [target], options)
    return target


def transpose(call: Call, source: int, axes: tuple[int, ...], target: int) -> int:
    """Writes a TRANSPOSE between two tensors; returns the second."""
    permutation = call.constant("permutation", axes, np.int32)
    call.operator("TRANSPOSE", [source, permutation], [target], schema.TransposeOptionsT())
    return target


def _pad(call: Call, amounts: list[Any]) -> None:
    call.operator("PAD", [*call.inputs, call.constant("amounts", amounts, np.int32)], options=schema.PadOptionsT())
