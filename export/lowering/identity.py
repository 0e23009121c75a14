"""Layers that do nothing at inference, and those that one of their kind can do alone.

    x -> Dropout | RandomFlip | Activation("linear") | concat of one -> y  ==>   x -> y
    x -> Flatten -> Reshape(a) -> Reshape(b)                               ==>   x -> Reshape(b)
    x -> pad (1, 1) -> pad (2, 2)                                          ==>   x -> pad (3, 3)

Exact: nothing is computed.
"""

from dataclasses import replace

from ..graph import Graph, Node
from .declined import Declined, ignore

IDLE = {
    "ActivityRegularization",
    "AlphaDropout",
    "AugMix",
    "CutMix",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
    "MixUp",
    "RandAugment",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomRotation",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
    "SpatialDropout2D",
}
RESHAPES = {"Flatten", "Reshape"}
OF_MANY = {"Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply"}


def remove_identities(graph: Graph, declined: Declined = ignore) -> Graph:
    """Bypasses what does nothing at inference, and merges reshapes and pads."""
    for name in list(graph.nodes):
        node = graph.nodes[name]  # as rewired so far
        if does_nothing(node) or (node.op in RESHAPES and graph.shape_of(node.inputs[0]) == node.shape):
            if name in graph.outputs and node.inputs[0] in graph.outputs:  # each output is a tensor of its own
                graph = graph.update(replace(node, op="Reshape", config={"target_shape": node.shape}))
            else:
                graph = graph.bypass(name)
        elif node.op in RESHAPES and (inner := graph.producer(node.inputs[0])).op in RESHAPES:
            config = node.config if node.op == "Reshape" else {"target_shape": node.shape}
            graph = graph.update(replace(node, op="Reshape", config=config, inputs=inner.inputs))
        elif node.op == "ZeroPadding2D" and (inner := graph.producer(node.inputs[0])).op == "ZeroPadding2D":
            graph = graph.update(_padded_once(node, inner))
    return graph.pruned()


def does_nothing(node: Node) -> bool:
    """Whether the node returns its only input."""
    if node.op in IDLE or (node.op in OF_MANY and len(node.inputs) == 1):
        return True
    match node.op:
        case "Activation":
            return node.config["activation"] == "linear"
        case "ZeroPadding2D" | "Cropping2D":
            amounts = node.config["padding" if node.op == "ZeroPadding2D" else "cropping"]
            return not any(map(any, amounts))
        case "Rescaling":
            return node.config["scale"] == 1 and node.config["offset"] == 0
        case "MaxPooling2D" | "AveragePooling2D":
            return set(node.config["pool_size"]) == set(node.config["strides"]) == {1}
        case "UpSampling2D":
            return set(node.config["size"]) == {1}
        case "ChannelShuffle":
            return node.config["groups"] == 1
    return False


def _padded_once(outer: Node, inner: Node) -> Node:
    pads = zip(outer.config["padding"], inner.config["padding"], strict=True)
    total = tuple((a[0] + b[0], a[1] + b[1]) for a, b in pads)
    return replace(outer, config=outer.config | {"padding": total}, inputs=inner.inputs)
