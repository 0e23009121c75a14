"""Convolutions and dense layers."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ...graph import Node
from .registry import Call, rule


def _is_bare(node: Node) -> bool:
    """An activation of its own stands behind it."""
    return node.config.get("activation", "linear") in ("linear", None)


@rule("Conv2D", when=_is_bare)
def conv_2d(call: Call) -> Any:
    """Groups show in the kernel's shape."""
    kernel, bias = kernel_and_bias(call)  # HWIO -> OHWI
    options = window(schema.Conv2DOptionsT(), call.node)
    return call.operator(
        "CONV_2D", [*call.inputs, *_weights(call, kernel.transpose(3, 0, 1, 2), bias)], options=options
    )


@rule("DepthwiseConv2D", when=_is_bare)
def depthwise_conv_2d(call: Call) -> Any:
    kernel, bias = kernel_and_bias(call)  # HWCM -> 1HW(CM)
    options = window(schema.DepthwiseConv2DOptionsT(), call.node)
    options.depthMultiplier = call.config["depth_multiplier"]
    weights = _weights(call, kernel.reshape(1, *kernel.shape[:2], -1), bias)
    return call.operator("DEPTHWISE_CONV_2D", [*call.inputs, *weights], options=options)


def _is_plain_transpose(node: Node) -> bool:
    """The schema knows neither its dilation nor an output padding."""
    config = node.config
    dilated = tuple(config["dilation_rate"]) != (1, 1)
    return _is_bare(node) and not dilated and config.get("output_padding") is None


@rule("Conv2DTranspose", when=_is_plain_transpose)
def transpose_conv(call: Call) -> Any:
    kernel, bias = kernel_and_bias(call)  # HWOI -> OHWI
    options = window(schema.TransposeConvOptionsT(), call.node)
    size = call.constant("size", call.shape(call.outputs[0]), np.int32)
    kernel_index, bias_index = _weights(call, kernel.transpose(2, 0, 1, 3), bias)
    operator = call.operator("TRANSPOSE_CONV", [size, kernel_index, *call.inputs, bias_index], options=options)
    call.writer.version("TRANSPOSE_CONV", 3)  # with a bias
    return operator


@rule("Dense", when=_is_bare)
def fully_connected(call: Call) -> Any:
    kernel, bias = kernel_and_bias(call)
    options = schema.FullyConnectedOptionsT()
    options.keepNumDims = len(call.node.shape) > 1
    return call.operator("FULLY_CONNECTED", [*call.inputs, *_weights(call, kernel.T, bias)], options=options)


def kernel_and_bias(call: Call) -> tuple[np.ndarray, np.ndarray]:
    """In Keras' order; a bias of zeros where the layer has none."""
    kernel, *bias = call.node.weights
    return kernel, bias[0] if bias else np.zeros(call.node.shape[-1], np.float32)


def window(options: Any, node: Node) -> Any:
    """Strides, padding and dilation, which convolutions and pools share."""
    options.padding = schema.Padding.SAME if node.config["padding"] == "same" else schema.Padding.VALID
    options.strideH, options.strideW = node.config["strides"]
    if hasattr(options, "dilationHFactor"):
        options.dilationHFactor, options.dilationWFactor = node.config["dilation_rate"]
    return options


def _weights(call: Call, kernel: np.ndarray, bias: np.ndarray) -> tuple[int, int]:
    return call.constant("kernel", kernel), call.constant("bias", bias)
