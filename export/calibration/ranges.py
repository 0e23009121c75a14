"""Ranges of every activation, from a representative dataset run through the float file itself.

The float file is emitted once more with every activation as an output and with several images a call, so LiteRT sees
exactly the tensors that will be quantized (a fused ReLU's behind the ReLU, a shuffle's inner ones too), at XNNPACK's
speed, under any Keras backend.
"""

import math
from collections import defaultdict
from collections.abc import Callable

import numpy as np

from ..emit import emit
from ..graph import Graph
from ..interpreter import threads
from ..schemes import Estimator
from .data import Calibration
from .estimators import ESTIMATE, LEVELS, Histogram, MovingAverage

Ranges = dict[str, tuple[float, float]]
Step = Callable[[float], object]
See = Callable[[str, np.ndarray], object]
BATCH, MEMORY = 4, 64e6  # at most so many images, and bytes of activations, a call: past that, only memory grows


def unseen(name: str, values: np.ndarray) -> None:
    """Looks at nothing."""


def watch(graph: Graph, data: Calibration, see: See, step: Step = lambda images: None) -> None:
    """Shows every tensor of the network to `see`, some images at a time.

    Args:
        graph: lowered, of one input; every node has a rule.
        data: its inputs.
        see: takes a tensor's name and its values (images, ...), which are gone when it returns.
        step: told how many images are done.
    """
    from ai_edge_litert.interpreter import Interpreter

    size = sum(4 * math.prod(shape) for node in graph.nodes.values() for shape in node.shapes)
    most = max(1, min(BATCH, int(MEMORY / size)))
    whole = len(data) - len(data) % most
    for batch, inputs in ((most, data.inputs[:whole]), (1, data.inputs[whole:])):
        if not len(inputs):
            continue
        interpreter = Interpreter(model_content=emit(graph, batch=batch, expose=True), num_threads=threads())
        interpreter.allocate_tensors()
        (source,) = interpreter.get_input_details()
        outputs = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
        for start in range(0, len(inputs), batch):
            part = inputs[start : start + batch]
            interpreter.set_tensor(source["index"], part)
            interpreter.invoke()
            see(source["name"], part)
            for name, index in outputs.items():
                see(name, interpreter.tensor(index)())
            step(batch)


def min_max(graph: Graph, data: Calibration, step: Step = lambda images: None, see: See = unseen) -> Ranges:
    """The least and the largest value that each tensor takes over the data; order and batching do not matter.

    Args:
        graph: lowered.
        data: its inputs.
        step: told how many images are done.
        see: shown what `watch` shows, too.
    """
    ranges: Ranges = {}

    def widen(name: str, values: np.ndarray) -> None:
        low, high = float(values.min()), float(values.max())
        known = ranges.get(name, (low, high))
        ranges[name] = min(known[0], low), max(known[1], high)
        see(name, values)

    watch(graph, data, widen, step)
    return ranges


def ranges_of(
    graph: Graph,
    data: Calibration,
    estimator: Estimator = "min-max",
    step: Step = lambda images: None,
    see: See = unseen,
    levels: int = LEVELS,
) -> Ranges:
    """The range in which each tensor is to be quantized to so many levels; `see` is shown once what `watch` shows.

    The histograms of all but "min-max" and "moving-average" span what min-max finds, so the data is run twice.
    """
    if estimator == "min-max":
        return min_max(graph, data, step, see)
    if estimator == "moving-average":
        averages: defaultdict[str, MovingAverage] = defaultdict(MovingAverage)

        def average(name: str, values: np.ndarray) -> None:
            averages[name].add(values)
            see(name, values)

        watch(graph, data, average, step)
        return {name: average.range for name, average in averages.items()}
    histograms = {name: Histogram(low, high) for name, (low, high) in min_max(graph, data, see=see).items()}
    watch(graph, data, lambda name, values: histograms[name].add(values), step)
    return {name: ESTIMATE[estimator](histogram, levels) for name, histogram in histograms.items()}


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
