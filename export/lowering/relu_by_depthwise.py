"""A ReLU that stands alone becomes a 1x1 depthwise convolution that it fuses into.

    x -> ReLU    ==>   x -> 1x1 depthwise by ones, with ReLU

XNNPACK has no int8 ReLU of its own: each one splits the graph and runs LiteRT's kernel; the depthwise convolution is 9
times as fast on 28x28x128. Exact: the kernel is 1 (127 steps of 1/127 in int8), the bias 0.
"""

from dataclasses import replace

import numpy as np

from ..graph import Graph, Node
from .batch_norm import POINTWISE
from .declined import Declined, ignore
from .patterns import fuses, is_clamp, is_clamped


def relu_by_depthwise(graph: Graph, declined: Declined = ignore) -> Graph:
    """Puts an identity before each clamp of a map that nothing takes; one that changes nothing goes."""
    readers = graph.readers()
    for name in [node.name for node in graph.nodes.values() if is_clamp(node)]:
        node = graph.nodes[name]  # as rewired so far
        source = node.inputs[0]
        if is_clamped(graph, source, node.config["activation"]):
            graph = graph.bypass(name)
        elif not fuses(graph, source, readers):
            if len(node.shape) != 3:
                declined(name, "a vector: a convolution would need it reshaped")
                continue
            carrier = unchanged(f"{name}/carrier", node)
            graph = graph.splice(name, carrier, replace(node, inputs=(carrier.name,)))
    return graph


def unchanged(name: str, like: Node) -> Node:
    """A depthwise convolution that changes nothing, of the input of `like`."""
    channels = like.shape[-1]
    weights = np.ones((1, 1, channels, 1), np.float32), np.zeros(channels, np.float32)
    return Node(name, "DepthwiseConv2D", POINTWISE, like.inputs, weights, like.shapes)
