"""Quantization-aware training by tfmot: weights that survive int8, and the ranges that it learned.

    Graph -> tf_keras, each layer annotated -> trained -> Graph and ranges -> our emitter, or Q/DQ

The file is our emitter's, not TFLiteConverter's: of a CIFAR-10 ResNet-20 it is strictly int8 and answers at 32.2 dB of
what tfmot's model computes (99.5 % the same class of 1,000 images), while TFLiteConverter (TensorFlow 2.21) refuses a
dense kernel that was trained with a scale for each output ("'tfl.transpose' op has mismatched quantized axes").

tfmot starts every range at -6 to 6 and moves it by a thousandth a batch, so a few epochs end far from the truth; here
they start where the float network's activations are.
"""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.python.core.quantization.keras.quantize import (
    quantize_annotate_layer,
    quantize_apply,
    quantize_scope,
)
from tensorflow_model_optimization.python.core.quantization.keras.quantize_layer import QuantizeLayer
from tensorflow_model_optimization.python.core.quantization.keras.quantize_wrapper import QuantizeWrapper

from ..calibration import Ranges
from ..graph import Graph, Node
from . import layers as own
from .bridge import Bridged
from .quantizers import Preserve, Quantized, Scheme, clustered

PASSES_ON = {"ChannelPad", "ChannelShuffle", "ChannelSplit", "Dropout", "Flatten", "GlobalMaxPooling2D", "Identity"}
PASSES_ON |= {"MaxPooling2D", "Permute", "Reshape", "SpatialDropout2D", "ZeroPadding2D", "Cropping2D"}
FUSED = ("relu", "relu6")  # into the operator before
START = 256  # images from which the ranges start


def quantizes_output(node: Node, graph: Graph) -> bool:
    """Whether the file will round what the node makes: not before a fused ReLU, nor twice before a concatenation."""
    if node.op in PASSES_ON or (node.op == "Activation" and node.config["activation"] in ("linear", "softmax")):
        return False
    reads = [reader for reader in graph.nodes.values() for name in reader.inputs if name == node.name]
    if len(reads) != 1 or node.name in graph.outputs:
        return True
    (reader,) = reads
    return reader.op != "Concatenate" and not (reader.op == "Activation" and reader.config["activation"] in FUSED)


def with_quantization(bridged: Bridged, graph: Graph, images: np.ndarray, preserve: dict[str, Preserve]) -> Any:
    """A model that quantizes as int8 will.

    Args:
        bridged: the float model.
        graph: what it was made of.
        images: (n, height, width, channels); the ranges start from some of them.
        preserve: what a node's kernel keeps of an earlier stage.
    """
    configs = {}
    for reference, layer in bridged.layers.items():
        node = graph.producer(reference)
        configs[layer] = Quantized(quantizes_output(node, graph), preserve.get(node.name, ""))

    def annotate(layer: Any) -> Any:
        return (
            layer
            if isinstance(layer, tf_keras.layers.InputLayer)
            else quantize_annotate_layer(layer, configs[layer.name])
        )

    objects = {name: kind for name, kind in vars(own).items() if isinstance(kind, type)} | {"Quantized": Quantized}
    with quantize_scope(objects):
        annotated = tf_keras.models.clone_model(bridged.model, clone_function=annotate)
        model = quantize_apply(annotated, Scheme())
    _start(model, bridged.model, images[:: max(1, len(images) // START)][:START])  # of all classes, in whatever order
    return model


def _wrappers(model: Any) -> dict[str, QuantizeWrapper]:
    """By the name of the layer that they hold."""
    return {layer.layer.name: layer for layer in model.layers if isinstance(layer, QuantizeWrapper)}


def _limits(model: Any) -> dict[str, tuple[Any, Any]]:
    """The variables of each learned range, by the float layer's name; the input's is under its own."""
    found = {
        name: (wrapper._output_quantizer_vars["min_var"], wrapper._output_quantizer_vars["max_var"])
        for name, wrapper in _wrappers(model).items()
        if wrapper._output_quantizers
    }
    for layer in model.layers:
        if isinstance(layer, QuantizeLayer):
            source = layer.inbound_nodes[0].inbound_layers.name
            found[source] = layer.quantizer_vars["min_var"], layer.quantizer_vars["max_var"]
    return found


def _start(model: Any, whole: Any, images: np.ndarray) -> None:
    """Sets each range to what the float network's activations take over some images."""
    limits = _limits(model)
    names = [name for name in limits if whole.get_layer(name).output is not None]
    probe = tf.function(tf_keras.Model(whole.inputs, [whole.get_layer(name).output for name in names]))
    for start in range(0, len(images), 64):
        for name, values in zip(names, probe(images[start : start + 64]), strict=True):
            low, high = (float(x) for x in (tf.reduce_min(values), tf.reduce_max(values)))
            least, largest = limits[name]
            least.assign(low if not start else min(low, float(least)))
            largest.assign(high if not start else max(high, float(largest)))


def learned_ranges(model: Any, bridged: Bridged) -> Ranges:
    """The least and the largest value of each reference whose range was learned; 0 always lies between."""
    limits = _limits(model)
    return {
        reference: (min(0.0, float(limits[layer][0])), max(0.0, float(limits[layer][1])))
        for reference, layer in bridged.layers.items()
        if layer in limits
    }


def learned_weights(model: Any, bridged: Bridged, graph: Graph) -> Graph:
    """The graph with the trained kernels and biases; what preserving masks as zero is zero."""
    wrappers = _wrappers(model)
    return bridged.graph(graph, {name: _weights(wrapper) for name, wrapper in wrappers.items()})


def _weights(wrapper: QuantizeWrapper) -> list[Any]:
    """In Keras' order: tfmot takes the kernel out of the layer, and puts its rounding there."""
    if not wrapper._weight_vars:
        return wrapper.layer.get_weights()
    ((kernel, _, variables),) = wrapper._weight_vars
    kept = clustered(variables) if "values" in variables else kernel * variables.get("sparsity_mask", 1.0)
    return [kept, wrapper.layer.bias] if wrapper.layer.use_bias else [kept]
