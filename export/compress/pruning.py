"""Magnitude pruning by tfmot: a share of all weights, or two of every four.

2:4 takes the two smallest of each four consecutive INPUT channels at one place of one filter (tfmot's m_by_n on the
last axis of TFLite's OHWI), which is the pattern that sparse tensor cores and TensorRT read along C of KCRS. Kernels
whose input channels (of a group) do not divide into fours stay dense, the stem's three among them.
"""

from typing import Any

import numpy as np
from tensorflow_model_optimization.sparsity import keras as sparsity

from ..graph import Graph, Node
from .bridge import Bridged

AGAIN = 50  # steps between two choices of what is pruned
WEIGHTED = ("Conv2D", "Dense")
# the share of the steps over which pruning grows, and after which the choice stands
GROWTH = 0.5


def prunable(node: Node, pattern: str) -> bool:
    """Whether the node's kernel is pruned; "2:4" wants input channels in fours."""
    return node.op in WEIGHTED and (pattern != "2:4" or node.weights[0].shape[-2] % 4 == 0)


def with_pruning(bridged: Bridged, graph: Graph, pattern: str, share: float, steps: int) -> tuple[Any, list[Any]]:
    """A model that prunes the bridged one's layers while it trains, and the callbacks that it needs.

    Args:
        bridged: its layers are wrapped, so they hold the pruned weights afterwards.
        graph: what `bridged` was made of.
        pattern: "2:4", or "" for the smallest of each kernel.
        share: of the weights that become zero, in (0, 1), without a pattern.
        steps: of the training.
    """
    import tf_keras

    chosen = {bridged.layers[node.name] for node in graph.nodes.values() if prunable(node, pattern)}
    last = max(1, int(GROWTH * steps))
    again = max(1, min(AGAIN, last // 4))

    def wrap(layer: Any) -> Any:
        if layer.name not in chosen:
            return layer
        if pattern == "2:4":
            schedule = sparsity.ConstantSparsity(0.5, 0, last, again)
            return sparsity.prune_low_magnitude(layer, schedule, sparsity_m_by_n=(2, 4))
        return sparsity.prune_low_magnitude(layer, sparsity.PolynomialDecay(0.0, share, 0, last, frequency=again))

    model = tf_keras.models.clone_model(bridged.model, clone_function=wrap)
    return model, [sparsity.UpdatePruningStep()]


def zeros(kernel: np.ndarray) -> float:
    """The share of a kernel's weights that are zero."""
    return float((kernel == 0).mean())
