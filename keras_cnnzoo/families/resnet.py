"""ResNet: https://arxiv.org/abs/1512.03385. Table 1 (ImageNet) and section 4.2 (CIFAR-10).

Deviations from the paper: the 3x3 convolution of a bottleneck carries the stride ("v1.5", as torchvision; the paper's
form is `stride_on="1x1"`). Layers are named after torchvision's module paths, those of the CIFAR networks after
akamaster/pytorch_resnet_cifar10's, with "_" for ".".
"""

from typing import Any, Literal

import keras
from keras import layers

from ..kit import Kit, Norm, Padding, choose
from ..layers import ChannelPad
from ..model import CIFAR10, IMAGENET, Head, Pooling, Weights, assemble, documented, end_point, image_input, preset

Shortcut = Literal["A", "B", "C"]
StrideOn = Literal["3x3", "1x1"]

# variant: (kind of unit, units in stages 2 to 5)
VARIANTS = {
    "resnet18": ("basic", (2, 2, 2, 2)),
    "resnet34": ("basic", (3, 4, 6, 3)),
    "resnet50": ("bottleneck", (3, 4, 6, 3)),
    "resnet101": ("bottleneck", (3, 4, 23, 3)),
    "resnet152": ("bottleneck", (3, 8, 36, 3)),
}

# variant: units in each of the three stages; depth = 6n + 2
CIFAR_VARIANTS = {"resnet20": 3, "resnet32": 5, "resnet44": 7, "resnet56": 9, "resnet110": 18}

# what the reference implementations call a projection
IMAGENET_PROJECTION, CIFAR_PROJECTION = "downsample", "shortcut"


@documented
def resnet(
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
    shortcut: Shortcut = "B",
    stride_on: StrideOn = "3x3",
    norm: Norm = "batch",
    activation: str = "relu",
    padding: Padding = "torch",
) -> keras.Model:
    """A residual network for ImageNet: 7x7 stem, four stages (strides 4, 8, 16, 32), head. 224x224 by default.

    Args:
        shortcut: where a unit changes the shape, "A" subsamples and pads with zero channels, "B" projects by a strided
            1x1 convolution; "C" projects in every unit.
        stride_on: the convolution of a bottleneck that carries the stride, "3x3" (v1.5) or "1x1" (v1, the paper's).
        norm: "batch", "group", "layer" or "none".
        activation: a Keras activation's name.
        padding: "torch" (symmetric) or "same" (TensorFlow's).
    """
    choose("shortcut", shortcut, ("A", "B", "C"))
    choose("stride_on", stride_on, ("3x3", "1x1"))
    unit, depths = VARIANTS[network]
    kit = Kit(norm, activation, padding)
    head = Head(include_top, pooling, classes, classifier_activation)
    image = image_input(input_tensor, input_shape, size=224, minimum=32)
    x = kit.conv(image, 64, 7, stride=2, name="conv1")
    x = kit.normalize(x, name="bn1")
    x = kit.activate(x, name="relu")
    x = kit.max_pool(x, name="maxpool")
    x = end_point(x, "stem")
    stages = []
    for stage, depth in enumerate(depths, start=1):
        for index in range(depth):
            stride = 2 if index == 0 and stage > 1 else 1
            convs = convolutions(unit, 32 << stage, stride, stride_on)
            x = residual(kit, x, convs, shortcut, IMAGENET_PROJECTION, name=f"layer{stage}_{index}")
        x = end_point(x, f"layer{stage}")
        stages.append(x)
    return assemble(image, head(x), head, stages=stages if features else None, weights=weights, name=name or network)


