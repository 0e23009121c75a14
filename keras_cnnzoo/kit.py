"""The verbs from which every network is written.

What a network decides once (normalisation, activation, padding, epsilon) sits in a frozen Kit; a unit then reads like
the paper's figure: `x = kit.conv(x, 64, 3, stride=2, name="conv1")`. dataclasses.replace(kit, activation=...) is the
kit of a part that differs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import index
from typing import Any, Literal, SupportsIndex, get_args

import keras
from keras import layers

from .errors import InputError
from .layers import GroupedConv2D

Norm = Literal["batch", "sync_batch", "group", "layer", "none"]
Padding = Literal["torch", "same"]
Variant = Literal["torch", "keras"]  # whose conventions: torchvision's or timm's, or keras.applications'
Kernel = int | tuple[int, int]

PARTS = ("conv", "bn", "relu")  # torchvision's BasicConv2d
SEQUENTIAL = ("0", "1", "2")  # torch's Sequential

# glu halves the channels, threshold has no default
NO_ACTIVATIONS = {"get", "serialize", "deserialize", "glu", "threshold"}
# activations below which a padded zero never wins a maximum
NONNEGATIVE = {"relu", "relu6", "sigmoid", "hard_sigmoid", "softplus", "exponential"}


@dataclass(frozen=True)
class Kit:
    """Conventions that every layer of one network shares.

    Args:
        norm: "batch", "sync_batch" (statistics over all replicas), "group" (32 groups, or as many of them as divide the
            channels), "layer" (one group) or "none".
        activation: a Keras activation's name.
        padding: "torch" pads k // 2 on every side, "same" pads as TensorFlow does (they differ at stride 2).
        epsilon: added to the variance.
        momentum: of the moving statistics, in Keras' sense (0.9 is torch's 0.1).
        gamma: batch normalisation learns a scale.
    """

    norm: Norm = "batch"
    activation: str = "relu"
    padding: Padding = "torch"
    epsilon: float = 1e-5
    momentum: float = 0.9
    gamma: bool = True

    def __post_init__(self) -> None:
        choose("norm", self.norm, get_args(Norm))
        choose("padding", self.padding, get_args(Padding))
        choose("activation", self.activation, _activations())

    def conv(
        self,
        x: Any,
        filters: int,
        kernel: Kernel = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        padding: Literal["valid"] | None = None,
        bias: bool | None = None,
        name: str,
    ) -> Any:
        """A convolution; (n, h, w, c) -> (n, h / stride, w / stride, filters).

        It has a bias only where no normalisation follows to undo it, unless `bias` says otherwise. Its padding is the
        network's unless it is "valid".
        """
        x, border = self._padded(x, kernel, stride, padding, name)
        layer = GroupedConv2D if groups > 1 else layers.Conv2D
        return layer(
            filters,
            kernel,
            stride,
            border,
            groups=groups,
            use_bias=self.norm == "none" if bias is None else bias,
            kernel_initializer=he_normal("fan_in" if self.norm == "none" else "fan_out"),
            name=name,
        )(x)

    def depthwise(
        self, x: Any, kernel: Kernel, *, stride: int = 1, padding: Literal["valid"] | None = None, name: str
    ) -> Any:
        """A convolution of each channel by itself; (n, h, w, c) -> (n, h / stride, w / stride, c)."""
        x, border = self._padded(x, kernel, stride, padding, name)
        return layers.DepthwiseConv2D(
            kernel,
            stride,
            border,
            use_bias=self.norm == "none",
            depthwise_initializer=he_normal(),
            name=name,
        )(x)

    def conv_norm(
        self,
        x: Any,
        filters: int,
        kernel: Kernel = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        padding: Literal["valid"] | None = None,
        bias: bool | None = None,
        name: str,
        parts: Sequence[str] = PARTS,
    ) -> Any:
        """conv, norm; the layers are named `name` and each of `parts`."""
        conv, norm = (f"{name}_{part}" for part in parts[:2])
        x = self.conv(x, filters, kernel, stride=stride, groups=groups, padding=padding, bias=bias, name=conv)
        return self.normalize(x, name=norm)

    def conv_norm_act(
        self,
        x: Any,
        filters: int,
        kernel: Kernel = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        padding: Literal["valid"] | None = None,
        bias: bool | None = None,
        name: str,
        parts: Sequence[str] = PARTS,
    ) -> Any:
        """conv, norm, activation; the layers are named `name` and each of `parts`."""
        x = self.conv_norm(
            x, filters, kernel, stride=stride, groups=groups, padding=padding, bias=bias, name=name, parts=parts
        )
        return self.activate(x, name=f"{name}_{parts[2]}")

    def depthwise_norm(
        self, x: Any, kernel: Kernel, *, stride: int = 1, name: str, parts: Sequence[str] = PARTS
    ) -> Any:
        """depthwise conv, norm; the layers are named `name` and each of `parts`."""
        x = self.depthwise(x, kernel, stride=stride, name=f"{name}_{parts[0]}")
        return self.normalize(x, name=f"{name}_{parts[1]}")

    def depthwise_norm_act(
        self, x: Any, kernel: Kernel, *, stride: int = 1, name: str, parts: Sequence[str] = PARTS
    ) -> Any:
        """depthwise conv, norm, activation; the layers are named `name` and each of `parts`."""
        x = self.depthwise_norm(x, kernel, stride=stride, name=name, parts=parts)
        return self.activate(x, name=f"{name}_{parts[2]}")

    def normalize(self, x: Any, *, name: str) -> Any:
        """The network's normalisation; "none" returns x."""
        match self.norm:
            case "batch" | "sync_batch":
                return layers.BatchNormalization(
                    momentum=self.momentum,
                    epsilon=self.epsilon,
                    scale=self.gamma,
                    synchronized=self.norm == "sync_batch",
                    name=name,
                )(x)
            case "group":
                return layers.GroupNormalization(math.gcd(32, x.shape[-1]), epsilon=self.epsilon, name=name)(x)
            case "layer":
                return layers.GroupNormalization(1, epsilon=self.epsilon, name=name)(x)
        return x

    def activate(self, x: Any, *, name: str) -> Any:
        """The network's activation."""
        return layers.Activation(self.activation, name=name)(x)

    def max_pool(
        self,
        x: Any,
        size: int = 3,
        stride: int = 2,
        *,
        padding: Literal["valid", "ceil"] | None = None,
        signed: bool = False,
        name: str,
    ) -> Any:
        """The largest of each size x size window of what `activate` returned; if `signed`, of any map.

        "ceil" is torch's ceil_mode: no padding, but windows that hang over the lower and right edge count.
        """
        if padding == "valid":
            return layers.MaxPooling2D(size, stride, "valid", name=name)(x)
        if padding == "ceil":
            return self._ceil_pool(x, size, stride, signed, name)
        if self.padding == "same":
            return layers.MaxPooling2D(size, stride, "same", name=name)(x)
        if self.activation in NONNEGATIVE and not signed:
            x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
            return layers.MaxPooling2D(size, stride, "valid", name=name)(x)
        # a zero may win over a negative value: pool at stride 1, which pads with -inf on both sides, then subsample
        x = layers.MaxPooling2D(size, 1, "same", name=f"{name}_dense")(x)
        return layers.MaxPooling2D(1, stride, name=name)(x)

    def ceil_pool(self, x: Any, size: int = 3, stride: int = 2, *, signed: bool = False, name: str) -> Any:
        """max_pool of a network whose torch reference has ceil_mode; with "same" padding it is TensorFlow's."""
        padding: Literal["ceil"] | None = None if self.padding == "same" else "ceil"
        return self.max_pool(x, size, stride, padding=padding, signed=signed, name=name)

    def _ceil_pool(self, x: Any, size: int, stride: int, signed: bool, name: str) -> Any:
        if size <= stride:  # "same" then pads below and to the right alone
            return layers.MaxPooling2D(size, stride, "same", name=name)(x)
        if self.activation in NONNEGATIVE and not signed:
            x = layers.ZeroPadding2D(((0, stride - 1), (0, stride - 1)), name=f"{name}_pad")(x)
            return layers.MaxPooling2D(size, stride, "valid", name=name)(x)
        x = layers.MaxPooling2D(size, 1, "same", name=f"{name}_dense")(x)
        first = (size - 1) // 2  # where the dense map's first whole window stands
        x = layers.Cropping2D(((first, 0), (first, 0)), name=f"{name}_crop")(x)
        return layers.MaxPooling2D(1, stride, "same", name=name)(x)

    def avg_pool(
        self, x: Any, size: int = 3, stride: int = 1, *, padding: Literal["valid"] | None = None, name: str
    ) -> Any:
        """The mean of each size x size window; "torch" counts the padded zeros, "same" does not."""
        if padding is None and self.padding == "torch":
            x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
            padding = "valid"
        return layers.AveragePooling2D(size, stride, padding or "same", name=name)(x)

    def drop_path(self, x: Any, rate: float, *, name: str) -> Any:
        """Stochastic depth (https://arxiv.org/abs/1603.09382): in training, a sample's branch is 0 at this rate."""
        return layers.Dropout(rate, noise_shape=(None, 1, 1, 1), name=name)(x) if rate else x

    def _padded(
        self, x: Any, kernel: Kernel, stride: int, padding: Literal["valid"] | None, name: str
    ) -> tuple[Any, str]:
        """The input and the padding argument of a convolution; the two paddings agree at stride 1."""
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        if padding is None and self.padding == "torch" and stride > 1 and max(height, width) > 1:
            x = layers.ZeroPadding2D((height // 2, width // 2), name=f"{name}_pad")(x)
            padding = "valid"
        return x, padding or "same"


def he_normal(mode: Literal["fan_in", "fan_out"] = "fan_out") -> keras.initializers.Initializer:
    """He et al. 2015: by the fan in the activations keep their variance through ReLUs, by the fan out the gradients."""
    return keras.initializers.VarianceScaling(2.0, mode, "untruncated_normal")


def divisible(channels: float, by: int = 8) -> int:
    """The nearest multiple of `by`, at least `by`, or the next one where that would lose more than a tenth.

    Source: the MobileNets of TF-slim, whose widths all implementations round so.
    """
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded


def drop(x: Any, rate: float, *, option: str = "dropout", name: str) -> Any:
    """Dropout: x, of which a share is dropped in training; without a layer where that is 0."""
    share(option, rate)
    return layers.Dropout(rate, name=name)(x) if rate else x


def at_least_one(option: str, value: Any) -> int:
    """A count, which may be numpy's; InputError where it is none."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex) or index(value) < 1:
        raise InputError(f"{option}={value!r}: expected a count of at least 1")
    return index(value)


def share(option: str, value: float) -> None:
    """Raises InputError unless `value` may be the share of what is dropped."""
    if not 0 <= value < 1:
        raise InputError(f"{option}={value}: expected a share from 0 up to, not including, 1")


def choose(option: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Raises InputError unless `value` is one of `choices`."""
    if value not in choices:
        raise InputError(f"{option}={value!r}: choose one of {', '.join(repr(choice) for choice in choices)}")


def _activations() -> tuple[str, ...]:
    names = (name for name in dir(keras.activations) if callable(getattr(keras.activations, name)))
    return tuple(name for name in names if name not in NO_ACTIVATIONS)
