"""The few layers that Keras lacks. Channels are last."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

_register = keras.saving.register_keras_serializable("keras_cnnzoo")


@_register
class GroupedConv2D(keras.layers.Conv2D):
    """Conv2D whose groups are cheap to train on a CPU under TensorFlow.

    keras.layers.Conv2D wraps a grouped convolution in a jit-compiled function there, which makes a training step 17 to
    336 times slower; this one calls `tf.nn.conv2d` and brings the gradient along. Under other backends it is its
    parent. Input and output: (batch, height, width, channels).
    """

    def call(self, inputs: Any) -> Any:
        if not self.use_bias or keras.backend.backend() != "tensorflow":
            return super().call(inputs)
        # keras.ops.add would write a BiasAdd, which TensorFlow's optimiser fuses into a kernel that knows no groups
        outputs = self.convolution_op(inputs, self.kernel)
        outputs = outputs + ops.cast(self.bias, outputs.dtype)
        return self.activation(outputs) if self.activation is not None else outputs

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        if keras.backend.backend() != "tensorflow":
            return super().convolution_op(inputs, kernel)
        from .grouped import grouped_conv2d

        kernel = ops.convert_to_tensor(kernel, dtype=self.compute_dtype)
        return grouped_conv2d(inputs, kernel, self.strides, self.padding.upper(), self.dilation_rate)


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


@_register
class Slice(keras.layers.Layer):
    """The part of each image's array that starts at `begin` and is `size` large: `x[:, 2:10, :, :8]` as a layer."""

    def __init__(self, begin: Sequence[int], size: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.begin, self.size = tuple(begin), tuple(size)

    def call(self, inputs: Any) -> Any:
        return inputs[(slice(None), *(slice(b, b + s) for b, s in zip(self.begin, self.size, strict=True)))]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], *self.size)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"begin": self.begin, "size": self.size}


@_register
class LocalResponseNorm(keras.layers.Layer):
    """x / (k + alpha * sum of the squares over the n channels around x) ** beta; the shape stays.

    Source: AlexNet, https://papers.nips.cc/paper/4824, section 3.3, whose constants are the defaults. As there and in
    tf.nn.local_response_normalization, alpha is not divided by n; torch and Caffe divide it.
    """

    def __init__(self, n: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if n < 1 or n % 2 == 0:
            raise ValueError(f"{self.name}: n={n} channels have no middle; n must be odd")
        self.n, self.k, self.alpha, self.beta = n, k, alpha, beta

    def call(self, inputs: Any) -> Any:
        channels, reach = inputs.shape[-1], self.n // 2
        squares = ops.pad(ops.square(inputs), ((0, 0), (0, 0), (0, 0), (reach, reach)))
        energy = sum(squares[..., first : first + channels] for first in range(self.n))
        return inputs / ops.power(self.k + self.alpha * energy, self.beta)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"n": self.n, "k": self.k, "alpha": self.alpha, "beta": self.beta}


@_register
class AdaptiveAverage2D(keras.layers.Layer):
    """torch's AdaptiveAvgPool2d; (n, h, w, c) -> (n, size, size, c). Keras' own wants h and w known beforehand."""

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size

    def call(self, inputs: Any) -> Any:
        _, height, width, _ = ops.shape(inputs)
        rows, columns = self._windows(height), self._windows(width)
        return ops.einsum("jw,niwc->nijc", columns, ops.einsum("ih,nhwc->niwc", rows, inputs))

    def _windows(self, length: Any) -> Any:
        """(size, length): row i averages from floor(i * length / size) to ceil((i + 1) * length / size)."""
        place, window = ops.arange(length), ops.arange(self.size)[:, None]
        first, behind = window * length // self.size, -(-(window + 1) * length // self.size)
        inside = ops.cast(ops.logical_and(place >= first, place < behind), self.compute_dtype)
        return inside / ops.sum(inside, axis=1, keepdims=True)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], self.size, self.size, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"size": self.size}


@_register
class MapScale(keras.layers.Layer):
    """Multiplies each position of a map by a constant of its own, (h, w, 1); the shape stays.

    The lowering writes a "same" average pool, whose windows are smaller at the border, as a convolution and this.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.factors = self.add_weight(
            shape=(*input_shape[1:3], 1), initializer="ones", trainable=False, name="factors"
        )

    def call(self, inputs: Any) -> Any:
        return inputs * ops.cast(self.factors, inputs.dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return tuple(input_shape)