@documented
def resnet_cifar(
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
    shortcut: Shortcut = "A",
    norm: Norm = "batch",
    activation: str = "relu",
    padding: Padding = "torch",
) -> keras.Model:
    """A residual network for CIFAR-10: 3x3 stem, three stages of 16, 32 and 64 channels (strides 1, 2, 4), head. 32x32
    and 10 classes by default.

    Args:
        shortcut: where a unit changes the shape, "A" (the paper's choice here) subsamples and pads with zero channels,
            "B" projects by a strided 1x1 convolution; "C" projects in every unit.
        norm: "batch", "group", "layer" or "none".
        activation: a Keras activation's name.
        padding: "torch" (symmetric) or "same" (TensorFlow's).
    """
    choose("shortcut", shortcut, ("A", "B", "C"))
    kit = Kit(norm, activation, padding)
    head = Head(include_top, pooling, classes, classifier_activation, classifier="linear")
    image = image_input(input_tensor, input_shape, size=32, minimum=8)
    x = kit.conv(image, 16, 3, name="conv1")
    x = kit.normalize(x, name="bn1")
    x = kit.activate(x, name="relu")
    x = end_point(x, "stem")
    stages = []
    for stage in (1, 2, 3):
        for index in range(CIFAR_VARIANTS[network]):
            stride = 2 if index == 0 and stage > 1 else 1
            convs = convolutions("basic", 8 << stage, stride)
            x = residual(kit, x, convs, shortcut, CIFAR_PROJECTION, name=f"layer{stage}_{index}")
        x = end_point(x, f"layer{stage}")
        stages.append(x)
    return assemble(image, head(x), head, stages=stages if features else None, weights=weights, name=name or network)


def convolutions(unit: str, width: int, stride: int, stride_on: StrideOn = "3x3") -> tuple[tuple[int, int, int], ...]:
    """(filters, kernel, stride) of a unit's convolutions.

    basic: 3x3, 3x3. bottleneck: 1x1 down, 3x3, 1x1 up to four times the width.
    """
    if unit == "basic":
        return (width, 3, stride), (width, 3, 1)
    first, second = (stride, 1) if stride_on == "1x1" else (1, stride)
    return (width, 1, first), (width, 3, second), (4 * width, 1, 1)


def residual(
    kit: Kit, x: Any, convs: tuple[tuple[int, int, int], ...], shortcut: Shortcut, projection: str, *, name: str
) -> Any:
    """conv, norm, ReLU for each convolution but the last; conv, norm; add the shortcut; ReLU."""
    filters, stride = convs[-1][0], max(conv[2] for conv in convs)
    skip = shortcut_of(kit, x, filters, stride, shortcut, name=name, projection=projection)
    for i, (width, kernel, step) in enumerate(convs, start=1):
        x = kit.conv(x, width, kernel, stride=step, name=f"{name}_conv{i}")
        x = kit.normalize(x, name=f"{name}_bn{i}")
        if i < len(convs):
            x = kit.activate(x, name=f"{name}_relu{i}")
    x = layers.Add(name=f"{name}_add")([skip, x])
    return kit.activate(x, name=f"{name}_relu")


def shortcut_of(kit: Kit, x: Any, filters: int, stride: int, kind: Shortcut, *, name: str, projection: str) -> Any:
    """Identity where the shapes agree (not for "C"); else subsample and pad ("A"), or 1x1 convolution and norm."""
    channels = x.shape[-1]
    if channels == filters and stride == 1 and kind != "C":
        return x
    if kind == "A":
        x = layers.MaxPooling2D(1, stride, name=f"{name}_subsample")(x)
        before = (filters - channels) // 2
        return ChannelPad(before, filters - channels - before, name=f"{name}_channel_pad")(x)
    x = kit.conv(x, filters, 1, stride=stride, name=f"{name}_{projection}_0")
    return kit.normalize(x, name=f"{name}_{projection}_1")


ResNet18 = preset(resnet, "resnet18", "ResNet18")
ResNet34 = preset(resnet, "resnet34", "ResNet34")
ResNet50 = preset(resnet, "resnet50", "ResNet50")
ResNet101 = preset(resnet, "resnet101", "ResNet101")
ResNet152 = preset(resnet, "resnet152", "ResNet152")
ResNet20 = preset(resnet_cifar, "resnet20", "ResNet20")
ResNet32 = preset(resnet_cifar, "resnet32", "ResNet32")
ResNet44 = preset(resnet_cifar, "resnet44", "ResNet44")
ResNet56 = preset(resnet_cifar, "resnet56", "ResNet56")
ResNet110 = preset(resnet_cifar, "resnet110", "ResNet110")
