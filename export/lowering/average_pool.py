"""The average pool as a depthwise convolution, which XNNPACK takes in int8 too.

    average pool 3x3    ==>   depthwise by 1/9              where no border is left out
                              depthwise by 1/9 -> * edges   where it is ("same"): 9 / (pixels inside the window)
                              global average                where the window is the whole map

LiteRT's own int8 kernel splits the graph and is 7 to 13 times slower on 56x56x256. Exact up to rounding: 1/9 is 127
steps of its int8 scale, the edges' factors are constants.
"""

from dataclasses import replace

import numpy as np

from ..graph import Graph, Node
from .batch_norm import POINTWISE
from .declined import Declined, ignore
from .padding import same_pads


def average_pool(graph: Graph, declined: Declined = ignore) -> Graph:
    """Replaces each average pool."""
    for name in [node.name for node in graph.nodes.values() if node.op == "AveragePooling2D"]:
        pool = graph.nodes[name]
        size, strides = tuple(pool.config["pool_size"]), tuple(pool.config["strides"])
        shape = graph.shape_of(pool.inputs[0])
        pads = same_pads(shape, size, strides) if pool.config["padding"] == "same" else ((0, 0), (0, 0))
        if pool.shape[:2] == (1, 1) and size == shape[:2] and not any(map(any, pads)):
            graph = graph.update(replace(pool, op="GlobalAveragePooling2D", config={"keepdims": True}))
            continue
        if strides[0] != strides[1]:
            declined(name, f"TensorFlow has no depthwise convolution of strides {strides}")
            continue
        mean = _mean(pool, size, strides)
        if not any(map(any, pads)):
            graph = graph.update(mean)
            continue
        mean = replace(mean, name=f"{name}/mean")
        edges = _edges(shape, size, strides, pads, pool.shape)
        scale = replace(pool, op="MapScale", config={}, inputs=(mean.name,), weights=(edges,))
        graph = graph.splice(name, mean, scale)
    return graph


def _mean(pool: Node, size: tuple[int, ...], strides: tuple[int, ...]) -> Node:
    channels = pool.shape[-1]
    kernel = np.full((*size, channels, 1), 1 / (size[0] * size[1]), np.float32)
    config = POINTWISE | {"kernel_size": size, "strides": strides, "padding": pool.config["padding"]}
    return replace(pool, op="DepthwiseConv2D", config=config, weights=(kernel, np.zeros(channels, np.float32)))


def _edges(
    shape: tuple[int, ...],
    size: tuple[int, ...],
    strides: tuple[int, ...],
    pads: tuple[tuple[int, int], ...],
    pooled: tuple[int, ...],
) -> np.ndarray:
    """(h, w, 1): pixels of the window by those of them inside the map."""
    inside = []
    for axis in (0, 1):
        first = np.arange(pooled[axis]) * strides[axis] - pads[axis][0]
        inside.append(np.minimum(first + size[axis], shape[axis]) - np.maximum(first, 0))
    counts = inside[0][:, None] * inside[1][None, :]
    return (size[0] * size[1] / counts).astype(np.float32)[:, :, None]
