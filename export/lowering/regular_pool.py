"""An adaptive pool whose windows are all alike is a pool over windows.

    adaptive average pool of 14x14 to 7x7    ==>   average pool 2x2, stride 2
    adaptive average pool of 7x7 to 7x7      ==>   average pool 1x1, which is nothing

Exact: they are the same windows. What else is known of pools then holds of it.
"""

from dataclasses import replace

from ..graph import Graph
from .declined import Declined, ignore

POOLS = {
    "AdaptiveAverage2D": "AveragePooling2D",
    "AdaptiveAveragePooling2D": "AveragePooling2D",
    "AdaptiveMaxPooling2D": "MaxPooling2D",
}


def regular_pool(graph: Graph, declined: Declined = ignore) -> Graph:
    """Replaces each adaptive pool that divides its map evenly."""
    for node in list(graph.nodes.values()):
        if node.op not in POOLS:
            continue
        height, width, _ = graph.shape_of(node.inputs[0])
        rows, columns, _ = node.shape
        if height % rows or width % columns:
            declined(node.name, f"windows of several sizes make {rows}x{columns} of {height}x{width}")
            continue
        size = (height // rows, width // columns)
        config = {"pool_size": size, "strides": size, "padding": "valid", "data_format": "channels_last"}
        graph = graph.update(replace(node, op=POOLS[node.op], config=config))
    return graph
