"""Layers that move values without changing them. A Transpose appears where the graph itself asks for another order."""

import math

import numpy as np

from ...graph import Node, Shape
from ...lowering.patterns import shuffled
from ..writer import channels_first
from .registry import Call, axis, rule


def _is_not_the_batch(node: Node, shapes: tuple[Shape, ...]) -> bool:
    return node.config["axis"] not in (0, -len(shapes[0]) - 1)


@rule("Concatenate", where=_is_not_the_batch)
def concatenate(call: Call) -> None:
    call.last("Concat", list(call.inputs), axis=axis(call.node.config["axis"], len(call.node.shape)))


@rule("ZeroPadding2D")
def zero_padding(call: Call) -> None:
    (top, bottom), (left, right) = call.node.config["padding"]
    _pad(call, [0, 0, top, left, 0, 0, bottom, right])


@rule("ChannelPad")
def channel_pad(call: Call) -> None:
    _pad(call, [0, call.node.config["before"], 0, 0, 0, call.node.config["after"], 0, 0])


@rule("Cropping2D")
def cropping(call: Call) -> None:
    (top, bottom), (left, right) = call.node.config["cropping"]
    height, width, _ = call.shapes[0]
    starts, ends = call.constant("starts", [top, left]), call.constant("ends", [height - bottom, width - right])
    call.last("Slice", [call.inputs[0], starts, ends, call.constant("axes", [2, 3])])


@rule("Slice")
def part(call: Call) -> None:
    """`begin` and `size` of each axis behind the batch."""
    rank, begin = len(call.node.shape), call.node.config["begin"]
    ends = [start + size for start, size in zip(begin, call.node.config["size"], strict=True)]
    axes = call.constant("axes", [axis(place, rank) for place in range(1, rank + 1)])
    call.last("Slice", [call.inputs[0], call.constant("starts", begin), call.constant("ends", ends), axes])


@rule("keras.src.ops.numpy.Split", where=_is_not_the_batch)
def split(call: Call) -> None:
    rank = len(call.shapes[0])
    place = call.node.config["axis"] % (rank + 1)
    sizes = call.constant("sizes", [shape[place - 1] for shape in call.node.shapes])
    call.writer.node("Split", [call.inputs[0], sizes], call.outputs, axis=axis(place, rank))


@rule("ChannelSplit")
def channel_split(call: Call) -> None:
    sizes = call.constant("sizes", [shape[-1] for shape in call.node.shapes])
    call.writer.node("Split", [call.inputs[0], sizes], call.outputs, axis=1)


@rule("ChannelShuffle")
def channel_shuffle(call: Call) -> None:
    """One Gather of the channels."""
    order = shuffled(call.node.config["groups"], call.shapes[0][-1])
    call.last("Gather", [call.inputs[0], call.constant("order", order)], axis=1)


@rule("Flatten")
def flatten(call: Call) -> None:
    if call.node.config.get("channels_first") or len(call.shapes[0]) != 3:
        call.last("Flatten", list(call.inputs))
    else:
        call.last("Flatten", [_as_keras(call, call.shapes[0])])


@rule("Reshape")
def reshape(call: Call) -> None:
    source, target = call.shapes[0], call.node.shape
    native = _as_keras(call, source)
    if len(target) == 3 and not _is_one_pixel_or_channel(target):
        shaped = call.step("Reshape", [native, call.constant("shape", [0, *target])], "channels last")
        call.last("Transpose", [shaped], perm=[0, 3, 1, 2])
    else:
        call.last("Reshape", [native, call.constant("shape", [0, *channels_first(target)])])


@rule("Permute")
def permute(call: Call) -> None:
    dims = [0, *call.node.config["dims"]]  # output axis i is input axis dims[i]
    if len(dims) != 4:
        call.last("Transpose", list(call.inputs), perm=dims)
    else:
        call.last("Transpose", list(call.inputs), perm=[axis(dims[i], 3) for i in (0, 3, 1, 2)])


def _is_resized(node: Node, shapes: tuple[Shape, ...]) -> bool:
    """Whole images, nearest or bilinear, as in a .tflite file."""
    odd = ("crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias")
    return node.config["interpolation"] in ("nearest", "bilinear") and not any(node.config.get(name) for name in odd)


@rule("UpSampling2D", "Resizing", where=_is_resized)
def resize(call: Call) -> None:
    """Centres of pixels lie at halves; nearest takes the one whose area a new centre falls into."""
    sides = zip(call.node.shape[:2], call.shapes[0][:2], strict=True)
    scales = call.constant("scales", np.array([1, 1, *(_scale(*side) for side in sides)], np.float32))
    if call.node.config["interpolation"] == "bilinear":
        call.last("Resize", [call.inputs[0], "", scales], mode="linear", coordinate_transformation_mode="half_pixel")
    else:
        modes = {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_ceil"}
        call.last("Resize", [call.inputs[0], "", scales], mode="nearest", **modes)


def _scale(size: int, source: int) -> np.float32:
    """The least at which a runtime that rounds the product down comes to `size`."""
    scale = np.float32(size / source)
    while float(scale) * source < size:
        scale = np.nextafter(scale, np.float32(np.inf))
    return scale


def _as_keras(call: Call, shape: Shape) -> str:
    """The input with its values in Keras' order: where a map has one pixel or one channel, they already are."""
    if len(shape) != 3 or _is_one_pixel_or_channel(shape):
        return call.inputs[0]
    return call.step("Transpose", [call.inputs[0]], "as in Keras", perm=[0, 2, 3, 1])


def _is_one_pixel_or_channel(shape: Shape) -> bool:
    return shape[2] == 1 or math.prod(shape[:2]) == 1


def _pad(call: Call, amounts: list[int]) -> None:
    call.last("Pad", [call.inputs[0], call.constant("pads", amounts), call.constant("zero", np.float32(0))])
