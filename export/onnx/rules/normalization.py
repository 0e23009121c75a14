"""Normalisations that no convolution takes in."""

import numpy as np

from ...graph import Node, Shape
from ...lowering.affine import scale_and_shift
from .registry import Call, axis, rule


def _axis(node: Node) -> int:
    found = node.config["axis"]
    return found[0] if isinstance(found, list | tuple) and len(found) == 1 else found


@rule("BatchNormalization", where=lambda node, shapes: isinstance(_axis(node), int))
def batch_normalization(call: Call) -> None:
    """A scale and a shift, since the statistics are fixed; by the channels, in ONNX' own operator."""
    scale, shift = scale_and_shift(call.node)
    rank = len(call.shapes[0])
    if axis(_axis(call.node), rank) == 1:
        given = {"scale": scale, "shift": shift, "mean": np.zeros_like(scale), "variance": np.ones_like(scale)}
        constants = [call.constant(name, value) for name, value in given.items()]
        call.last("BatchNormalization", [call.inputs[0], *constants], epsilon=0.0)
        return
    place = [1] * rank
    place[axis(_axis(call.node), rank) - 1] = -1
    scaled = call.step("Mul", [call.inputs[0], call.constant("scale", scale.reshape(place))], "scaled")
    call.last("Add", [scaled, call.constant("shift", shift.reshape(place))])


@rule("LocalResponseNorm")
def local_response_norm(call: Call) -> None:
    """ONNX divides alpha by the number of channels, the paper does not."""
    config = call.node.config
    call.last(
        "LRN",
        list(call.inputs),
        size=config["n"],
        alpha=float(config["alpha"] * config["n"]),
        beta=float(config["beta"]),
        bias=float(config["k"]),
    )


def _of_channels(node: Node, shapes: tuple[Shape, ...]) -> bool:
    return _axis(node) in (-1, len(shapes[0]))


@rule("GroupNormalization", where=lambda node, shapes: len(shapes[0]) == 3 and _of_channels(node, shapes))
def group_normalization(call: Call) -> None:
    """Each group as one channel of an instance normalisation."""
    height, width, channels = call.shapes[0]
    groups = channels if call.node.config["groups"] == -1 else call.node.config["groups"]
    grouped = call.step("Reshape", [call.inputs[0], call.constant("grouped", [0, groups, -1])], "by group")
    ones, zeros = call.constant("ones", np.ones(groups)), call.constant("zeros", np.zeros(groups))
    epsilon = call.node.config["epsilon"]
    normal = call.step("InstanceNormalization", [grouped, ones, zeros], "normal", epsilon=epsilon)
    shape = call.constant("shape", [0, channels, height, width])
    _scale_and_center(call, call.step("Reshape", [normal, shape], "by channel"))


@rule("LayerNormalization", where=lambda node, shapes: _of_channels(node, shapes) and not _is_rms(node))
def layer_normalization(call: Call) -> None:
    """Over the channels, which ONNX' own operator could only do behind a Transpose."""
    x, rank, epsilon = call.inputs[0], len(call.shapes[0]), call.constant("epsilon", call.node.config["epsilon"])
    centered = call.step("Sub", [x, _mean(call, x, rank, "mean")], "centered")
    variance = _mean(call, call.step("Mul", [centered, centered], "squares"), rank, "variance")
    deviation = call.step("Sqrt", [call.step("Add", [variance, epsilon], "above zero")], "deviation")
    _scale_and_center(call, call.step("Div", [centered, deviation], "normal"))


def _is_rms(node: Node) -> bool:
    return bool(node.config.get("rms_scaling"))


def _mean(call: Call, x: str, rank: int, name: str) -> str:
    """Axes are an input since opset 18."""
    if call.writer.opset < 18:
        return call.step("ReduceMean", [x], name, axes=[axis(-1, rank)], keepdims=1)
    return call.step("ReduceMean", [x, call.constant("channels", [axis(-1, rank)])], name, keepdims=1)


def _scale_and_center(call: Call, normal: str) -> None:
    weights, place = list(call.node.weights), (-1, 1, 1) if len(call.shapes[0]) == 3 else (-1,)
    steps = []
    if call.node.config["scale"]:
        steps.append(("Mul", call.constant("gamma", weights.pop(0).reshape(place))))
    if call.node.config["center"]:
        steps.append(("Add", call.constant("beta", weights.pop(0).reshape(place))))
    for op, weight in steps[:-1]:
        normal = call.step(op, [normal, weight], "scaled")
    if steps:
        call.last(steps[-1][0], [normal, steps[-1][1]])
    else:
        call.last("Identity", [normal])
