"""Passes that make a graph fit for channels first: merges of one rank, explicit padding, and a flattening that needs no
Transpose.

ZeroPadding2D goes into the windows that read it, as torch's exporter has them, so that no runtime copies a map for its
border. A convolution takes any, an average pool counts the zeros, a max pool must read nothing negative: its own border
is minus infinity, which is the same as 0 there as long as every window holds a real value.
"""

from dataclasses import replace

import numpy as np

from ..graph import Graph, Node, Shape
from ..lowering.padding import extent, pads_of, same_pads
from ..lowering.patterns import is_not_negative
from .rules.arithmetic import MERGES

CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D")
POOLS = ("MaxPooling2D", "AveragePooling2D")

Pads = tuple[int, int, int, int]
"""Top, left, bottom, right, as ONNX has them."""


def of_one_rank(graph: Graph) -> Graph:
    """Axes of 1 behind the batch for the smaller inputs of a merge, as Keras has them: channels first would not."""
    for merge in [node for node in graph.nodes.values() if node.op in MERGES]:
        shapes = [graph.shape_of(reference) for reference in merge.inputs]
        rank, inputs, added = max(map(len, shapes)), list(merge.inputs), []
        for place, shape in enumerate(shapes):
            if len(shape) < rank:
                whole = (*(1,) * (rank - len(shape)), *shape)
                name = f"{merge.name}/{place}/reshaped"
                added.append(Node(name, "Reshape", {"target_shape": whole}, (inputs[place],), shapes=(whole,)))
                inputs[place] = name
        graph = graph.splice(merge.name, *added, replace(merge, inputs=tuple(inputs)))
    return graph


def explicit_padding(graph: Graph) -> Graph:
    """Each window with `pads` in numbers, ZeroPadding2D folded into all its readers or left alone."""
    for node in graph.nodes.values():
        if node.op in CONVOLUTIONS + POOLS:
            found = pads(node, graph.shape_of(node.inputs[0]))
            graph = graph.update(replace(node, config=node.config | {"pads": found}))
    for padding in list(graph.nodes.values()):
        if padding.op == "ZeroPadding2D" and padding.name not in graph.outputs:
            readers = [node for node in graph.nodes.values() if padding.name in node.inputs]
            border = _in_order(pads_of(padding))
            if all(_absorbs(graph, reader, padding, border) for reader in readers):
                graph = graph.update(*(_with_border(reader, border) for reader in readers)).bypass(padding.name)
    return graph


def flatten_channels_first(graph: Graph) -> Graph:
    """Flatten of a channels-first map, where only dense layers read it: their kernels' rows are permuted instead.

    Flatten(h, w, c) -> Dense(kernel)   ==>   Flatten(c, h, w) -> Dense(kernel[permutation])
    """
    for flatten in list(graph.nodes.values()):
        if flatten.op != "Flatten" or flatten.name in graph.outputs:
            continue
        shape = graph.shape_of(flatten.inputs[0])
        readers = [node for node in graph.nodes.values() if flatten.name in node.inputs]
        if len(shape) == 3 and all(reader.op == "Dense" for reader in readers):
            order = np.arange(np.prod(shape)).reshape(shape).transpose(2, 0, 1).ravel()
            graph = graph.update(replace(flatten, config=flatten.config | {"channels_first": True}))
            graph = graph.update(*(replace(r, weights=(r.weights[0][order], *r.weights[1:])) for r in readers))
    return graph


def pads(node: Node, shape: Shape) -> Pads:
    """What `padding` of a window means on a map of `shape` (height, width, channels): "same" is TensorFlow's."""
    if node.config["padding"] == "valid":
        return 0, 0, 0, 0
    return _in_order(same_pads(shape, extent(node), tuple(node.config["strides"])))


def _in_order(sides: tuple[tuple[int, int], tuple[int, int]]) -> Pads:
    (top, bottom), (left, right) = sides
    return top, left, bottom, right


def _absorbs(graph: Graph, reader: Node, padding: Node, border: Pads) -> bool:
    if reader.op in CONVOLUTIONS:
        return True
    if reader.op == "AveragePooling2D":  # it either counts its border or does not
        return not any(reader.config["pads"]) and _smaller(border, reader)
    return reader.op == "MaxPooling2D" and _smaller(border, reader) and is_not_negative(graph, padding.inputs[0])


def _smaller(border: Pads, pool: Node) -> bool:
    """Whether every window holds a real value, and ONNX takes the border."""
    height, width = pool.config["pool_size"]
    top, left, bottom, right = (a + b for a, b in zip(border, pool.config["pads"], strict=True))
    return max(top, bottom) < height and max(left, right) < width


def _with_border(reader: Node, border: Pads) -> Node:
    pads = tuple(a + b for a, b in zip(border, reader.config["pads"], strict=True))
    return replace(reader, config=reader.config | {"pads": pads, "count_include_pad": any(border)})
