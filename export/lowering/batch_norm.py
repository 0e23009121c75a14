"""Batch normalisation into the convolution before it, or as a convolution of its own.

    conv -> BN        ==>   conv with bias
    x    -> BN        ==>   1x1 depthwise convolution with bias

    y = gamma * (conv(x) - mean) / sqrt(var + epsilon) + beta

Exact: a per-channel scale and shift of a convolution's output goes into its kernel and bias. The first form needs BN to
be the convolution's sole reader. The second is one operator, into which a ReLU behind it fuses, where MUL and ADD would
be two, with one more rounding in int8.
"""

from dataclasses import replace

import numpy as np

from ..graph import Graph, Node

# where the output channel stands in each kernel
CHANNEL_AXES = {"Conv2D": (3,), "Dense": (1,), "DepthwiseConv2D": (2, 3)}


def fold_batch_norm(graph: Graph) -> Graph:
    """BN into the convolution or dense layer that it alone reads."""
    readers = graph.readers()
    for norm in list(graph.nodes.values()):
        if norm.op != "BatchNormalization" or not _is_last_axis(norm):
            continue
        conv = graph.producer(graph.nodes[norm.name].inputs[0])
        if conv.op in CHANNEL_AXES and conv.config["activation"] == "linear" and readers[conv.name] == 1:
            graph = graph.update(scaled(conv, *scale_and_shift(norm))).bypass(norm.name)
    return graph


def normalize_by_depthwise(graph: Graph) -> Graph:
    """What BN of a map is left becomes a 1x1 depthwise convolution."""
    for norm in list(graph.nodes.values()):
        if norm.op == "BatchNormalization" and _is_last_axis(norm) and len(norm.shape) == 3:
            graph = graph.update(replace(norm, op="DepthwiseConv2D", config=POINTWISE, weights=_as_kernel(norm)))
    return graph


POINTWISE = {
    "kernel_size": (1, 1),
    "strides": (1, 1),
    "padding": "same",
    "dilation_rate": (1, 1),
    "depth_multiplier": 1,
    "use_bias": True,
    "activation": "linear",
    "data_format": "channels_last",
}


def scale_and_shift(norm: Node) -> tuple[np.ndarray, np.ndarray]:
    """The per-channel (scale, shift) that BN applies at inference, in float64."""
    weights = [w.astype(np.float64) for w in norm.weights]
    gamma = weights.pop(0) if norm.config["scale"] else np.ones_like(weights[-1])
    beta = weights.pop(0) if norm.config["center"] else np.zeros_like(weights[-1])
    mean, variance = weights
    scale = gamma / np.sqrt(variance + norm.config["epsilon"])
    return scale, beta - mean * scale


def scaled(conv: Node, scale: np.ndarray, shift: np.ndarray) -> Node:
    """The convolution with its output channels scaled and shifted."""
    kernel, *bias = conv.weights
    axes = CHANNEL_AXES[conv.op]
    shape = tuple(kernel.shape[axis] if axis in axes else 1 for axis in range(kernel.ndim))
    shifted = (bias[0] if bias else 0.0) * scale + shift
    weights = (kernel * scale.reshape(shape)).astype(kernel.dtype), shifted.astype(kernel.dtype)
    return replace(conv, config=conv.config | {"use_bias": True}, weights=weights)


def _as_kernel(norm: Node) -> tuple[np.ndarray, np.ndarray]:
    scale, shift = scale_and_shift(norm)
    return scale.astype(np.float32).reshape(1, 1, -1, 1), shift.astype(np.float32)


def _is_last_axis(norm: Node) -> bool:
    axis = norm.config["axis"]
    return (axis[0] if isinstance(axis, list | tuple) else axis) in (-1, len(norm.shape))
