"""The zoo's own layers, and Keras 3's activations, in tf_keras, where tensorflow-model-optimization trains.

tfmot reads tf_keras models only. Each class has the name, the config and the outputs of its Keras 3 twin; what gives
two tensors there is a layer for each here, since tfmot's wrappers take one.
"""

from typing import Any

import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.clustering.keras import ClusterableLayer
from tensorflow_model_optimization.sparsity.keras import PrunableLayer

from ...grouped import grouped_conv2d

register = tf_keras.utils.register_keras_serializable("keras_cnnzoo")


@register
class GroupedConv2D(tf_keras.layers.Conv2D, PrunableLayer, ClusterableLayer):
    """Conv2D with groups, cheap to train on a CPU; tf_keras' own compiles each of its calls."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return grouped_conv2d(inputs, kernel, self.strides, self.padding.upper(), self.dilation_rate)

    def get_prunable_weights(self) -> list[Any]:
        return [self.kernel]

    def get_clusterable_weights(self) -> list[tuple[str, Any]]:
        return [("kernel", self.kernel)]


@register
class ChannelShuffle(tf_keras.layers.Layer):
    """Channel g * n + i moves to i * groups + g."""

    def __init__(self, groups: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.groups = groups

    def call(self, inputs: Any) -> Any:
        _, height, width, channels = inputs.shape
        grouped = tf.reshape(inputs, (-1, height, width, self.groups, channels // self.groups))
        return tf.reshape(tf.transpose(grouped, (0, 1, 2, 4, 3)), (-1, height, width, channels))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"groups": self.groups}


@register
class ChannelSlice(tf_keras.layers.Layer):
    """The channels from `first` up to `last`: one output of ChannelSplit."""

    def __init__(self, first: int, last: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first, self.last = first, last

    def call(self, inputs: Any) -> Any:
        return inputs[..., self.first : self.last]

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"first": self.first, "last": self.last}


@register
class ChannelPad(tf_keras.layers.Layer):
    """Zero channels put before and after those of the input."""

    def __init__(self, before: int, after: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.before, self.after = before, after

    def call(self, inputs: Any) -> Any:
        return tf.pad(inputs, ((0, 0), (0, 0), (0, 0), (self.before, self.after)))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"before": self.before, "after": self.after}


@register
class LocalResponseNorm(tf_keras.layers.Layer):
    """x / (k + alpha * sum of the squares over the n channels around x) ** beta."""

    def __init__(self, n: int, k: float, alpha: float, beta: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n, self.k, self.alpha, self.beta = n, k, alpha, beta

    def call(self, inputs: Any) -> Any:
        return tf.nn.local_response_normalization(inputs, self.n // 2, self.k, self.alpha, self.beta)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"n": self.n, "k": self.k, "alpha": self.alpha, "beta": self.beta}


@register
class AdaptiveAverage2D(tf_keras.layers.Layer):
    """Window i averages from floor(i * length / size) to ceil((i + 1) * length / size)."""

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size

    def call(self, inputs: Any) -> Any:
        _, height, width, _ = inputs.shape
        return tf.einsum("ih,jw,nhwc->nijc", self._windows(height), self._windows(width), inputs)

    def _windows(self, length: int) -> Any:
        place, window = tf.range(length), tf.range(self.size)[:, None]
        first, behind = window * length // self.size, -(-(window + 1) * length // self.size)
        inside = tf.cast((place >= first) & (place < behind), self.compute_dtype)
        return inside / tf.reduce_sum(inside, 1, keepdims=True)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"size": self.size}


@register
def relu6(x: Any) -> Any:
    return tf.nn.relu6(x)


@register
def hard_sigmoid(x: Any) -> Any:
    """Keras 3's; tf_keras' own has the slope 0.2."""
    return tf.nn.relu6(x + 3.0) / 6.0


@register
def hard_silu(x: Any) -> Any:
    return x * hard_sigmoid(x)


ACTIVATIONS = {"hard_sigmoid": hard_sigmoid, "hard_silu": hard_silu, "hard_swish": hard_silu, "relu6": relu6}
