"""What tfmot quantizes of each layer while it trains: kernels per output channel, as the file will, and outputs."""

from typing import Any, Literal

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.prune_preserve import (
    prune_preserve_quantize_registry as pruned,
)
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_quantize_scheme import (
    Default8BitQuantizeScheme,
)
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_quantizers import (
    Default8BitConvWeightsQuantizer,
)
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_transforms import (
    InputLayerQuantize,
)
from tensorflow_model_optimization.python.core.quantization.keras.graph_transformations import model_transformer
from tensorflow_model_optimization.python.core.quantization.keras.quantize_config import QuantizeConfig
from tensorflow_model_optimization.python.core.quantization.keras.quantize_layout_transform import (
    QuantizeLayoutTransform,
)
from tensorflow_model_optimization.python.core.quantization.keras.quantizers import (
    LastValueQuantizer,
    MovingAverageQuantizer,
)

Preserve = Literal["", "zeros", "clusters"]
KERNELS = {"Conv2D": "kernel", "GroupedConv2D": "kernel", "Dense": "kernel", "DepthwiseConv2D": "depthwise_kernel"}


class DepthwiseQuantizer(LastValueQuantizer):
    """A range for each channel of a depthwise kernel (h, w, c, m); tfmot's own has one for each of the m."""

    def __init__(self) -> None:
        super().__init__(num_bits=8, per_axis=True, symmetric=True, narrow_range=True)

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        return super().build((tensor_shape[-2] * tensor_shape[-1],), name, layer)

    def __call__(self, inputs: Any, training: bool, weights: dict[str, Any], **kwargs: Any) -> Any:
        height, width, channels, multiplier = inputs.shape
        flat = tf.reshape(inputs, (height * width, channels * multiplier))  # tfmot knows ranks 2 and 4
        return tf.reshape(super().__call__(flat, training, weights, **kwargs), inputs.shape)


class ClusterQuantizer(Default8BitConvWeightsQuantizer):
    """Trains the few values of a clustered kernel; which weight has which value stays.

    For tfmot's own, which sums the gradients of a value's weights and gives values of its own to each channel wherever
    each channel has them all. Zero stays zero, so that what was pruned is.
    """

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        values, places = np.unique(getattr(layer.layer, name).numpy(), return_inverse=True)
        initial = tf_keras.initializers.Constant(values)
        centroids = layer.add_weight(f"{name}_values", shape=values.shape, initializer=initial)
        clusters = {
            "values": centroids,
            "places": places.reshape(tensor_shape),
            "kept": (values != 0).astype(np.float32),
        }
        return super().build(tensor_shape, name, layer) | clusters

    def __call__(self, inputs: Any, training: bool, weights: dict[str, Any], **kwargs: Any) -> Any:
        unused = 0.0 * inputs  # the kernel that the values stand for; tf_keras warns of variables without a gradient
        return super().__call__(clustered(weights) + unused, training, weights, **kwargs)


def clustered(variables: dict[str, Any]) -> Any:
    """The kernel that a ClusterQuantizer's variables stand for."""

    @tf.custom_gradient
    def spread(values: Any) -> Any:
        def mean(upstream: Any) -> Any:
            places = variables["places"].reshape(-1)
            return tf.math.unsorted_segment_mean(tf.reshape(upstream, (-1,)), places, len(variables["kept"]))

        return tf.gather(values, variables["places"]), mean

    return spread(variables["values"] * variables["kept"])


@tf_keras.utils.register_keras_serializable("keras_cnnzoo")
class Quantized(QuantizeConfig):
    """A layer whose kernel, if it has one, and whose output, if asked for, are quantized.

    Args:
        output: quantize the output; not where the next operator is fused into this one, or the values are another's.
        preserve: what of an earlier stage the kernel keeps.
    """

    def __init__(self, output: bool, preserve: Preserve = "") -> None:
        self.output, self.preserve = output, preserve

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        name = KERNELS.get(type(layer).__name__)
        if name is None:
            return []
        return [(getattr(layer, name), self._kernel_quantizer(name))]

    def _kernel_quantizer(self, name: str) -> Any:
        if name == "depthwise_kernel":
            return DepthwiseQuantizer()
        if self.preserve == "clusters":
            return ClusterQuantizer()
        if self.preserve == "zeros":
            return pruned.PrunePreserveDefault8BitConvWeightsQuantizer()
        return Default8BitConvWeightsQuantizer()

    def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
        for weight in quantize_weights:
            setattr(layer, KERNELS[type(layer).__name__], weight)

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        return [MovingAverageQuantizer(8, per_axis=False, symmetric=False, narrow_range=False)] if self.output else []

    def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
        return []

    def set_quantize_activations(self, layer: Any, quantize_activations: list[Any]) -> None:
        pass

    def get_config(self) -> dict[str, Any]:
        return {"output": self.output, "preserve": self.preserve}


class Scheme(Default8BitQuantizeScheme):
    """Every layer as annotated. tfmot's own patterns would leave a kernel in float where its bare convolution meets a
    ReLU, since they look for the batch normalisation that is folded here."""

    def get_layout_transformer(self) -> Any:
        return _InputsAlone()


class _InputsAlone(QuantizeLayoutTransform):
    """The network's input is quantized; nothing else is changed."""

    def apply(self, model: Any, layer_quantize_map: dict[str, Any]) -> Any:
        names = set(layer_quantize_map)
        transforms = [InputLayerQuantize()]
        return model_transformer.ModelTransformer(model, transforms, names, layer_quantize_map).transform()
