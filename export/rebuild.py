"""A graph as a functional Keras model again: lowered, it can be saved, timed on any backend, exported to ONNX."""

import importlib
import inspect
from typing import TYPE_CHECKING, Any

from ..errors import InputError, one_line
from .graph import Graph, Node

if TYPE_CHECKING:
    import keras


def to_keras(graph: Graph) -> "keras.Model":
    """The model that computes the graph; its layers are named after the nodes.

    Raises:
        InputError: a node of a class that cannot be imported, or that refuses its configuration, inputs or weights.
    """
    import keras

    tensors: dict[str, Any] = {}
    names: set[str] = set()
    for node in graph.nodes.values():
        name = _layer_name(node.name, names)
        if node.op == "InputLayer":
            tensors[node.name] = keras.Input(node.shape, name=name)
            continue
        outputs = _called(_layer(node, name), node, [tensors[i] for i in node.inputs])
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
        raise InputError(
            f"{node.name}: {node.op} refuses its configuration ({one_line(error)[:300]}); mend its get_config, or use "
            "the network as it is"
        ) from error


def _called(layer: Any, node: Node, tensors: list[Any]) -> list[Any]:
    """The outputs of a layer that has the node's weights."""
    given = [p for p in inspect.signature(layer.call).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    several = sum(p.default is p.empty for p in given) > 1  # as a division takes two; a sum takes a list
    try:
        outputs = layer(*tensors) if several or len(tensors) == 1 else layer(tensors)
        if node.weights:
            layer.set_weights(node.weights)
    except (TypeError, ValueError) as error:  # a constant argument, say, is not in the configuration
        raise InputError(
            f"{node.name}: {node.op} cannot be called anew ({one_line(error)[:300]}); use the network as it is"
        ) from error
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


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
        raise InputError(f"{node.name}: no layer class {node.op!r}; use the network as it is")
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
