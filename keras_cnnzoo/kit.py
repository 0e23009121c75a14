"""The verbs from which every network is written.

What a network decides once (normalisation, activation, padding, epsilon) sits in a frozen Kit; a unit then reads like
the paper's figure: `x = kit.conv(x, 64, 3, stride=2, name="conv1")`.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import keras
from keras import layers

from .errors import InputError
from .layers import GroupedConv2D

Norm = Literal["batch", "group", "layer", "none"]
Padding = Literal["torch", "same"]

# activations below which a padded zero never wins a maximum
NONNEGATIVE = {"relu", "relu6", "sigmoid", "hard_sigmoid", "softplus", "exponential"}


@dataclass(frozen=True)
class Kit:
    """Conventions that every layer of one network shares.

    Args:
        norm: "batch", "group" (32 groups, or as many of them as divide the channels), "layer" (one group) or "none".
        activation: a Keras activation's name.
        padding: "torch" pads k // 2 on every side, "same" pads as TensorFlow does (they differ at stride 2).
        epsilon: added to the variance.
        momentum: of the moving statistics, in Keras' sense (0.9 is torch's 0.1).
    """

    norm: Norm = "batch"
    activation: str = "relu"
    padding: Padding = "torch"
    epsilon: float = 1e-5
    momentum: float = 0.9

    def __post_init__(self) -> None:
        choose("norm", self.norm, ("batch", "group", "layer", "none"))
        choose("padding", self.padding, ("torch", "same"))
        choose("activation", self.activation, _activations())

    def conv(
        self,
        x: Any,
        filters: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        bias: bool | None = None,
        name: str,
    ) -> Any:
        """A kernel x kernel convolution; (n, h, w, c) -> (n, h / stride, w / stride, filters).

        It has a bias only where no normalisation follows to undo it, unless `bias` says otherwise.
        """
        x, padding = self._padded(x, kernel, stride, name)
        layer = GroupedConv2D if groups > 1 else layers.Conv2D
        return layer(
            filters,
            kernel,
            stride,
            padding,
            groups=groups,
            use_bias=self.norm == "none" if bias is None else bias,
            kernel_initializer=he_normal(),
            name=name,
        )(x)

    def depthwise(self, x: Any, kernel: int, *, stride: int = 1, name: str) -> Any:
        """A kernel x kernel convolution of each channel by itself; (n, h, w, c) -> (n, h / stride, w / stride, c)."""
        x, padding = self._padded(x, kernel, stride, name)
        return layers.DepthwiseConv2D(
            kernel,
            stride,
            padding,
            use_bias=self.norm == "none",
            depthwise_initializer=he_normal(),
            name=name,
        )(x)

    def normalize(self, x: Any, *, name: str) -> Any:
        """The network's normalisation; "none" returns x."""
        match self.norm:
            case "batch":
                return layers.BatchNormalization(momentum=self.momentum, epsilon=self.epsilon, name=name)(x)
            case "group":
                return layers.GroupNormalization(math.gcd(32, x.shape[-1]), epsilon=self.epsilon, name=name)(x)
            case "layer":
                return layers.GroupNormalization(1, epsilon=self.epsilon, name=name)(x)
        return x

    def activate(self, x: Any, *, name: str) -> Any:
        """The network's activation."""
        return layers.Activation(self.activation, name=name)(x)

    def max_pool(self, x: Any, size: int = 3, stride: int = 2, *, name: str) -> Any:
        """The largest of each size x size window of what `activate` returned."""
        if self.padding == "same":
            return layers.MaxPooling2D(size, stride, "same", name=name)(x)
        if self.activation in NONNEGATIVE:
            x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
            return layers.MaxPooling2D(size, stride, "valid", name=name)(x)
        # a zero may win over a negative value: pool at stride 1, which pads with -inf on both sides, then subsample
        x = layers.MaxPooling2D(size, 1, "same", name=f"{name}_dense")(x)
        return layers.MaxPooling2D(1, stride, name=name)(x)

    def _padded(self, x: Any, kernel: int, stride: int, name: str) -> tuple[Any, str]:
        """The input and the padding argument of a convolution; the two paddings agree at stride 1."""
        if self.padding == "torch" and stride > 1 and kernel > 1:
            return layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x), "valid"
        return x, "same"


def he_normal() -> keras.initializers.Initializer:
    """He et al. 2015, by the fan out: keeps the gradient's variance through ReLUs."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal")


def choose(option: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Raises InputError unless `value` is one of `choices`."""
    if value not in choices:
        raise InputError(f"{option}={value!r}: choose one of {', '.join(repr(choice) for choice in choices)}")


def _activations() -> tuple[str, ...]:
    names = (name for name in dir(keras.activations) if callable(getattr(keras.activations, name)))
    return tuple(name for name in names if name not in {"get", "serialize", "deserialize"})
