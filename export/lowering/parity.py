"""The guard's check in float32: a lowered graph answers as the model does, on random and on calibration inputs."""

from typing import TYPE_CHECKING

import numpy as np

from ..answers import answers_of
from ..emit import emit, without_rule
from ..graph import Graph
from ..interpreter import LiteRT
from ..rebuild import to_keras

if TYPE_CHECKING:
    import keras

    from ..calibration import Calibration

TOLERANCE = 1e-4  # of the largest output
ROUNDING = 1e-2  # the most that float32 itself costs a network
WORSE = 2.0  # times as far off as before: then it is the pass, and not the network's own rounding


class Parity:
    """A check for `lower_under`.

    Args:
        inputs: one array (n, ...) float32 for each input of the model.
        expected: the model's outputs for them.
    """

    def __init__(self, inputs: list[np.ndarray], expected: list[np.ndarray]) -> None:
        self.inputs, self.expected = inputs, expected
        self._last: tuple[Graph, tuple[float, str]] | None = None

    @classmethod
    def of(cls, model: "keras.Model", data: "Calibration | None" = None, seed: int = 0) -> "Parity":
        """Over one random input and, where the model has one input, one of the calibration data."""
        rng = np.random.default_rng(seed)
        inputs = [rng.standard_normal((1, *tensor.shape[1:]), np.float32) for tensor in model.inputs]
        if data is not None and len(inputs) == 1:
            inputs = [np.concatenate([*inputs, data.inputs[:1]])]
        return cls(inputs, answers_of(model, inputs))

    def __call__(self, before: Graph | None, after: Graph) -> str | None:
        """What is wrong with the graph `after`, or None.

        Where rounding alone takes the network beyond the tolerance, a pass is wrong that makes it worse. Without a
        graph from before, `after` is wrong that is farther off than any rounding.
        """
        off, words = self._difference(after)
        if before is None:
            return words if off > ROUNDING else None
        return None if off <= TOLERANCE or off <= WORSE * self._difference(before)[0] else words

    def _difference(self, graph: Graph) -> tuple[float, str]:
        """As below, infinite where nothing can compute the graph; that of the last graph asked for is kept."""
        if self._last is None or self._last[0] is not graph:
            try:
                found = difference(self.expected, answers(graph, self.inputs))
            except Exception as error:  # of what a wrong graph makes anything may be said
                found = np.inf, f"{type(error).__name__}: {error}"
            self._last = graph, found
        return self._last[1]


def difference(expected: list[np.ndarray], found: list[np.ndarray]) -> tuple[float, str]:
    """The largest difference of any output as a share of that output's largest value, and the same in words."""
    farthest = 0.0
    for wanted, answer in zip(expected, found, strict=True):
        if wanted.shape != answer.shape:
            return np.inf, f"its outputs are {answer.shape}, not {wanted.shape}"
        finite = np.isfinite(wanted)
        if (finite != np.isfinite(answer)).any():
            return np.inf, "its outputs are not finite where the model's are"
        off = float(np.abs(wanted - answer)[finite].max(initial=0.0))
        largest = float(np.abs(wanted[finite]).max(initial=0.0))
        farthest = max(farthest, off and (off / largest if largest else np.inf))
    return farthest, f"outputs differ by {farthest:.1e} of the largest"


def answers(graph: Graph, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """The outputs of a graph: by LiteRT where each node has a rule, else by Keras."""
    if without_rule(graph) or len(inputs) != 1:
        return answers_of(to_keras(graph), inputs)
    return LiteRT(emit(graph))(*inputs)
