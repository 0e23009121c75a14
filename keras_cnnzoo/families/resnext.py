"""ResNeXt: https://arxiv.org/abs/1611.05431. Table 1 (ImageNet) and section 5.3 (CIFAR-10).

A residual network whose bottlenecks convolve in `cardinality` groups of `width` channels (figure 3 (c)), the width
doubled with each stage. Deviations from the paper: none known. Layers are named after torchvision's module paths, those
of the CIFAR network likewise, with "_" for ".".
"""

from typing import Any

import keras

from ..kit import Kit, Norm, Padding, at_least_one
from ..model import CIFAR10, IMAGENET, Head, Pooling, Weights, assemble, documented, image_input, preset
from ..residual import Convs, Units, bottleneck, plan, residual_stages, stem

# variant: units in stages 2 to 5, cardinality, width of a group in stage 2
VARIANTS = {
    "resnext50_32x4d": ((3, 4, 6, 3), 32, 4),
    "resnext101_32x4d": ((3, 4, 23, 3), 32, 4),
    "resnext101_32x8d": ((3, 4, 23, 3), 32, 8),
    "resnext101_64x4d": ((3, 4, 23, 3), 64, 4),
}

# variant: units in each of the three stages, cardinality, width of a group in the first
CIFAR_VARIANTS = {"resnext29_8x64d": ((3, 3, 3), 8, 64)}


@documented
def resnext(
    network: str,
    /,
    include_top: bool = True,
    weights: Weights = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: Pooling = None,
    classes: int = IMAGENET,
    classifier_activation: str | None = "softmax",
    name: str | None = None,
    *,
    features: bool = False,
    cardinality: int | None = None,
    width: int | None = None,
    se_ratio: int | None = None,
    small_input: bool = False,
    dropout: float = 0.0,
    drop_path: float = 0.0,
    norm: Norm = "batch",
    activation: str = "relu",
    padding: Padding = "torch",
) -> keras.Model:
    """A ResNeXt for ImageNet: 7x7 stem, four stages (strides 4, 8, 16, 32), head. 224x224 by default.

    Args:
        cardinality: groups of a unit's 3x3 convolution; None is the network's own.
        width: channels of a group in the first stage, doubled with each further one; None is the network's own.
        se_ratio: reduction of a squeeze-and-excitation gate on each unit's branch, e.g. 16; None for no gate.
        small_input: for images of 32 to 64 pixels: a 3x3 stem that does not subsample (strides 1, 2, 4, 8).
        dropout: before the classifier, the share of features dropped in training.
        drop_path: stochastic depth: the share of samples that skip the last unit in training, linearly less before it.
        norm: "batch", "sync_batch", "group", "layer" or "none".
        activation: a Keras activation's name.
        padding: "torch" (symmetric) or "same" (TensorFlow's).
    """
    depths, groups, base = VARIANTS[network]
    units = Units(Kit(norm, activation, padding), se_ratio=se_ratio, drop_path=drop_path)
    stages = grouped(depths, _count("cardinality", cardinality, groups), _count("width", width, base))
    image = image_input(input_tensor, input_shape, size=32 if small_input else 224, minimum=8 if small_input else 32)
    head = Head(include_top, pooling, classes, classifier_activation)
    x, points = residual_stages(units, stem(units, image, 64, small_input=small_input), stages)
    x = head(x, dropout)
    return assemble(image, x, head, stages=points if features else None, weights=weights, network=network, name=name)


@documented
def resnext_cifar(
    network: str,
    /,
    include_top: bool = True,
    weights: Weights = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: Pooling = None,
    classes: int = CIFAR10,
    classifier_activation: str | None = "softmax",
    name: str | None = None,
    *,
    features: bool = False,
    cardinality: int | None = None,
    width: int | None = None,
    se_ratio: int | None = None,
    dropout: float = 0.0,
    drop_path: float = 0.0,
    norm: Norm = "batch",
    activation: str = "relu",
    padding: Padding = "torch",
) -> keras.Model:
    """A ResNeXt for CIFAR-10: 3x3 stem, three stages (strides 1, 2, 4), head. 32x32, 10 classes by default.

    Args:
        cardinality: groups of a unit's 3x3 convolution; None is the network's own.
        width: channels of a group in the first stage, doubled with each further one; None is the network's own.
        se_ratio: reduction of a squeeze-and-excitation gate on each unit's branch, e.g. 16; None for no gate.
        dropout: before the classifier, the share of features dropped in training.
        drop_path: stochastic depth: the share of samples that skip the last unit in training, linearly less before it.
        norm: "batch", "sync_batch", "group", "layer" or "none".
        activation: a Keras activation's name.
        padding: "torch" (symmetric) or "same" (TensorFlow's).
    """
    depths, groups, base = CIFAR_VARIANTS[network]
    units = Units(Kit(norm, activation, padding), se_ratio=se_ratio, drop_path=drop_path)
    stages = grouped(depths, _count("cardinality", cardinality, groups), _count("width", width, base))
    image = image_input(input_tensor, input_shape, size=32, minimum=8)
    head = Head(include_top, pooling, classes, classifier_activation)
    x, points = residual_stages(units, stem(units, image, 64, small_input=True), stages)
    x = head(x, dropout)
    return assemble(image, x, head, stages=points if features else None, weights=weights, network=network, name=name)


def grouped(depths: tuple[int, ...], cardinality: int, width: int) -> list[list[Convs]]:
    """Each stage's bottlenecks: 1x1 to cardinality * width channels, grouped 3x3, 1x1 to 256 in the first stage."""

    def unit(stage: int, stride: int) -> Convs:
        return bottleneck(cardinality * width << stage, 256 << stage, stride, groups=cardinality)

    return plan(depths, unit)


def _count(option: str, value: int | None, own: int) -> int:
    return own if value is None else at_least_one(option, value)


ResNeXt50_32x4d = preset(resnext, "resnext50_32x4d", "ResNeXt50_32x4d")
ResNeXt101_32x4d = preset(resnext, "resnext101_32x4d", "ResNeXt101_32x4d")
ResNeXt101_32x8d = preset(resnext, "resnext101_32x8d", "ResNeXt101_32x8d")
ResNeXt101_64x4d = preset(resnext, "resnext101_64x4d", "ResNeXt101_64x4d")
ResNeXt29_8x64d = preset(resnext_cifar, "resnext29_8x64d", "ResNeXt29_8x64d")
