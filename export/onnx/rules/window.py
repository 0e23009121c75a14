"""Convolutions, dense layers and pools."""

from typing import Any

import numpy as np

from ...graph import Node, Shape
from .registry import Call, rule


def _is_bare(node: Node, shapes: tuple[Shape, ...]) -> bool:
    """An activation of its own stands behind it."""
    return node.config.get("activation", "linear") in ("linear", None)


@rule("Conv2D", where=_is_bare)
def convolution(call: Call) -> None:
    kernel = call.node.weights[0].transpose(3, 2, 0, 1)  # HWIO -> OIHW
    _convolution(call, kernel, call.shapes[0][-1] // kernel.shape[1])


@rule("DepthwiseConv2D", where=_is_bare)
def depthwise_convolution(call: Call) -> None:
    height, width, channels, times = call.node.weights[0].shape
    kernel = call.node.weights[0].transpose(2, 3, 0, 1).reshape(channels * times, 1, height, width)
    _convolution(call, kernel, channels)


def _is_plain_transpose(node: Node, shapes: tuple[Shape, ...]) -> bool:
    """As in a .tflite file, whose schema knows neither dilation nor an output padding."""
    plain = tuple(node.config["dilation_rate"]) == (1, 1) and node.config.get("output_padding") is None
    return plain and _is_bare(node, shapes)


@rule("Conv2DTranspose", where=_is_plain_transpose)
def transposed_convolution(call: Call) -> None:
    """Keras cuts the whole result down to stride times the input, or fills it up where the stride is the larger."""
    kernel = call.node.weights[0].transpose(3, 2, 0, 1)  # HWOI -> IOHW
    strides = call.node.config["strides"]
    beyond = [extent - stride for extent, stride in zip(kernel.shape[2:], strides, strict=True)]
    cut = [max(0, each) if call.node.config["padding"] == "same" else 0 for each in beyond]
    _weighted(
        call,
        "ConvTranspose",
        kernel,
        kernel_shape=list(kernel.shape[2:]),
        strides=list(strides),
        pads=[*(each // 2 for each in cut), *(each - each // 2 for each in cut)],
        output_padding=[max(0, -each) for each in beyond],
    )


@rule("Dense", where=_is_bare)
def dense(call: Call) -> None:
    """Gemm on vectors, a 1x1 convolution on maps, MatMul on what else there is."""
    kernel = call.node.weights[0]
    if len(call.shapes[0]) == 3:
        _weighted(call, "Conv", kernel.T[:, :, None, None], kernel_shape=[1, 1])
    elif len(call.shapes[0]) == 1:
        _weighted(call, "Gemm", kernel.T, transB=1)
    else:
        inputs = [call.inputs[0], call.constant("kernel", kernel)]
        if len(call.node.weights) == 1:
            call.last("MatMul", inputs)
        else:
            product = call.step("MatMul", inputs, "product")
            call.last("Add", [product, call.constant("bias", call.node.weights[1])])


@rule("MaxPooling2D")
def max_pool(call: Call) -> None:
    call.last("MaxPool", list(call.inputs), kernel_shape=list(call.node.config["pool_size"]), **_window(call.node))


@rule("AveragePooling2D")
def average_pool(call: Call) -> None:
    """Keras leaves its own border out of the mean; zeros that a ZeroPadding2D put there count."""
    count = int(call.node.config.get("count_include_pad", False))
    size = list(call.node.config["pool_size"])
    call.last("AveragePool", list(call.inputs), kernel_shape=size, count_include_pad=count, **_window(call.node))


@rule("GlobalAveragePooling2D", "GlobalMaxPooling2D")
def global_pool(call: Call) -> None:
    op = "GlobalAveragePool" if call.node.op == "GlobalAveragePooling2D" else "GlobalMaxPool"
    if call.node.config["keepdims"]:
        call.last(op, list(call.inputs))
    else:
        call.last("Flatten", [call.step(op, list(call.inputs), "pooled")])


@rule("AdaptiveAverage2D", "AdaptiveAveragePooling2D")
def adaptive_average(call: Call) -> None:
    """Two products with matrices of means, (size, h) (h, w) (w, size); equal windows are lowered to pools."""
    height, width, _ = call.shapes[0]
    down, across = call.node.shape[:2]
    rows, columns = call.constant("rows", _means(height, down)), call.constant("columns", _means(width, across).T)
    call.last("MatMul", [call.step("MatMul", [rows, call.inputs[0]], "rows averaged"), columns])


@rule("AdaptiveMaxPooling2D")
def adaptive_max(call: Call) -> None:
    """Windows of several sizes, cut out and reduced one by one, row by row; equal ones are lowered to pools."""
    height, width, _ = call.shapes[0]
    rows, columns = call.node.shape[:2]
    along = call.step("Concat", _largest(call, call.inputs[0], 2, height, rows), "rows", axis=2)
    call.last("Concat", _largest(call, along, 3, width, columns), axis=3)


def _largest(call: Call, source: str, axis: int, length: int, count: int) -> list[str]:
    """One axis cut into `count` windows, each reduced to its largest value."""
    axes, parts = call.constant(f"axis {axis}", [axis]), []
    for i in range(count):
        name = f"{axis}/{i}"
        start, stop = i * length // count, -(-(i + 1) * length // count)
        bounds = [call.constant(f"{name}/start", [start]), call.constant(f"{name}/stop", [stop])]
        cut = call.step("Slice", [source, *bounds, axes], f"{name}/cut")
        if call.writer.opset < 18:  # axes are an input since
            parts.append(call.step("ReduceMax", [cut], name, axes=[axis]))
        else:
            parts.append(call.step("ReduceMax", [cut, axes], name))
    return parts


def _means(length: int, size: int) -> np.ndarray:
    """(size, length): row i averages from floor(i * length / size) to ceil((i + 1) * length / size)."""
    matrix = np.zeros((size, length), np.float32)
    for i in range(size):
        start, stop = i * length // size, -(-(i + 1) * length // size)
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix


def _convolution(call: Call, kernel: np.ndarray, groups: int) -> None:
    window = {"kernel_shape": list(kernel.shape[2:]), "dilations": list(call.node.config["dilation_rate"])}
    _weighted(call, "Conv", kernel, group=groups, **window, **_window(call.node))


def _weighted(call: Call, op: str, kernel: np.ndarray, **attributes: Any) -> None:
    bias = [call.constant("bias", b) for b in call.node.weights[1:]]
    call.last(op, [call.inputs[0], call.constant("kernel", kernel), *bias], **attributes)


def _window(node: Node) -> dict[str, Any]:
    return {"strides": list(node.config["strides"]), "pads": list(node.config["pads"])}
