"""A channel shuffle written as reshape, transpose, reshape, by the name that other passes know.

    Reshape(h, w, g, n) -> Permute(1, 2, 4, 3) -> Reshape(h, w, g * n)    ==>   ChannelShuffle(g)

Exact: it is what ChannelShuffle computes.
"""

from dataclasses import replace

from ..graph import Graph, Node, Shape
from .declined import Declined, ignore

SWAPPED = (1, 2, 4, 3)


def recognise_shuffle(graph: Graph, declined: Declined = ignore) -> Graph:
    """Replaces each such triple of which only the end is read."""
    readers = graph.readers()
    for name in [node.name for node in graph.nodes.values() if node.op == "Reshape"]:
        last = graph.nodes[name]
        permute = graph.producer(last.inputs[0])
        if permute.op != "Permute" or tuple(permute.config["dims"]) != SWAPPED or readers[permute.name] != 1:
            continue
        first = graph.producer(permute.inputs[0])
        if readers[first.name] == 1 and _splits_channels(first, last, graph.shape_of(first.inputs[0])):
            graph = graph.update(_shuffle(last, first)).pruned()
    return graph


def _splits_channels(first: Node, last: Node, shape: Shape) -> bool:
    """Whether the first reshape leaves a map's pixels where they are, and the last one undoes it."""
    return first.op == "Reshape" and len(shape) == 3 and shape == last.shape and first.shape[:2] == shape[:2]


def _shuffle(last: Node, first: Node) -> Node:
    return replace(last, op="ChannelShuffle", config={"groups": first.shape[2]}, inputs=first.inputs)
