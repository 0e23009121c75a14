"""One spelling for each activation.

    Conv2D(activation="relu")            ==>   Conv2D -> Activation("relu")
    Conv2D(activation=LeakyReLU(0.1))    ==>   Conv2D -> LeakyReLU(0.1)
    ReLU(max_value=6)                    ==>   Activation("relu6")

so that BN folding and the emitter's fusion see every convolution bare. A ReLU with a slope or a threshold stays, and so
does a function of the user's own.
"""

from dataclasses import replace
from typing import Any

from ..graph import Graph, Node
from .affine import CHANNEL_AXES
from .declined import Declined, ignore

RELUS = {None: "relu", 6.0: "relu6"}  # max_value: name
LAYERS = ("ELU", "LeakyReLU", "ReLU", "Softmax")  # without weights


def separate_activations(graph: Graph, declined: Declined = ignore) -> Graph:
    """Splits activations from convolutions and dense layers, and names those that are layers of their own."""
    for name in list(graph.nodes):
        node = graph.nodes[name]  # as rewired so far
        if node.op not in CHANNEL_AXES:
            if (named := _named(node)) is not node:
                graph = graph.update(named)
            continue
        function = node.config["activation"]
        layer = _layer(function)
        called = layer[0] if layer else function
        if isinstance(called, str) and called != "linear":
            behind = Node(f"{name}/{called}", "Activation", {"activation": function}, (name,), shapes=node.shapes)
            bare = replace(node, config=node.config | {"activation": "linear"})
            graph = graph.update(bare).insert_after(name, _named(behind))
    return graph


def _named(node: Node) -> Node:
    """The node in the one spelling of its activation; itself where it has none or has it already."""
    if node.op == "Activation" and (layer := _layer(node.config["activation"])):
        node = replace(node, op=layer[0], config=layer[1])
    if node.op == "ReLU" and _is_plain(node.config):
        return replace(node, op="Activation", config={"activation": RELUS[node.config["max_value"]]})
    if node.op == "Softmax" and node.config.get("axis", -1) == -1:
        return replace(node, op="Activation", config={"activation": "softmax"})
    return node


def _layer(function: Any) -> tuple[str, dict[str, Any]] | None:
    """Class and configuration, where a layer of Keras' own was given as an activation."""
    if not isinstance(function, dict) or function.get("module") != "keras.layers":
        return None
    return (function["class_name"], function["config"]) if function["class_name"] in LAYERS else None


def _is_plain(config: dict[str, Any]) -> bool:
    return config["max_value"] in RELUS and not config["negative_slope"] and not config["threshold"]
