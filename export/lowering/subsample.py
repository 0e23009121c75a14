"""A max pool of 1x1, which only subsamples, as a 1x1 depthwise convolution of the same stride.

    max pool 1x1, stride 2    ==>   1x1 depthwise by ones, stride 2

XNNPACK takes no such pool, in float or in int8: each splits the graph. Exact: the kernel is 1, the bias 0.
"""

from dataclasses import replace

from ..graph import Graph
from .declined import Declined, ignore
from .relu_by_depthwise import unchanged


def subsample(graph: Graph, declined: Declined = ignore) -> Graph:
    """Replaces each 1x1 max or average pool."""
    for node in list(graph.nodes.values()):
        if node.op in ("MaxPooling2D", "AveragePooling2D") and tuple(node.config["pool_size"]) == (1, 1):
            strides = tuple(node.config["strides"])
            if strides[0] != strides[1]:
                declined(node.name, f"TensorFlow has no depthwise convolution of strides {strides}")
                continue
            carrier = unchanged(node.name, node)
            graph = graph.update(replace(carrier, config=carrier.config | {"strides": strides}))
    return graph
