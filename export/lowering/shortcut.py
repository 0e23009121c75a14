"""ResNet's parameter-free shortcut as one convolution.

    MaxPooling2D(1, stride) -> ChannelPad   ==>   strided 1x1 convolution by a kernel of zeros and ones

XNNPACK takes neither a 1x1 max pool of stride 2 nor what stands between two such holes: each splits the graph. The
kernel is exact in float32 and in int8 (1.0 is 127 steps of 1/127), and costs less than a thousandth of the network.
"""

from dataclasses import replace

import numpy as np

from ..graph import Graph, Node
from .batch_norm import POINTWISE
from .declined import Declined, ignore


def shortcut_by_convolution(graph: Graph, declined: Declined = ignore) -> Graph:
    """Each subsample-and-pad shortcut becomes a 1x1 convolution."""
    readers = graph.readers()
    for pad in list(graph.nodes.values()):
        if pad.op != "ChannelPad":
            continue
        pool = graph.producer(pad.inputs[0])
        if pool.op == "MaxPooling2D" and tuple(pool.config["pool_size"]) == (1, 1) and readers[pool.name] == 1:
            graph = graph.update(_convolution(pad, pool)).bypass(pool.name)
    return graph


def _convolution(pad: Node, pool: Node) -> Node:
    channels, filters = pool.shape[-1], pad.shape[-1]
    kernel = np.eye(filters, dtype=np.float32)[pad.config["before"] : pad.config["before"] + channels]
    config = POINTWISE | {"filters": filters, "strides": tuple(pool.config["strides"]), "groups": 1}
    del config["depth_multiplier"]
    weights = kernel.reshape(1, 1, channels, filters), np.zeros(filters, np.float32)
    return replace(pad, op="Conv2D", config=config, weights=weights)
