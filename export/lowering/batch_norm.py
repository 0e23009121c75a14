"""Scales and shifts by channel into the convolutions around them, or as a convolution of their own.

    conv -> BN                  ==>   conv with bias
    concat(conv, conv) -> BN    ==>   concat(conv with bias, conv with bias)
    BN -> 1x1 conv              ==>   conv with bias
    rescaling -> normalization  ==>   rescaling
    x -> BN                     ==>   1x1 depthwise convolution with bias

    y = gamma * (x - mean) / sqrt(var + epsilon) + beta, and likewise Rescaling and Normalization

Exact: a per-channel scale and shift of a convolution's output goes into its kernel and bias, one of its input too where
no padding stands between (a padded zero is not shifted; a scale alone passes). The first forms need BN to be the sole
reader. The last is one operator, into which a ReLU behind it fuses, where MUL and ADD would be two, with one more
rounding in int8.
"""

from dataclasses import replace

import numpy as np

from ..graph import Graph, Node
from .affine import CHANNEL_AXES, INPUT_AXES, is_affine, reads_scaled, scale_and_shift, scaled
from .declined import Declined, ignore
from .patterns import is_last_axis

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


def fold_batch_norm(graph: Graph, declined: Declined = ignore) -> Graph:
    """Affine layers into the convolutions and dense layers before or behind them."""
    for name in [node.name for node in graph.nodes.values() if is_affine(node)]:
        graph = _into_producers(graph, name)
    for name in [node.name for node in graph.nodes.values() if is_affine(node)][::-1]:
        graph = _into_readers(graph, name, declined)
    return graph


def normalize_by_depthwise(graph: Graph, declined: Declined = ignore) -> Graph:
    """What BN of a map is left becomes a 1x1 depthwise convolution."""
    for norm in list(graph.nodes.values()):
        if is_affine(norm) and len(norm.shape) == 3:
            graph = graph.update(replace(norm, op="DepthwiseConv2D", config=POINTWISE, weights=_as_kernel(norm)))
    return graph


def _into_producers(graph: Graph, name: str) -> Graph:
    norm, readers = graph.nodes[name], graph.readers()
    source = graph.producer(norm.inputs[0])
    if is_affine(source) and readers[source.name] == 1:
        return graph.update(_merged(source, norm)).bypass(source.name)
    if _takes(graph, norm.inputs[0], readers[norm.inputs[0]]):
        return graph.update(scaled(source, *scale_and_shift(norm))).bypass(name)
    joined = (
        source.op == "Concatenate" and readers[source.name] == 1 and is_last_axis(source.config["axis"], source.shape)
    )
    if not joined or not all(_takes(graph, i, readers[i]) for i in source.inputs):
        return graph
    scale, shift = scale_and_shift(norm)
    start = 0
    for reference in source.inputs:
        part = slice(start, start + graph.shape_of(reference)[-1])
        graph, start = graph.update(scaled(graph.producer(reference), scale[part], shift[part])), part.stop
    return graph.bypass(name)


def _takes(graph: Graph, reference: str, readers: int) -> bool:
    """Whether a scale and shift can go into what makes the reference."""
    conv = graph.producer(reference)
    return conv.op in CHANNEL_AXES and conv.config["activation"] == "linear" and readers == 1


def _into_readers(graph: Graph, name: str, declined: Declined) -> Graph:
    norm, reading = graph.nodes[name], graph.reading()[name]
    if name in graph.outputs or not reading:
        return graph
    scale, shift = scale_and_shift(norm)
    pads = [node for node in reading if node.op == "ZeroPadding2D" and not shift.any()]
    behind = [node for pad in pads for node in graph.reading()[pad.name]]
    convs = [node for node in reading if node not in pads] + behind
    if not all(node.op in INPUT_AXES for node in convs) or any(pad.name in graph.outputs for pad in pads):
        return graph
    changed = [reads_scaled(node, scale, shift) for node in convs]
    if any(node is None for node in changed):
        declined(name, "its shift does not pass a reader's padding, or its channels differ and a reader has groups")
        return graph
    return graph.update(*(node for node in changed if node is not None)).bypass(name)


def _merged(first: Node, second: Node) -> Node:
    """Two scales and shifts as one Rescaling, in the place of the second."""
    (a, b), (c, d) = scale_and_shift(first), scale_and_shift(second)
    config = {"scale": (a * c).tolist(), "offset": (b * c + d).tolist()}
    return replace(second, op="Rescaling", config=config, weights=())


def _as_kernel(norm: Node) -> tuple[np.ndarray, np.ndarray]:
    scale, shift = scale_and_shift(norm)
    return scale.astype(np.float32).reshape(1, 1, -1, 1), shift.astype(np.float32)
