"""The few layers that Keras lacks. Channels are last."""

import os
import platform
from typing import Any

import keras
from keras import ops

_register = keras.saving.register_keras_serializable("keras_cnnzoo")


@_register
class GroupedConv2D(keras.layers.Conv2D):
    """Conv2D whose groups are cheap to train on a CPU under TensorFlow.

    keras.layers.Conv2D wraps a grouped convolution in a jit-compiled function there, which makes a training step 17 to
    336 times slower; this one calls `tf.nn.conv2d`. Under other backends, and where oneDNN (whose gradient knows
    groups) is not at hand, it is its parent. Input and output: (batch, height, width, channels).
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        if keras.backend.backend() != "tensorflow" or not _has_onednn():
            return super().convolution_op(inputs, kernel)
        import tensorflow as tf

        # the float16 gradient of a grouped convolution has no CPU kernel
        in_float32 = inputs.dtype == tf.float16 and not tf.config.list_physical_devices("GPU")
        if in_float32:
            inputs, kernel = tf.cast(inputs, tf.float32), tf.cast(kernel, tf.float32)
        outputs = tf.nn.conv2d(
            inputs, kernel, list(self.strides), self.padding.upper(), dilations=list(self.dilation_rate)
        )
        return tf.cast(outputs, self.compute_dtype) if in_float32 else outputs


def _has_onednn() -> bool:
    return platform.system() == "Linux" and os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0"


@_register
class ChannelShuffle(keras.layers.Layer):
    """Interleaves the channels of `groups` groups: channel g * n + i moves to i * groups + g, n channels a group.

    Source: ShuffleNet, https://arxiv.org/abs/1707.01083, figure 1.
    """

    def __init__(self, groups: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.groups = groups

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if input_shape[-1] is None or input_shape[-1] % self.groups:
            raise ValueError(f"{self.name}: {input_shape[-1]} channels do not divide into groups={self.groups}")

    def call(self, inputs: Any) -> Any:
        shape = ops.shape(inputs)
        grouped = ops.reshape(inputs, (*shape[:3], self.groups, inputs.shape[-1] // self.groups))
        return ops.reshape(ops.transpose(grouped, (0, 1, 2, 4, 3)), shape)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"groups": self.groups}


@_register
class ChannelSplit(keras.layers.Layer):
    """The first and the second half of the channels, as two tensors."""

    def call(self, inputs: Any) -> list[Any]:
        return ops.split(inputs, 2, axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> list[tuple[int | None, ...]]:
        *outer, channels = input_shape
        if channels is None or channels % 2:
            raise ValueError(f"{self.name}: {channels} channels have no halves")
        return [(*outer, channels // 2)] * 2


@_register
class ChannelPad(keras.layers.Layer):
    """Zero channels put `before` and `after` those of the input: the parameter-free shortcut ("option A") of ResNet.

    Source: https://arxiv.org/abs/1512.03385, section 3.3.
    """

    def __init__(self, before: int, after: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.before, self.after = before, after

    def call(self, inputs: Any) -> Any:
        return ops.pad(inputs, ((0, 0), (0, 0), (0, 0), (self.before, self.after)))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        *outer, channels = input_shape
        return (*outer, None if channels is None else self.before + channels + self.after)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"before": self.before, "after": self.after}
