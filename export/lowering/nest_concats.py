"""Concatenations of at most five inputs.

    concat(a, b, c, d, e, f, g)    ==>   concat(concat(a, b, c), d, e, f, g)

XNNPACK takes up to five; six or more run outside the delegate in float and int8 alike, and split the graph. Exact.
The inner concatenation, which is copied twice, holds neighbours whose channels are fewest.
"""

from dataclasses import replace

from ..graph import Graph, Node
from .declined import Declined, ignore
from .patterns import is_last_axis

MOST = 5


def nest_concats(graph: Graph, declined: Declined = ignore) -> Graph:
    """Nests each concatenation of more than five inputs."""
    for node in list(graph.nodes.values()):
        if node.op == "Concatenate" and len(node.inputs) > MOST:
            if not is_last_axis(node.config["axis"], node.shape):
                declined(node.name, "not over the channels")
                continue
            graph = graph.splice(node.name, *_nested(graph, node))
    return graph


def _nested(graph: Graph, node: Node) -> list[Node]:
    """The inner concatenations and, last, the one of the node's own name."""
    inputs = [(i, graph.shape_of(i)[-1]) for i in node.inputs]
    made: list[Node] = []
    while len(inputs) > MOST:
        count = min(MOST, len(inputs) - MOST + 1)
        start = min(range(len(inputs) - count + 1), key=lambda s: sum(c for _, c in inputs[s : s + count]))
        taken = inputs[start : start + count]
        name, channels = f"{node.name}/{len(made)}", sum(c for _, c in taken)
        shapes = ((*node.shape[:-1], channels),)
        made.append(replace(node, name=name, inputs=tuple(i for i, _ in taken), shapes=shapes))
        inputs[start : start + count] = [(name, channels)]
    return [*made, replace(node, inputs=tuple(i for i, _ in inputs))]
