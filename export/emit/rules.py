"""How each layer is written: the operators that LiteRT runs.

A rule takes the writer, the node, its input and output tensors, and returns the options of its operator where a ReLU
behind it can be fused into them, else None.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ..graph import Node
from .writer import Writer

Rule = Callable[[Writer, Node, list[int], list[int]], Any]

RULES: dict[str, Rule] = {}
ACTIVATIONS = {"relu": "RELU", "relu6": "RELU6", "sigmoid": "LOGISTIC", "tanh": "TANH", "softmax": "SOFTMAX"}
FUSED = {"relu": schema.ActivationFunctionType.RELU, "relu6": schema.ActivationFunctionType.RELU6}


def rule(*ops: str) -> Callable[[Rule], Rule]:
    """Registers a rule for layers of these classes."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(ops, function))
        return function

    return register


def has_rule(node: Node) -> bool:
    """Whether the node can be written."""
    if node.config.get("data_format") == "channels_first":
        return False
    if node.op == "Activation":
        return node.config["activation"] in ACTIVATIONS
    if node.op == "Concatenate":
        return node.config["axis"] in (-1, len(node.shape))
    return node.op in RULES


@rule("Conv2D")
def conv_2d(writer: Writer, node: Node, inputs: list[int], outputs: list[int]) -> Any:
    kernel, bias = _kernel_and_bias(node)  # HWIO -> OHWI
    weights = _weights(writer, node, kernel.transpose(3, 0, 1, 2), bias)
    return writer.operator("CONV_2D", [*inputs, *weights], outputs, _window(schema.Conv2DOptionsT(), node))


@rule("DepthwiseConv2D")
def depthwise_conv_2d(writer: Writer, node: Node, inputs: list[int], outputs: list[int]) -> Any:
    kernel, bias = _kernel_and_bias(node)  # HWCM -> 1HW(CM)
    weights = _weights(writer, node, kernel.reshape(1, *kernel.shape[:2], -1), bias)
    options = _window(schema.DepthwiseConv2DOptionsT(), node)
    options.depthMultiplier = node.config["depth_multiplier"]
    return writer.operator("DEPTHWISE_CONV_2D", [*inputs, *weights], outputs, options)


@rule("Dense")
def fully_connected(writer: Writer, node: Node, inputs: list[int], outputs: list[int]) -> Any:
    kernel, bias = _kernel_and_bias(node)
    options = schema.FullyConnectedOptionsT()
    options.keepNumDims = len(node.shape) > 1
    return writer.operator("FULLY_CONNECTED", [*inputs, *_weights(writer, node, kernel.T, bias)], outputs, options)


@rule("MaxPooling2D", "AveragePooling2D")
def pool_2d(writer: Writer, node: Node, inputs: list[int], outputs: list[int]) -> Any:
    options = _window(schema.Pool2DOptionsT(), node)
    options.filterHeight, options.filterWidth = node.config["pool_size"]
    name = "MAX_POOL_2D" if node.op == "MaxPooling2D" else "AVERAGE_POOL_2D"
    return writer.operator(name, inputs, outputs, options)


@rule("GlobalAveragePooling2D", "GlobalMaxPooling2D")
def global_pool(writer: Writer, node: Node, inputs: list[int], outputs: list[int]) -> None:
    options = schema.ReducerOptionsT()
    options.keepDims = node.config["keepdims"]
    axes = writer.constant(f"{node.name}/axes", np.array([1, 2], np.int32))
    name = "MEAN" if node.op == "GlobalAveragePooling2D" else "REDUCE_MAX"
    writer.operator(name, [*inputs, axes], outputs, options)


@rule("Add", "Multiply")
def combine(writer: Writer, node: Node, inputs: list[int], outputs: list[int]) -> Any:
    """Pairwise from the left, as Keras does."""
    name, options = ("ADD", schema.AddOptionsT) if node.op == "Add" else ("MUL", schema.MulOptionsT)
    left = inputs[0]
    for index, right in enumerate(inputs[1:-1], start=1):
        partial = writer.tensor(f"{node.name}/{index}", writer.graph.tensors[outputs[0]].shape)
        writer.operator(name, [left, right], [partial], options())
        left = partial
    return writer.operator(name, [left, inputs[-1]], outputs, options())


@rule("Rescaling")
def rescaling(writer: Writer, node: Node, inputs: list[int], outputs: list[int]) -> Any:
    """MUL by the scale, then ADD of the offset; one of them where the other would change nothing."""
    scale, offset = (np.asarray(node.config[key], np.float32) for key in ("scale", "offset"))
    steps = [("MUL", schema.MulOptionsT, "scale", scale)] if (scale != 1).any() else []
    if (offset != 0).any() or not steps:
        steps.append(("ADD", schema.AddOptionsT, "offset", offset))
    source, options = inputs[0], None
    for index, (name, kind, role, value) in enumerate(steps):
        last = index == len(steps) - 1
        target = outputs[0] if last else writer.tensor(f"{node.name}/scaled", writer.graph.tensors[outputs[0]].shape)
        constant = writer.constant(f"{node.name}/{role}", value.reshape(-1))
        options = writer.operator(name, [source, constant], [target], kind())
        source = target
    return options


