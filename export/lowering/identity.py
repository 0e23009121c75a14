"""Layers that do nothing at inference.

x -> Dropout | Identity | Activation("linear") -> y   ==>   x -> y
"""

from ..graph import Graph, Node

IDLE = {
    "Identity",
    "Dropout",
    "SpatialDropout2D",
    "GaussianNoise",
    "GaussianDropout",
    "AlphaDropout",
    "ActivityRegularization",
}


def remove_identities(graph: Graph) -> Graph:
    """Bypasses what does nothing at inference."""
    for node in graph.nodes.values():
        if does_nothing(node):
            graph = graph.bypass(node.name)
    return graph


def does_nothing(node: Node) -> bool:
    return node.op in IDLE or (node.op == "Activation" and node.config["activation"] == "linear")
