"""The guard's check in int8: a pass may not cost accuracy beyond what the user allows."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..graph import Graph
from ..interpreter import LiteRT
from ..verify import correct, paired_difference
from . import lower

SQNR_LOSS = 1.0  # dB; random draws of the calibration images move it by about half of that


@dataclass(frozen=True)
class Accuracy:
    """What is compared, and how much may be lost.

    Args:
        inputs: (n, height, width, channels) float32, preprocessed.
        labels: (n,) class indices, or None: the signal-to-quantization-noise ratio decides then.
        max_drop: points of top-1 (hundredths) that one pass may cost.
    """

    inputs: np.ndarray
    labels: np.ndarray | None
    max_drop: float


class AccuracyGate:
    """A check for `lower_under` of the passes that are not canonical.

    Args:
        accuracy: what is compared.
        expected: the float model's outputs for its inputs, (n, classes).
        quantized: makes the int8 file of a lowered graph.
    """

    def __init__(self, accuracy: Accuracy, expected: np.ndarray, quantized: Callable[[Graph], bytes]) -> None:
        self.accuracy, self.expected, self.quantized = accuracy, expected, quantized
        self._known: dict[int, tuple[Graph, np.ndarray]] = {}  # the graph as well: its id must stay taken

    def __call__(self, before: Graph, after: Graph) -> str | None:
        """What the graph `after` loses in int8: top-1, where the whole interval lies beyond `max_drop`, or SQNR."""
        old, new = self._answers(before), self._answers(after)
        if self.accuracy.labels is None:
            loss = sqnr(self.expected, old) - sqnr(self.expected, new)
            return f"the int8 outputs lose {loss:.1f} dB" if loss > SQNR_LOSS else None
        labels = self.accuracy.labels
        mean, (low, high) = paired_difference(correct(new, labels), correct(old, labels))
        if high < -self.accuracy.max_drop:
            return f"int8 top-1 changes by {mean:+.2f} points (95 % interval {low:+.2f} to {high:+.2f})"
        return None

    def _answers(self, graph: Graph) -> np.ndarray:
        if id(graph) not in self._known:
            file = LiteRT(self.quantized(lower(graph)))
            self._known[id(graph)] = graph, file(self.accuracy.inputs)[0]
        return self._known[id(graph)][1]


def sqnr(expected: np.ndarray, answers: np.ndarray) -> float:
    """Signal-to-quantization-noise ratio of outputs in dB; infinite where equal, -infinite without a signal."""
    noise, signal = (float(np.square(each, dtype=np.float64).sum()) for each in (expected - answers, expected))
    if not noise:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf
