"""Cross-layer equalisation: the channels between two convolutions made equally large.

    conv -> [ReLU, pools, pads] -> conv

What leaves channel i is divided by s(i) and the next kernel's input channel multiplied by it; ReLU commutes with
that, so the network stays the same function and one scale serves all channels of a tensor better. With r and q the
largest weights of channel i before and behind, s = sqrt(r / q) makes both sqrt(r q).

ReLU6 does not commute: where calibration says that a channel never comes near 6, it may grow until it does, else it
stays as it is. The paper puts ReLU in its place, which is another function wherever 6 was reached.

Source: Nagel et al., Data-free quantization through weight equalization and bias correction, 2019 (arXiv 1906.04721).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..calibration import Calibration, watch
from ..graph import Graph, Node

HOMOGENEOUS = {"MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "ZeroPadding2D"}
ROUNDS, LIMIT = 20, 1e4  # sweeps over the chains; the largest factor of a channel
NEAR = 4.0  # to a ReLU6's end: other images reach farther than those of calibration, and would be cut


@dataclass(frozen=True)
class Pair:
    """Two convolutions between which each channel may be scaled.

    Args:
        first, second: nodes with kernels.
        capped: the name of the ReLU6 between them, or None.
    """

    first: str
    second: str
    capped: str | None


def equalise(graph: Graph, peaks: Mapping[str, np.ndarray] | None = None) -> Graph:
    """The same function with channels of equal size between convolutions.

    Args:
        graph: lowered.
        peaks: (channels,) the largest value that each ReLU6 lets through on calibration data, by its node's name;
            what is not among them keeps its channels.
    """
    chains = pairs(graph)
    peaks = peaks or {}
    room = {pair: np.asarray(peaks[pair.capped], np.float64) for pair in chains if pair.capped and pair.capped in peaks}
    chains = [pair for pair in chains if pair.capped is None or pair in room]
    for _ in range(ROUNDS):
        moved = 0.0
        for pair in chains:
            first, second = graph.nodes[pair.first], graph.nodes[pair.second]
            divisor = _divisor(_largest_out(first), _largest_in(second))
            if pair in room:
                near = room[pair] >= NEAR * (1 - 1e-6)
                divisor = np.where(near, 1, np.maximum(divisor, room[pair] / NEAR))
                room[pair] = room[pair] / divisor
            graph = graph.update(_out_divided(first, divisor), _in_multiplied(second, divisor))
            moved = max(moved, float(np.abs(np.log(divisor)).max()))
        if moved < 1e-3:
            break
    return graph


def pairs(graph: Graph) -> list[Pair]:
    """All pairs in the order of the network."""
    readers, following = graph.readers(), {i: node for node in graph.nodes.values() for i in node.inputs}
    found = []
    for first in graph.nodes.values():
        if not _has_kernel(first):
            continue
        node, capped = first, None
        while readers[node.name] == 1 and node.name in following:
            node = following[node.name]
            if _has_kernel(node):
                if _reads_channels(node):
                    found.append(Pair(first.name, node.name, capped))
                break
            activation = node.config.get("activation") if node.op == "Activation" else None
            if activation == "relu6" and capped is None:
                capped = node.name
            elif activation != "relu" and node.op not in HOMOGENEOUS:
                break
    return found


def _has_kernel(node: Node) -> bool:
    return node.op in ("Conv2D", "DepthwiseConv2D", "Dense") and node.config.get("activation") in (None, "linear")


def _reads_channels(node: Node) -> bool:
    """Whether its kernel has an axis of input channels to scale."""
    return node.op != "DepthwiseConv2D" or node.weights[0].shape[3] == 1


def _largest_out(node: Node) -> np.ndarray:
    """(channels,) the largest weight that makes each output channel."""
    kernel = np.abs(node.weights[0].astype(np.float64))
    if node.op == "DepthwiseConv2D":
        return np.asarray(kernel.max(axis=(0, 1)).reshape(-1))
    return np.asarray(kernel.reshape(-1, kernel.shape[-1]).max(axis=0))


def _largest_in(node: Node) -> np.ndarray:
    """(channels,) the largest weight that reads each input channel."""
    return np.asarray(np.abs(_by_input(node)).max(axis=(0, 2)))


def _by_input(node: Node) -> np.ndarray:
    """The kernel as (places, input channels, outputs of each)."""
    kernel = node.weights[0].astype(np.float64)
    if node.op == "DepthwiseConv2D":
        return kernel.reshape(-1, kernel.shape[2], 1)
    if node.op == "Dense":
        return kernel[None]
    places, groups = kernel.shape[0] * kernel.shape[1], int(node.config.get("groups", 1))
    split = kernel.reshape(places, kernel.shape[2], groups, -1)  # the outputs of a group stand together
    return split.transpose(0, 2, 1, 3).reshape(places, groups * kernel.shape[2], -1)


def _divisor(out: np.ndarray, read: np.ndarray) -> np.ndarray:
    """s, and 1 for channels that are dead on either side."""
    alive = (out > 0) & (read > 0)
    ratio = np.sqrt(np.where(alive, out, 1) / np.where(alive, read, 1))
    return np.clip(ratio, 1 / LIMIT, LIMIT)


def _out_divided(node: Node, divisor: np.ndarray) -> Node:
    kernel, *bias = (w.astype(np.float64) for w in node.weights)
    by = divisor.reshape(kernel.shape[2:]) if node.op == "DepthwiseConv2D" else divisor
    return replace(
        node, weights=tuple((w / d).astype(np.float32) for w, d in [(kernel, by), *((b, divisor) for b in bias)])
    )


def _in_multiplied(node: Node, divisor: np.ndarray) -> Node:
    kernel, *bias = node.weights
    if node.op == "DepthwiseConv2D" or node.op == "Dense":
        by = divisor[:, None]
    else:
        groups = int(node.config.get("groups", 1))
        by = divisor.reshape(groups, -1).T.repeat(kernel.shape[3] // groups, axis=1)
    return replace(node, weights=((kernel * by).astype(np.float32), *bias))


def peaks(graph: Graph, data: Calibration) -> dict[str, np.ndarray]:
    """(channels,) the largest value that each ReLU6 between two convolutions lets through, by its node's name."""
    capped = {pair.first: pair.capped for pair in pairs(graph) if pair.capped is not None}
    found: dict[str, np.ndarray] = {}

    def see(name: str, values: np.ndarray) -> None:
        if name in capped:
            highest = values.reshape(-1, values.shape[-1]).max(axis=0)
            found[capped[name]] = np.maximum(found.get(capped[name], highest), highest)

    if capped:
        watch(graph, data, see)
    return found
