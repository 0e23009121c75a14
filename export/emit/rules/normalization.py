"""Normalisations: by constants, and over each image's own values."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ...graph import Node
from ...lowering.affine import is_affine
from ...lowering.affine import scale_and_shift as affine_constants
from .elementwise import scale_and_shift
from .registry import Call, reduction, rule


def _is_over_channels(node: Node) -> bool:
    axis = node.config["axis"]
    axes = list(axis) if isinstance(axis, list | tuple) else [axis]
    return bool(axes) and all(a in (-1, len(node.shape)) for a in axes)


@rule("BatchNormalization", "Normalization", when=is_affine)
def affine(call: Call) -> Any:
    """What no pass folded: MUL and ADD."""
    scale, shift = (value.astype(np.float32) for value in affine_constants(call.node))
    return scale_and_shift(call, call.inputs[0], scale, shift)


def _has_mean(node: Node) -> bool:
    return _is_over_channels(node) and not node.config.get("rms_scaling")


@rule("LayerNormalization", when=_has_mean)
def layer_normalization(call: Call) -> Any:
    axis = len(call.node.shape)
    return _by_own_statistics(call, call.inputs[0], (axis,), _gamma_and_beta(call))


def _gamma_and_beta(call: Call) -> tuple[np.ndarray | None, np.ndarray | None]:
    weights = list(call.node.weights)
    gamma = weights.pop(0) if call.config["scale"] else None
    return gamma, weights.pop(0) if call.config["center"] else None


def _has_groups(node: Node) -> bool:
    return _is_over_channels(node) and len(node.shape) == 3


@rule("GroupNormalization", when=_has_groups)
def group_normalization(call: Call) -> Any:
    """(n, h, w, c) seen as (n, h * w, groups, c / groups), whose second and last axes share statistics."""
    batch, height, width, channels = shape = call.shape(call.inputs[0])
    groups = channels if call.config["groups"] == -1 else call.config["groups"]
    inner = (batch, height * width, groups, channels // groups)
    seen = call.step("grouped", "RESHAPE", [*call.inputs, call.constant("grouped/shape", inner, np.int32)], None, inner)
    gamma, beta = _gamma_and_beta(call)
    normal = _centred_by_deviation(call, seen, (1, 3))
    back = call.constant("shape", shape, np.int32)
    if gamma is None and beta is None:
        call.operator("RESHAPE", [normal, back])
        return None
    flat = call.step("normal/flat", "RESHAPE", [normal, back], None, shape)
    return _scaled(call, flat, gamma, beta)


def _by_own_statistics(
    call: Call, source: int, axes: tuple[int, ...], weights: tuple[np.ndarray | None, np.ndarray | None]
) -> Any:
    gamma, beta = weights
    if gamma is None and beta is None:
        return _centred_by_deviation(call, source, axes, last=True)
    return _scaled(call, _centred_by_deviation(call, source, axes), gamma, beta)


def _scaled(call: Call, source: int, gamma: np.ndarray | None, beta: np.ndarray | None) -> Any:
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    return scale_and_shift(call, source, one if gamma is None else gamma, zero if beta is None else beta)


def _centred_by_deviation(call: Call, source: int, axes: tuple[int, ...], *, last: bool = False) -> Any:
    """(x - mean) / sqrt(variance + epsilon) over `axes`; to the node's output where it is the `last` step."""
    shape = call.shape(source)
    one = tuple(1 if a in axes else side for a, side in enumerate(shape))
    over = call.constant("axes", axes, np.int32)
    mean = call.step("mean", "MEAN", [source, over], reduction(keep=True), one)
    centred = call.step("centred", "SUB", [source, mean], schema.SubOptionsT())
    square = call.step("square", "MUL", [centred, centred], schema.MulOptionsT())
    variance = call.step("variance", "MEAN", [square, over], reduction(keep=True), one)
    epsilon = call.constant("epsilon", [call.config["epsilon"]])
    positive = call.step("positive", "ADD", [variance, epsilon], schema.AddOptionsT())
    inverse = call.step("inverse", "RSQRT", [positive])
    if last:
        return call.operator("MUL", [centred, inverse], options=schema.MulOptionsT())
    return call.step("normal", "MUL", [centred, inverse], schema.MulOptionsT())


@rule("LocalResponseNorm")
def local_response_norm(call: Call) -> None:
    """LiteRT's own kernel; as in the paper, alpha is not divided by n."""
    options = schema.LocalResponseNormalizationOptionsT()
    options.radius, options.bias = call.config["n"] // 2, call.config["k"]
    options.alpha, options.beta = call.config["alpha"], call.config["beta"]
    call.operator("LOCAL_RESPONSE_NORMALIZATION", call.inputs, options=options)
