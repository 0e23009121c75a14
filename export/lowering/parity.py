"""The guard's check in float32: a lowered graph answers as the model does, on random and on calibration inputs."""

from typing import TYPE_CHECKING

import numpy as np

from ...errors import InputError
from ..emit import emit, without_rule
from ..graph import Graph
from ..interpreter import LiteRT
from ..rebuild import to_keras

if TYPE_CHECKING:
    import keras

    from ..calibration import Calibration

TOLERANCE = 1e-4  # of the largest output


class Parity:
    """A check for `lower_under`.

    Args:
        inputs: (n, height, width, channels) float32; None checks nothing.
        expected: the model's outputs for them.
    """

    def __init__(self, inputs: np.ndarray | None, expected: list[np.ndarray]) -> None:
        self.inputs, self.expected = inputs, expected

    @classmethod
    def of(cls, model: "keras.Model", data: "Calibration | None" = None, seed: int = 0) -> "Parity":
        """Over one random input and one of the calibration data; a model of several inputs is not checked."""
        if len(model.inputs) != 1:
            return cls(None, [])
        inputs = np.random.default_rng(seed).standard_normal((1, *model.inputs[0].shape[1:]), np.float32)
        if data is not None:
            inputs = np.concatenate([inputs, data.inputs[:1]])
        return cls(inputs, _listed(model(inputs, training=False)))

    def __call__(self, before: Graph, after: Graph) -> str | None:
        """What is wrong with the graph `after`, or None."""
        if self.inputs is None:
            return None
        try:
            found = answers(after, self.inputs)
        except InputError:
            if _runs(before):
                raise
            return None
        for expected, answer in zip(self.expected, found, strict=True):
            if expected.shape != answer.shape:
                return f"its outputs are {answer.shape}, not {expected.shape}"
            finite = np.isfinite(expected)
            if (finite != np.isfinite(answer)).any():
                return "its outputs are not finite where the model's are"
            largest = float(np.abs(expected[finite]).max(initial=0.0))
            off = float(np.abs(expected - answer)[finite].max(initial=0.0))
            if off > TOLERANCE * largest:
                return f"outputs differ by {off / largest:.1e} of the largest"
        return None


def _runs(graph: Graph) -> bool:
    """Whether the graph can be computed here at all; a file of its own kind then comes from TensorFlow's converter."""
    if not without_rule(graph):
        return True
    try:
        to_keras(graph)
    except InputError:
        return False
    return True


def answers(graph: Graph, inputs: np.ndarray) -> list[np.ndarray]:
    """The outputs of a graph of one input: by LiteRT where each node has a rule, else by Keras."""
    if without_rule(graph):
        return _listed(to_keras(graph)(inputs, training=False))
    return LiteRT(emit(graph))(inputs)


def _listed(outputs: object) -> list[np.ndarray]:
    outputs = list(outputs.values()) if isinstance(outputs, dict) else outputs
    import keras

    listed = outputs if isinstance(outputs, list | tuple) else [outputs]
    return [np.asarray(keras.ops.convert_to_numpy(output)) for output in listed]
