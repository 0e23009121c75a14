"""One spelling for each activation.

    Conv2D(activation="relu")   ==>   Conv2D -> Activation("relu")
    ReLU(max_value=6)           ==>   Activation("relu6")

so that BN folding and the emitter's fusion see every convolution bare. A ReLU with a slope or a threshold stays.
"""

from dataclasses import replace
from typing import Any

from ..graph import Graph, Node
from .declined import Declined, ignore

RELUS = {None: "relu", 6.0: "relu6"}  # max_value: name


def separate_activations(graph: Graph, declined: Declined = ignore) -> Graph:
    """Splits activations from layers, and names those that are layers of their own."""
    for name in list(graph.nodes):
        node = graph.nodes[name]  # as rewired so far
        function = node.config.get("activation", "linear")
        if node.op == "ReLU" and _is_plain(node.config):
            graph = graph.update(_activation(node, RELUS[node.config["max_value"]], node.name, node.inputs))
        elif node.op == "Softmax" and node.config.get("axis", -1) == -1:
            graph = graph.update(_activation(node, "softmax", node.name, node.inputs))
        elif node.op != "Activation" and function not in ("linear", None) and isinstance(function, str):
            bare = replace(node, config=node.config | {"activation": "linear"})
            behind = _activation(node, function, f"{node.name}/{function}", (node.name,))
            graph = graph.update(bare).insert_after(node.name, behind)
    return graph


def _is_plain(config: dict[str, Any]) -> bool:
    return config["max_value"] in RELUS and not config["negative_slope"] and not config["threshold"]


def _activation(node: Node, function: str, name: str, inputs: tuple[str, ...]) -> Node:
    return Node(name, "Activation", {"activation": function}, inputs, shapes=node.shapes)
