"""Bias correction: each channel's mean is again what it was in the float network.

Rounding moves means: a channel that spans a few steps of its tensor's scale is rounded the same way throughout, and a
ReLU's outputs, none of them negative, do not average the errors of the weights away. Layer after layer the bias takes
up what the mean of the layer's output is off, behind its activation:

    bias += (mean of float outputs - mean of quantized ones) / share of outputs that move with the bias

Where an activation is flat, an error does no harm, and a bias that mended it would do some: matched before the ReLU,
as in the paper, a SqueezeNet falls from 37 dB to 5. Of the float network means are enough, which calibration sees in
passing; of the quantized one each operator runs on the same images, behind those already corrected.

Source: after Nagel et al., Data-free quantization through weight equalization and bias correction, 2019, section 4.2.
"""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from ..graph import Graph
from ..interpreter import quantized
from ..kernels import Kernel, float_kernels, integer_kernel, write_kernel
from ..layerwise import Layerwise, Values, forget_read
from ..lowering.hard_swish import hard_form
from .sequence import chosen_images, has_integer_kernel

BIAS_IMAGES = 32  # images at most: with 128 the logits are 0.1 dB nearer, and a large network waits thrice as long
FEWEST = 0.02  # where less of a channel moves, its images say too little
EVERYWHERE, POSITIVE = (-math.inf, math.inf), (0.0, math.inf)
STEEP = {
    "relu": POSITIVE,
    "relu6": (0.0, 6.0),
    "silu": POSITIVE,
    "swish": POSITIVE,
    "gelu": POSITIVE,
    "sigmoid": (-4.0, 4.0),
}
"""Where an activation is not flat, or nearly so."""
HARD_SIGMOID = -3.0, 3.0

Limits = tuple[float, float]


class Means:
    """The mean of each channel of every tensor of the float network, over some of the images that it is shown.

    Of what an activation alone reads, cut to where that is steep.

    Args:
        graph: the network.
        count: of all images that will be shown.
    """

    def __init__(self, graph: Graph, count: int) -> None:
        self.places = chosen_images(count, graph.largest, BIAS_IMAGES)
        self._wanted = np.isin(np.arange(count), self.places)
        self._shown: Counter[str] = Counter()
        self._sums: dict[str, np.ndarray] = {}
        self._steep = steep_limits(graph)

    def see(self, name: str, values: np.ndarray) -> None:
        """Takes a tensor's next values, (images, ...)."""
        start = self._shown[name]
        self._shown[name] += len(values)
        wanted = values[self._wanted[start : start + len(values)]]
        if len(wanted):
            limits, rows = self.limits(name), wanted.reshape(-1, wanted.shape[-1])
            rows = rows if limits == EVERYWHERE else rows.clip(*limits)
            with np.errstate(invalid="ignore"):  # infinite ones are refused by their ranges
                mean = np.full(len(rows), 1 / len(rows), np.float32) @ rows
                self._sums[name] = self._sums.get(name, 0) + mean.astype(np.float64) * len(wanted)

    def limits(self, name: str) -> Limits:
        """Between which values a tensor is looked at."""
        return self._steep.get(name, EVERYWHERE)

    def of(self, name: str) -> np.ndarray:
        """(channels,)"""
        return np.asarray(self._sums[name] / len(self.places))


def steep_limits(graph: Graph) -> dict[str, Limits]:
    """Between which values to look at a tensor that an activation alone reads, by its name."""
    readers, found = graph.readers(), dict[str, Limits]()
    for node in graph.nodes.values():
        source, reads, hard_sigmoid = hard_form(graph, node)
        if source and readers[source] == reads:
            found[source] = HARD_SIGMOID if hard_sigmoid else POSITIVE
        elif node.op == "Activation" and readers[node.inputs[0]] == 1:
            found[node.inputs[0]] = STEEP.get(node.config["activation"], EVERYWHERE)
    return found


def corrected_biases(
    whole: bytes,
    small: bytes,
    means: Means,
    images: np.ndarray,
    step: Callable[[float], object] = lambda operators: None,
) -> dict[str, Kernel]:
    """The kernels of a quantized file with other biases, by the names of the operators' outputs.

    Args:
        whole: the float32 file, of batch 1.
        small: the int8 one, of batch 1.
        means: of the float network.
        images: those over which they are, (n, height, width, channels) float32.
        step: told how many operators are done.
    """
    exact, network, found = float_kernels(whole), Layerwise(small), dict[str, Kernel]()
    first, left = network.graph.inputs[0], network.readers()
    values: Values = {network.name(first): quantized(images, network.detail(first))}
    for layer in network.steps:
        outputs = network.run(layer, values)
        if layer.name in exact and has_integer_kernel(network, layer):
            detail, mean = network.detail(layer.operator.outputs[0]), means.of(layer.name)
            more = _missing_of_integers(mean, means.limits(layer.name), outputs[layer.name], detail)
            scale, integers = integer_kernel(network.model, layer.operator, layer.kind)
            found[layer.name] = Kernel(scale, integers, (exact[layer.name][1] + more).astype(np.float32))
            write_kernel(network.model, layer.operator, layer.kind, found[layer.name])
            outputs = network.run(layer, values)
        values |= outputs
        forget_read(values, layer, left)
        step(1)
    return found


def _missing_of_integers(mean: np.ndarray, limits: Limits, outputs: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    """What `missing` says of (images, ..., channels) integers, whose type and scale `detail` tells, in real values.

    Their own ends are limits as well: a ReLU that is fused stands still at the lowest.
    """
    scale, zero_point = detail["quantization"]
    integers = np.iinfo(detail["dtype"])
    low, high = (round(float(np.clip(x / scale + zero_point, integers.min, integers.max))) for x in limits)
    return scale * missing(mean / scale + zero_point, (low, high), outputs.reshape(-1, outputs.shape[-1]))


def missing(mean: np.ndarray, limits: Limits, rows: np.ndarray) -> np.ndarray:
    """(channels,) by how much each bias must grow.

    Args:
        mean: (channels,) of the float network, within the limits.
        limits: beyond which nothing moves with the bias.
        rows: (outputs, channels) of the quantized network.
    """
    low, high = limits
    moving = ((rows > low) & (rows < high)).mean(axis=0)
    off = mean - rows.clip(low, high).mean(axis=0, dtype=np.float64)
    return np.asarray(np.where(moving > FEWEST, off / np.maximum(moving, FEWEST), 0))
