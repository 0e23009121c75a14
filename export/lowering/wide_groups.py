"""Narrow groups of a grouped convolution merged into groups of width 16.

    conv, 32 groups of 4 channels    ==>   conv, 8 groups of 16 channels, zeros off the diagonal blocks

A zero weight adds nothing: bit-equal, in int8 too where kernels are rounded to nearest. XNNPACK runs a kernel for each
group, and one that reads 4 channels leaves most of its vector empty: 1.6 to 2.6 times on 56x56x128. The file grows by
the zeros. Wider groups lose on machines without a dot product of bytes, so those of 8 channels and more stay.
"""

from dataclasses import replace

import numpy as np

from ..graph import Graph, Node
from .declined import Declined, ignore

NARROW, WIDTH = 4, 16  # groups of so many channels at most are merged, to so many at most


def wide_groups(graph: Graph, declined: Declined = ignore) -> Graph:
    """Merges the groups of each convolution whose groups are narrow."""
    for node in list(graph.nodes.values()):
        if node.op != "Conv2D" or node.config["groups"] == 1:
            continue
        width, groups = node.weights[0].shape[2], node.config["groups"]
        merged = max((m for m in range(1, WIDTH // width + 1) if groups % m == 0), default=1)
        if width > NARROW:
            declined(node.name, f"groups of {width} channels are wide enough")
        elif merged == 1:
            declined(node.name, f"{groups} groups of {width} channels do not merge evenly")
        else:
            graph = graph.update(_merged(node, merged))
    return graph


def _merged(node: Node, count: int) -> Node:
    kernel, *bias = node.weights
    height, width, inner, filters = kernel.shape
    groups = node.config["groups"]
    each = filters // groups
    blocks = kernel.reshape(height, width, inner, groups // count, count, each)
    wide = np.zeros((height, width, count, inner, groups // count, count, each), kernel.dtype)
    for index in range(count):
        wide[:, :, index, :, :, index] = blocks[:, :, :, :, index]
    merged = wide.reshape(height, width, count * inner, filters)
    return replace(node, config=node.config | {"groups": groups // count}, weights=(merged, *bias))
