"""A graph as a functional Keras model again: lowered, it can be saved, timed on any backend, exported to ONNX."""

import importlib
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .graph import Graph, Node

if TYPE_CHECKING:
    import keras


def to_keras(graph: Graph) -> "keras.Model":
    """The model that computes the graph; its layers are named after the nodes.

    Raises:
        InputError: a node of a class that cannot be imported, or that refuses its configuration.
    """
    import keras

    tensors: dict[str, Any] = {}
    names: set[str] = set()
    for node in graph.nodes.values():
        name = _layer_name(node.name, names)
        if node.op == "InputLayer":
            tensors[node.name] = keras.Input(node.shape, name=name)
            continue
        layer = _layer(node, name)
        arguments = [tensors[i] for i in node.inputs]
        outputs = layer(arguments[0] if len(arguments) == 1 else arguments)
        if node.weights:
            layer.set_weights(node.weights)
        outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
        tensors |= {f"{node.name}:{index}" if index else node.name: tensor for index, tensor in enumerate(outputs)}
    inputs, results = [tensors[node.name] for node in graph.inputs], [tensors[name] for name in graph.outputs]
    return keras.Model(
        inputs[0] if len(inputs) == 1 else inputs, results[0] if len(results) == 1 else results, name=graph.name
    )


def _layer(node: Node, name: str) -> Any:
    kind = _class(node)
    try:
        return kind.from_config(node.config | {"name": name})
    except (TypeError, ValueError) as error:
        raise InputError(f"{node.name}: {node.op} refuses its configuration ({error})") from error


def _class(node: Node) -> Any:
    """The layer class: ours, Keras', or by its module."""
    import keras

    from .. import layers

    if node.op == "Conv2D" and node.config.get("groups", 1) > 1:
        return layers.GroupedConv2D
    module, _, name = node.op.rpartition(".")
    if module:
        return getattr(importlib.import_module(module), name)
    found = getattr(layers, name, None) or getattr(keras.layers, name, None)
    if found is None:
        raise InputError(f"{node.name}: no layer class {node.op!r}")
    return found


def _layer_name(name: str, taken: set[str]) -> str:
    """Keras allows no "/" in a layer's name, and each name once."""
    plain = unique = name.replace("/", "_").replace(":", "_").replace("@", "_")
    count = 0
    while unique in taken:
        count += 1
        unique = f"{plain}_{count}"
    taken.add(unique)
    return unique
