"""Ranges of every activation, from a representative dataset run through the float file itself.

The float file is emitted once more with every activation as an output and with several images a call, so LiteRT sees
exactly the tensors that will be quantized (a fused ReLU's behind the ReLU, a shuffle's inner ones too), at XNNPACK's
speed, under any Keras backend.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .emit import emit
from .graph import Graph
from .interpreter import threads

Ranges = dict[str, tuple[float, float]]
BATCH, MEMORY = 4, 64e6  # at most so many images, and bytes of activations, a call: past that, only memory grows


@dataclass(frozen=True)
class Calibration:
    """Representative inputs of a model and where they came from.

    Args:
        inputs: (n, height, width, channels) float32, preprocessed as in use.
        source: in words, for the card.
        random: noise, good for latency work alone.
    """

    inputs: np.ndarray
    source: str
    random: bool = False

    def __post_init__(self) -> None:
        if not len(self.inputs):
            raise InputError("the representative dataset is empty; give at least one image")
        if not np.isfinite(self.inputs).all():
            raise InputError("the representative dataset holds NaN or infinite values; clean it first")

    @classmethod
    def noise(cls, count: int, shape: tuple[int, ...], seed: int = 0) -> "Calibration":
        """Normal noise: the file's latency will be right, its answers mean nothing."""
        inputs = np.random.default_rng(seed).standard_normal((count, *shape), np.float32)
        return cls(inputs, f"random:{count}", random=True)

    def __len__(self) -> int:
        return len(self.inputs)


def representative(data: "Calibration | np.ndarray | Iterable[np.ndarray]") -> Calibration:
    """A Calibration from one, from an array of inputs, or from an iterable of batches."""
    if isinstance(data, Calibration):
        return data
    if isinstance(data, np.ndarray):
        return Calibration(data.astype(np.float32, copy=False), "array")
    batches = [np.asarray(batch, np.float32) for batch in data]
    if not batches:
        raise InputError("the representative dataset is empty; give at least one image")
    return Calibration(np.concatenate(batches), "batches")


def min_max(graph: Graph, data: Calibration, step: Callable[[float], object] = lambda images: None) -> Ranges:
    """The least and the largest value that each tensor takes over the data; order and batching do not matter.

    Args:
        graph: lowered, of one input; every node has a rule.
        data: its inputs.
        step: told how many images are done.
    """
    ranges: Ranges = {}
    size = sum(4 * math.prod(shape) for node in graph.nodes.values() for shape in node.shapes)
    most = max(1, min(BATCH, int(MEMORY / size)))
    whole = len(data) - len(data) % most
    parts = ((most, data.inputs[:whole]), (1, data.inputs[whole:]))
    for batch, inputs in parts:
        if not len(inputs):
            continue
        watch = _Watch(emit(graph, batch=batch, expose=True))
        for start in range(0, len(inputs), batch):
            _widen(ranges, watch(inputs[start : start + batch]))
            step(batch)
    return ranges


def by_tensor(ranges: Ranges, graph: Graph, known: Ranges) -> Ranges:
    """Ranges by layer under the names of the tensors in the file: those of an activation fused into the layer before it
    are that layer's; layers that the file does not have are left out.

    Args:
        ranges: by node.
        graph: lowered.
        known: of every tensor.
    """
    found: Ranges = {}
    for name, limits in ranges.items():
        node = graph.nodes.get(name)
        tensor = name if node is None or name in known or not node.inputs else node.inputs[0]
        if tensor in known:
            found[tensor] = limits
    return found


class _Watch:
    """Runs a file whose activations are outputs, and reports each tensor's least and largest value."""

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(model_content=content, num_threads=threads())
        self.interpreter.allocate_tensors()
        (self.input,) = self.interpreter.get_input_details()
        self.outputs = {detail["name"]: detail["index"] for detail in self.interpreter.get_output_details()}

    def __call__(self, inputs: np.ndarray) -> Ranges:
        self.interpreter.set_tensor(self.input["index"], inputs)
        self.interpreter.invoke()
        ranges = {self.input["name"]: (float(inputs.min()), float(inputs.max()))}
        for name, index in self.outputs.items():
            values = self.interpreter.tensor(index)()
            ranges[name] = float(values.min()), float(values.max())
        return ranges


def _widen(ranges: Ranges, seen: Mapping[str, tuple[float, float]]) -> None:
    for name, (low, high) in seen.items():
        known = ranges.get(name, (low, high))
        ranges[name] = min(known[0], low), max(known[1], high)
