"""Blocks that several families share, each from a paper of its own."""

from typing import Any

from keras import layers

from .kit import Kit, at_least_one, he_normal
from .layers import AdaptiveAverage2D


def squeeze_excite(
    x: Any,
    reduced: int,
    *,
    activation: str = "relu",
    gate: str = "sigmoid",
    name: str,
) -> Any:
    """Mean over the map, 1x1 to `reduced` channels, activation, 1x1 back, gate; times x.

    Source: Squeeze-and-Excitation Networks, https://arxiv.org/abs/1709.01507, figure 3. The two dense layers are
    written as 1x1 convolutions with bias, as their author did.
    """
    channels = x.shape[-1]
    y = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_avgpool")(x)
    y = layers.Conv2D(reduced, 1, kernel_initializer=he_normal(), name=f"{name}_fc1")(y)
    y = layers.Activation(activation, name=f"{name}_fc1_act")(y)
    y = layers.Conv2D(channels, 1, kernel_initializer=he_normal(), name=f"{name}_fc2")(y)
    y = layers.Activation(gate, name=f"{name}_gate")(y)
    return layers.Multiply(name=f"{name}_scale")([x, y])


def gated(x: Any, ratio: int | None, *, activation: str, name: str) -> Any:
    """A residual branch through a squeeze-and-excitation gate of a `ratio`th of its channels; x itself for None."""
    squeezed = reduced(x.shape[-1], ratio)
    return squeeze_excite(x, squeezed, activation=activation, name=name) if squeezed else x


def reduced(channels: int, ratio: int | None) -> int:
    """Channels that a gate squeezes to, at least one; 0 for no gate.

    Raises:
        InputError: a ratio that is no count of at least 1.
    """
    return 0 if ratio is None else max(1, channels // at_least_one("se_ratio", ratio))


def resized(x: Any, size: int, *, name: str) -> Any:
    """The map averaged to size x size as by torch's AdaptiveAvgPool2d; x itself where it is of that size."""
    return x if tuple(x.shape[1:3]) == (size, size) else AdaptiveAverage2D(size, name=name)(x)


def numbered(index: int, kit: Kit) -> tuple[str, str, str]:
    """The `parts` of conv, norm, activation that stand in a torch Sequential from `index` on."""
    return str(index), str(index + 1), str(index + (1 if kit.norm == "none" else 2))
