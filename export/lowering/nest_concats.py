"""Concatenations of at most five inputs.

    concat(a, b, c, d, e, f, g)    ==>   concat(concat(a, b, c), d, e, f, g)

XNNPACK takes up to five; six or more run outside the delegate in float and int8 alike, and split the graph. Exact.
The inner concatenation, which is copied twice, holds neighbours whose channels are fewest.
"""

from dataclasses import replace

from ..emit.rules.registry import MOST
from ..graph import Graph, Node
from .declined import Declined, ignore


def nest_concats(graph: Graph, declined: Declined = ignore) -> Graph:
    """Nests each concatenation of more than five inputs."""
    for node in list(graph.nodes.values()):
        if node.op == "Concatenate" and len(node.inputs) > MOST:
            axis = node.config["axis"] % (len(node.shape) + 1)
            if not axis:
                declined(node.name, "joins images")
                continue
            graph = graph.splice(node.name, *_nested(graph, node, axis - 1))
    return graph


def _nested(graph: Graph, node: Node, axis: int) -> list[Node]:
    """The inner concatenations and, last, the one of the node's own name; `axis` does not count the batch."""
    inputs = [(i, graph.shape_of(i)[axis]) for i in node.inputs]
    made: list[Node] = []
    while len(inputs) > MOST:
        count = min(MOST, len(inputs) - MOST + 1)
        start = min(range(len(inputs) - count + 1), key=lambda s: sum(side for _, side in inputs[s : s + count]))
        taken = inputs[start : start + count]
        name, total = f"{node.name}/{len(made)}", sum(side for _, side in taken)
        shapes = ((*node.shape[:axis], total, *node.shape[axis + 1 :]),)
        made.append(replace(node, name=name, inputs=tuple(i for i, _ in taken), shapes=shapes))
        inputs[start : start + count] = [(name, total)]
    return [*made, replace(node, inputs=tuple(i for i, _ in inputs))]
