"""Graph -> functional tf_keras model, and the trained weights back into the graph.

    node "stage2/conv"   <->   layer "stage2_conv"

Every weight keeps its place: both libraries order a layer's arrays alike.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tf_keras

from ...errors import InputError
from ..graph import Graph, Node
from . import layers as own

OWN = {name: getattr(own, name) for name in ("AdaptiveAverage2D", "ChannelPad", "ChannelShuffle", "LocalResponseNorm")}
# what Keras 3 writes into a config and tf_keras does not read
FOREIGN = {"lora_rank", "lora_alpha", "quantization_mode", "quantization_config", "batch_shape", "optional", "sparse"}
FOREIGN |= {"dtype", "data_format", "seed", "renorm", "synchronized", "ragged", "noise_shape", "shared_object_id"}


@dataclass(frozen=True)
class Bridged:
    """A tf_keras model and which of its layers each reference of the graph is.

    Args:
        model: the graph, rebuilt.
        layers: a layer's name by the reference ("node" or "node:1") that it makes.
    """

    model: Any
    layers: dict[str, str]

    def graph(self, graph: Graph, weights: Mapping[str, Sequence[Any]] | None = None) -> Graph:
        """The graph with the weights by layer given, or with the model's own."""
        found = weights or {layer.name: layer.get_weights() for layer in self.model.layers}
        trained = [
            replace(node, weights=tuple(np.asarray(w).astype(np.float32) for w in found[self.layers[node.name]]))
            for node in graph.nodes.values()
            if node.weights
        ]
        return graph.update(*trained)


def to_tf_keras(graph: Graph) -> Bridged:
    """The graph as a functional tf_keras model with its weights; outputs agree to 1e-5.

    Raises:
        InputError: a layer called twice, or one that tf_keras does not have.
    """
    tensors: dict[str, Any] = {}
    names: dict[str, str] = {}
    for node in graph.nodes.values():
        for index, shape in enumerate(node.shapes):
            reference = f"{node.name}:{index}" if index else node.name
            names[reference] = _unique(reference, names.values())
            if node.op == "InputLayer":
                tensors[reference] = tf_keras.Input(shape, name=names[reference])
                continue
            layer = _layer(node, index, names[reference])
            sources = [tensors[i] for i in node.inputs]
            tensors[reference] = layer(sources if len(sources) > 1 else sources[0])
            if node.weights:
                layer.set_weights(node.weights)
    inputs = [tensors[node.name] for node in graph.inputs]
    outputs = [tensors[reference] for reference in graph.outputs]
    model = tf_keras.Model(
        inputs[0] if len(inputs) == 1 else inputs, outputs[0] if len(outputs) == 1 else outputs, name=graph.name
    )
    return Bridged(model, names)


def _layer(node: Node, index: int, name: str) -> Any:
    """The tf_keras layer that makes the node's output of this index."""
    if "@" in node.name:
        raise InputError(
            f"{node.name.partition('@')[0]}: it is called twice, and tfmot trains layers called once; build two of it"
        )
    config = {k: v for k, v in node.config.items() if k not in FOREIGN and v is not None and not isinstance(v, dict)}
    config |= {"name": name, "dtype": "float32"}
    if node.op == "ChannelSplit":
        channels = node.shapes[index][-1]
        return own.ChannelSlice(index * channels, (index + 1) * channels, name=name)
    if node.op == "Activation":
        function = node.config["activation"]
        return tf_keras.layers.Activation(own.ACTIVATIONS.get(function, function), name=name)
    if node.op in OWN:
        return OWN[node.op].from_config(config)
    if node.op == "Conv2D":
        config["filters"] = node.weights[0].shape[-1]
        if config.get("groups", 1) > 1:
            return own.GroupedConv2D.from_config(config)
    kind = getattr(tf_keras.layers, node.op, None)
    if kind is None:
        raise InputError(f"{node.name}: {node.op} has no twin in tf_keras; compression-aware training cannot hold it")
    return kind.from_config(config)


def _unique(reference: str, taken: Any) -> str:
    """A name that tf_keras and its .h5 files take."""
    name = re.sub(r"[^A-Za-z0-9_.]", "_", reference)
    while name in taken:
        name += "_"
    return name
