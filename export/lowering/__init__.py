"""Passes Graph -> Graph, each a file, each exact in float32."""

from collections.abc import Sequence

from ..graph import Graph
from .declined import ignore
from .passes import CANONICAL, Pass

__all__ = ["lower"]


def lower(graph: Graph, passes: Sequence[Pass] = CANONICAL) -> Graph:
    """The graph after all passes; without a choice of them, in the form that the emitter takes."""
    for each in passes:
        graph = each.run(graph, ignore)
    return graph
