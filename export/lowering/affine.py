"""Layers that scale and shift each channel by constants: y = scale * x + shift."""

from dataclasses import replace

import numpy as np

from ..graph import Node, is_by_channel
from .patterns import is_last_axis

# where the output channel stands in each kernel, and the input channel
CHANNEL_AXES = {"Conv2D": (3,), "Dense": (1,), "DepthwiseConv2D": (2, 3), "Conv2DTranspose": (2,)}
INPUT_AXES = {"Conv2D": 2, "Dense": 0}


def is_affine(node: Node) -> bool:
    """A BatchNormalization, Normalization or Rescaling that works channel by channel."""
    if node.op in ("BatchNormalization", "Normalization"):
        return bool(node.shape) and is_last_axis(_axis(node), node.shape)
    return node.op == "Rescaling" and all(is_by_channel(node.config[key], node.shape) for key in ("scale", "offset"))


def scale_and_shift(node: Node) -> tuple[np.ndarray, np.ndarray]:
    """The per-channel (scale, shift) of an affine node at inference, in float64."""
    channels = node.shape[-1]
    if node.op == "Rescaling":
        scale, shift = (np.asarray(node.config[key], np.float64).ravel() for key in ("scale", "offset"))
    elif node.op == "Normalization":
        scale, shift = _normalization(node)
    else:
        weights = [w.astype(np.float64) for w in node.weights]
        gamma = weights.pop(0) if node.config["scale"] else np.ones_like(weights[-1])
        beta = weights.pop(0) if node.config["center"] else np.zeros_like(weights[-1])
        mean, variance = weights[:2]  # renorm keeps three more, which training alone reads
        scale = gamma / np.sqrt(variance + node.config["epsilon"])
        return scale, beta - mean * scale  # as long as its own axis, which need not be the last
    return np.broadcast_to(scale, (channels,)), np.broadcast_to(shift, (channels,))


def scaled(conv: Node, scale: np.ndarray, shift: np.ndarray) -> Node:
    """The convolution with its output channels scaled and shifted."""
    kernel, *bias = conv.weights
    axes = CHANNEL_AXES[conv.op]
    shape = tuple(kernel.shape[axis] if axis in axes else 1 for axis in range(kernel.ndim))
    shifted = (bias[0] if bias else 0.0) * scale + shift
    weights = (kernel * scale.reshape(shape)).astype(kernel.dtype), shifted.astype(kernel.dtype)
    return replace(conv, config=conv.config | {"use_bias": True}, weights=weights)


def reads_scaled(conv: Node, scale: np.ndarray, shift: np.ndarray) -> Node | None:
    """The convolution that reads x where it read scale * x + shift; None where its padding forbids the shift."""
    kernel, *bias = conv.weights
    padded = conv.op == "Conv2D" and conv.config["padding"] != "valid" and tuple(conv.config["kernel_size"]) != (1, 1)
    if conv.op not in INPUT_AXES or (padded and shift.any()):
        return None
    axis, groups = INPUT_AXES[conv.op], conv.config.get("groups", 1)
    if groups > 1:
        if len({(a, b) for a, b in zip(scale, shift, strict=True)}) > 1:
            return None
        scale, shift = scale[: kernel.shape[2]], shift[: kernel.shape[2]]
    along = tuple(-1 if i == axis else 1 for i in range(kernel.ndim))
    others = tuple(range(kernel.ndim - 1))
    moved = (bias[0] if bias else 0.0) + (kernel * shift.reshape(along)).sum(axis=others, dtype=np.float64)
    weights = (kernel * scale.reshape(along)).astype(kernel.dtype), moved.astype(kernel.dtype)
    return replace(conv, config=conv.config | {"use_bias": True}, weights=weights)


def _axis(node: Node) -> object:
    axis = node.config["axis"]
    return axis if axis is not None and axis != [] and axis != () else -1


def _normalization(node: Node) -> tuple[np.ndarray, np.ndarray]:
    mean, variance = (
        (np.asarray(node.config[key], np.float64).ravel() for key in ("mean", "variance"))
        if node.config.get("mean") is not None
        else (w.astype(np.float64).ravel() for w in node.weights[:2])
    )
    deviation = np.maximum(np.sqrt(variance), 1e-7)  # Keras' epsilon
    if node.config.get("invert"):
        return deviation, mean
    return 1 / deviation, -mean / deviation
