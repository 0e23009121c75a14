"""The channel shuffle behind the depthwise convolution.

    shuffle -> pad -> depthwise by k -> ReLU    ==>   pad -> depthwise by k' -> ReLU -> shuffle

k' is k in the order in which the channels stand before the shuffle. Exact: each channel is convolved by itself. Where
the depthwise convolution has a stride of 2, a quarter of the pixels is left to transpose.
"""

from dataclasses import replace

import numpy as np

from ..graph import Graph, Node
from .declined import Declined, ignore
from .patterns import is_elementwise, shuffled

BY_CHANNEL = {"ZeroPadding2D", "MaxPooling2D", "AveragePooling2D"}


def late_shuffle(graph: Graph, declined: Declined = ignore) -> Graph:
    """Moves each shuffle behind the last depthwise convolution that follows it channel by channel."""
    for name in [node.name for node in graph.nodes.values() if node.op == "ChannelShuffle"]:
        if chain := _chain(graph, name):
            graph = _moved(graph, graph.nodes[name], chain)
        elif graph.readers()[name] > 1:
            declined(name, "it is read more than once")
        else:
            declined(name, "no depthwise convolution follows")
    return graph


def _chain(graph: Graph, name: str) -> list[Node]:
    """What follows the shuffle, each the only reader of the one before it, up to the last depthwise convolution."""
    reading, readers, chain = graph.reading(), graph.readers(), list[Node]()
    while readers[name] == 1 and reading[name]:
        (node,) = reading[name]
        if not (_is_depthwise(node) or node.op in BY_CHANNEL or is_elementwise(node)):
            break
        chain.append(node)
        name = node.name
    last = max((index for index, node in enumerate(chain) if _is_depthwise(node)), default=-1)
    behind = chain[last + 1 : last + 2]  # its activation, so that it stays fused
    return chain[: last + 1] + [node for node in behind if last >= 0 and node.op == "Activation"]


def _is_depthwise(node: Node) -> bool:
    return node.op == "DepthwiseConv2D" and node.config["depth_multiplier"] == 1


def _moved(graph: Graph, shuffle: Node, chain: list[Node]) -> Graph:
    order = shuffled(shuffle.config["groups"], shuffle.shape[-1])
    graph = graph.bypass(shuffle.name)
    for name in [node.name for node in chain if _is_depthwise(node)]:
        node = graph.nodes[name]  # as rewired
        graph = graph.update(replace(node, weights=_ordered(node.weights, order)))
    last = graph.nodes[chain[-1].name]
    # the last of the chain keeps its name for the shuffle, so that its readers need not be told
    inner = replace(last, name=f"{last.name}/unshuffled")
    return graph.splice(last.name, inner, replace(shuffle, name=last.name, inputs=(inner.name,), shapes=last.shapes))


def _ordered(weights: tuple[np.ndarray, ...], order: np.ndarray) -> tuple[np.ndarray, ...]:
    kernel, *bias = weights
    inverse = np.argsort(order)
    return (kernel[:, :, inverse], *(b[inverse] for b in bias))
