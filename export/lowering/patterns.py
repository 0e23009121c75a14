"""What several passes ask of a graph."""

from collections import Counter
from typing import Any

import numpy as np

from ..graph import Graph, Node, Shape

CLAMPS = ("relu", "relu6")  # what fuses into the operator before it
FUSING = {  # of which the emitter's rules return options, however they are configured
    "Add",
    "Average",
    "AveragePooling2D",
    "Conv2D",
    "Conv2DTranspose",
    "Dense",
    "DepthwiseConv2D",
    "LayerNormalization",
    "MapScale",
    "MaxPooling2D",
    "Multiply",
    "Rescaling",
    "Subtract",
    "keras.src.ops.numpy.Divide",
    "keras.src.ops.numpy.TrueDivide",
}

NOT_NEGATIVE = (*CLAMPS, "sigmoid", "hard_sigmoid", "softplus", "exponential")

MIXING = ("glu", "log_softmax", "softmax", "sparsemax")  # activations that look at several channels

# layers whose outputs stay within the limits of their inputs, where these hold zero
BOUNDED = {
    "AveragePooling2D",
    "ChannelPad",
    "ChannelShuffle",
    "ChannelSplit",
    "Concatenate",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "MaxPooling2D",
    "Reshape",
    "ZeroPadding2D",
}


def is_clamp(node: Node) -> bool:
    """A ReLU or ReLU6."""
    return node.op == "Activation" and node.config["activation"] in CLAMPS


def is_elementwise(node: Node) -> bool:
    """An activation of Keras' own that looks at one value at a time; of a user's nothing is known."""
    function = node.config.get("activation")
    return node.op == "Activation" and isinstance(function, str) and function not in MIXING


def fuses(graph: Graph, reference: str, readers: Counter[str]) -> bool:
    """Whether a clamp that alone reads `reference` becomes part of the operator before it."""
    return graph.producer(reference).op in FUSING and readers[reference] == 1


def is_clamped(graph: Graph, reference: str, function: str) -> bool:
    """Whether `function`, "relu" or "relu6", would change nothing."""
    node = graph.producer(reference)
    if is_clamp(node):
        return function == "relu" or node.config["activation"] == function
    return node.op in BOUNDED and all(is_clamped(graph, i, function) for i in node.inputs)


def is_not_negative(graph: Graph, reference: str) -> bool:
    """Whether no value is below 0."""
    node = graph.producer(reference)
    if node.op == "Activation":
        return node.config["activation"] in NOT_NEGATIVE
    return node.op in BOUNDED and all(is_not_negative(graph, i) for i in node.inputs)


def is_last_axis(axis: Any, shape: Shape) -> bool:
    """Whether a layer's axis is the channels', and no other beside it."""
    axes = tuple(axis) if isinstance(axis, list | tuple) else (axis,)
    return axes in ((-1,), (len(shape),))


def shuffled(groups: int, channels: int) -> np.ndarray:
    """For each channel behind a shuffle, the one before it."""
    return np.arange(channels).reshape(groups, -1).T.ravel()


def clamp(name: str, function: str, reference: str, shape: Shape) -> Node:
    """A ReLU or ReLU6 of what a reference stands for."""
    return Node(name, "Activation", {"activation": function}, (reference,), shapes=(shape,))
