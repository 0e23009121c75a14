"""Passes Graph -> Graph, each a file, each exact in float32."""

from collections.abc import Callable

from ..graph import Graph
from .activation import separate_activations
from .batch_norm import fold_batch_norm, normalize_by_depthwise
from .identity import remove_identities
from .shortcut import shortcut_by_convolution

Pass = Callable[[Graph], Graph]

PASSES: tuple[Pass, ...] = (
    remove_identities,
    separate_activations,
    fold_batch_norm,
    normalize_by_depthwise,
    shortcut_by_convolution,
)


def lower(graph: Graph, passes: tuple[Pass, ...] = PASSES) -> Graph:
    """The graph after all passes."""
    for run in passes:
        graph = run(graph)
    return graph