@rule("MapScale")
def map_scale(writer: Writer, node: Node, inputs: list[int], outputs: list[int]) -> Any:
    factors = writer.constant(f"{node.name}/factors", node.weights[0][None])
    return writer.operator("MUL", [*inputs, factors], outputs, schema.MulOptionsT())


@rule("Concatenate")
def concatenation(writer: Writer, node: Node, inputs: list[int], outputs: list[int]) -> None:
    options = schema.ConcatenationOptionsT()
    options.axis = len(node.shape)
    writer.operator("CONCATENATION", inputs, outputs, options)


@rule("ZeroPadding2D")
def zero_padding(writer: Writer, node: Node, inputs: list[int], outputs: list[int]) -> None:
    _pad(writer, node, inputs, outputs, [(0, 0), *node.config["padding"], (0, 0)])


@rule("ChannelPad")
def channel_pad(writer: Writer, node: Node, inputs: list[int], outputs: list[int]) -> None:
    _pad(writer, node, inputs, outputs, [(0, 0), (0, 0), (0, 0), (node.config["before"], node.config["after"])])


@rule("ChannelSplit")
def split(writer: Writer, node: Node, inputs: list[int], outputs: list[int]) -> None:
    options = schema.SplitOptionsT()
    options.numSplits = len(outputs)
    axis = writer.constant(f"{node.name}/axis", np.array(3, np.int32))
    writer.operator("SPLIT", [axis, *inputs], outputs, options)


@rule("ChannelShuffle")
def channel_shuffle(writer: Writer, node: Node, inputs: list[int], outputs: list[int]) -> None:
    """(n, h, w, g * c) as a matrix g x c for each pixel, transposed."""
    batch, height, width, channels = writer.graph.tensors[outputs[0]].shape
    groups = node.config["groups"]
    matrix = (batch, height * width, groups, channels // groups)
    grouped = writer.tensor(f"{node.name}/grouped", matrix)
    transposed = writer.tensor(f"{node.name}/transposed", (*matrix[:2], matrix[3], matrix[2]))
    _reshape(writer, f"{node.name}/grouped", inputs, [grouped])
    permutation = writer.constant(f"{node.name}/permutation", np.array([0, 1, 3, 2], np.int32))
    writer.operator("TRANSPOSE", [grouped, permutation], [transposed], schema.TransposeOptionsT())
    _reshape(writer, f"{node.name}/shuffled", [transposed], outputs)


@rule("Flatten", "Reshape")
def reshape(writer: Writer, node: Node, inputs: list[int], outputs: list[int]) -> None:
    _reshape(writer, node.name, inputs, outputs)


@rule("Activation")
def activation(writer: Writer, node: Node, inputs: list[int], outputs: list[int]) -> None:
    options = None
    if node.config["activation"] == "softmax":
        options = schema.SoftmaxOptionsT()
        options.beta = 1.0
    writer.operator(ACTIVATIONS[node.config["activation"]], inputs, outputs, options)


def _kernel_and_bias(node: Node) -> tuple[np.ndarray, np.ndarray]:
    kernel, *bias = node.weights
    return kernel, bias[0] if bias else np.zeros(node.shape[-1], np.float32)


def _weights(writer: Writer, node: Node, kernel: np.ndarray, bias: np.ndarray) -> tuple[int, int]:
    return (
        writer.constant(f"{node.name}/kernel", kernel.astype(np.float32, copy=False)),
        writer.constant(f"{node.name}/bias", bias.astype(np.float32, copy=False)),
    )


def _window(options: Any, node: Node) -> Any:
    """Strides, padding and dilation, which convolutions and pools share."""
    options.padding = schema.Padding.SAME if node.config["padding"] == "same" else schema.Padding.VALID
    options.strideH, options.strideW = node.config["strides"]
    if hasattr(options, "dilationHFactor"):
        options.dilationHFactor, options.dilationWFactor = node.config["dilation_rate"]
    return options


def _pad(writer: Writer, node: Node, inputs: list[int], outputs: list[int], amounts: list[Any]) -> None:
    constant = writer.constant(f"{node.name}/amounts", np.array(amounts, np.int32))
    writer.operator("PAD", [*inputs, constant], outputs, schema.PadOptionsT())


def _reshape(writer: Writer, name: str, inputs: list[int], outputs: list[int]) -> None:
    shape = np.array(writer.graph.tensors[outputs[0]].shape, np.int32)
    options = schema.ReshapeOptionsT()
    options.newShape = shape
    writer.operator("RESHAPE", [*inputs, writer.constant(f"{name}/shape", shape)], outputs, options)
