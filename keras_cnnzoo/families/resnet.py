"""ResNet: https://arxiv.org/abs/1512.03385, table 1 (ImageNet) and section 4.2 (CIFAR-10); its second version:
https://arxiv.org/abs/1603.05027, figure 4; wide residual networks: https://arxiv.org/abs/1605.07146, table 1.

Deviations from the papers: the 3x3 convolution of a bottleneck carries the stride ("v1.5", as torchvision; the paper's
form is `stride_on="1x1"`); ResNetV2 has neither norm nor activation behind its first convolution, as timm and
keras.applications; a pre-activated unit's projection reads the activated map, as the authors' code. Layers are named
after torchvision's module paths (V2: timm's; CIFAR: akamaster/pytorch_resnet_cifar10's; WRN: xternalz/WideResNet's),
with "_" for ".".
"""

from dataclasses import replace
from typing import Any, NamedTuple, get_args

import keras

from ..errors import InputError
from ..kit import Kit, Norm, Padding, Variant, at_least_one, choose
from ..model import CIFAR10, IMAGENET, Head, Pooling, Weights, assemble, documented, image_input, preset
from ..residual import (
    TORCHVISION,
    Convs,
    Names,
    Residual,
    Shortcut,
    StrideOn,
    Units,
    basic,
    bottleneck,
    order_of,
    plan,
    residual_stages,
    stem,
)


class Network(NamedTuple):
    """A row of table 1: kind of unit, units in stages 2 to 5, factor on a bottleneck's 3x3, order, layer names."""

    unit: str
    depths: tuple[int, ...]
    width: int = 1
    residual: Residual = "original"
    names: Names = TORCHVISION


TIMM_V2 = Names(
    stage="stages_",
    first=0,
    unit="_blocks_",
    norm="norm",
    projection=("downsample_conv", "downsample_norm"),
    stem=("stem_conv", "stem_norm", "stem_act", "stem_pool"),
    final="norm",
    classifier="head_fc",
)
ORIGINALS = {
    "resnet18": Network("basic", (2, 2, 2, 2)),
    "resnet34": Network("basic", (3, 4, 6, 3)),
    "resnet50": Network("bottleneck", (3, 4, 6, 3)),
    "resnet101": Network("bottleneck", (3, 4, 23, 3)),
    "resnet152": Network("bottleneck", (3, 8, 36, 3)),
}
VARIANTS = {
    **ORIGINALS,
    **{f"{name}_v2": row._replace(residual="full_preact", names=TIMM_V2) for name, row in ORIGINALS.items()},
    "wide_resnet50_2": Network("bottleneck", (3, 4, 6, 3), width=2),
    "wide_resnet101_2": Network("bottleneck", (3, 4, 23, 3), width=2),
}


class Thin(NamedTuple):
    """A network for CIFAR: kind of unit, units in each of the three stages, factor on 16, 32, 64 channels, the rest."""

    unit: str
    depth: int
    width: int = 1
    residual: Residual = "original"
    shortcut: Shortcut = "A"
    se_ratio: int | None = None
    names: Names = Names(projection=("shortcut_0", "shortcut_1"), classifier="linear")


XTERNALZ = Names(stage="block", unit="_layer_", projection=("convShortcut", "bnShortcut"), final="bn1")

# the depth in the name is 6n + 2 for basic units, 9n + 2 for bottlenecks, 6n + 4 for wide residual networks
CIFAR_VARIANTS = {
    **{f"resnet{6 * n + 2}": Thin("basic", n) for n in (3, 5, 7, 9, 18)},
    **{f"plain{6 * n + 2}": Thin("basic", n, shortcut="none") for n in (3, 5, 7, 9, 18)},
    "preresnet110": Thin("basic", 18, residual="full_preact", shortcut="B"),
    "preresnet164": Thin("bottleneck", 18, residual="full_preact", shortcut="B"),
    "preresnet1001": Thin("bottleneck", 111, residual="full_preact", shortcut="B"),
    "wrn28_10": Thin("basic", 4, width=10, residual="full_preact", shortcut="B", names=XTERNALZ),
    "seresnet20": Thin("basic", 3, shortcut="B", se_ratio=16),  # of families/senet.py
}


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
    variant: Variant = "torch",
    residual: Residual | None = None,
    shortcut: Shortcut = "B",
    stride_on: StrideOn | None = None,
    se_ratio: int | None = None,
    small_input: bool = False,
    dropout: float = 0.0,
    drop_path: float = 0.0,
    norm: Norm = "batch",
    activation: str = "relu",
    padding: Padding = "torch",
) -> keras.Model:
    """A residual network for ImageNet: 7x7 stem, four stages (strides 4, 8, 16, 32), head. 224x224 by default.

    Args:
        variant: "torch", or "keras" for keras.applications' function (ResNet50, 101, 152 and their V2): biases, its
            epsilon, the stride on the first 1x1 (V2: in each stage's last unit but the last stage's).
        residual: where a unit's norms and activations stand: "original", "bn_after_add", "relu_before_add",
            "relu_only_preact" or "full_preact" (https://arxiv.org/abs/1603.05027, figure 4); None is the network's own.
        shortcut: where a unit changes the shape, "A" subsamples and pads with zero channels, "B" projects by a strided
            1x1 convolution; "C" projects in every unit; "none" adds nothing.
        stride_on: the convolution of a bottleneck that carries the stride, "3x3" (v1.5) or "1x1" (v1, the paper's);
            None is the variant's own.
        se_ratio: reduction of a squeeze-and-excitation gate on each unit's branch, e.g. 16; None for no gate.
        small_input: for images of 32 to 64 pixels: a 3x3 stem that does not subsample (strides 1, 2, 4, 8).
        dropout: before the classifier, the share of features dropped in training.
        drop_path: stochastic depth: the share of samples that skip the last unit in training, linearly less before it.
        norm: "batch", "sync_batch", "group", "layer" or "none".
        activation: a Keras activation's name.
        padding: "torch" (symmetric) or "same" (TensorFlow's).
    """
    choose("variant", variant, get_args(Variant))
    row, as_keras = VARIANTS[network], variant == "keras"
    if as_keras and (row.unit == "basic" or row.width > 1):
        raise InputError(
            f"variant='keras': keras.applications has ResNet50, 101 and 152 and their V2, no {network}; drop variant"
        )
    kit, order = Kit(norm, activation, padding), order_of(residual or row.residual)
    if as_keras:
        kit = replace(kit, epsilon=1.001e-5, momentum=0.99)
    units = Units(kit, row.names, order, shortcut, se_ratio=se_ratio, drop_path=drop_path)
    if row.unit == "basic" and stride_on not in (None, "3x3"):
        raise InputError(f"stride_on={stride_on!r}: {network}'s units are of 3x3 convolutions alone; drop stride_on")
    preact = bool(order.before)
    stride_on = stride_on or ("1x1" if as_keras and not preact else "3x3")

    def convolutions(stage: int, stride: int) -> Convs:
        filters = 64 << stage
        if row.unit == "basic":
            return basic(filters, stride)
        convs = bottleneck(row.width * filters, 4 * filters, stride, stride_on=stride_on)
        return _biased(convs, only_last=preact) if as_keras else convs

    head = Head(include_top, pooling, classes, classifier_activation, row.names.classifier)
    image = image_input(input_tensor, input_shape, size=32 if small_input else 224, minimum=8 if small_input else 32)
    bias, signed = (True, False) if as_keras else (None, None)  # keras.applications pools padded zeros, whatever stands
    x = stem(units, image, 64, small_input=small_input, bias=bias, signed=signed)
    x, stages = residual_stages(units, x, plan(row.depths, convolutions, stride_last=as_keras and preact))
    x = head(x, dropout)
    return assemble(
        image,
        x,
        head,
        stages=stages if features else None,
        weights=weights,
        network=network,
        variant=variant,
        name=name,
    )


def _biased(convs: Convs, *, only_last: bool) -> Convs:
    """The convolutions that have biases in keras.applications, given them."""
    kept, given = (convs[:-1], convs[-1:]) if only_last else ((), convs)
    return (*kept, *(conv._replace(bias=True) for conv in given))


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
    depth: int | None = None,
    width: int | None = None,
    residual: Residual | None = None,
    shortcut: Shortcut | None = None,
    se_ratio: int | None = None,
    dropout: float = 0.0,
    drop_path: float = 0.0,
    norm: Norm = "batch",
    activation: str = "relu",
    padding: Padding = "torch",
) -> keras.Model:
    """A residual network for CIFAR-10: 3x3 stem, three stages (strides 1, 2, 4), head. 32x32, 10 classes by default.

    Args:
        depth: 6n + 2 for n basic units in each stage, 9n + 2 for bottlenecks; None is the network's own.
        width: channels of the stem and of the first stage's 3x3 convolutions, which double from stage to stage; None is
            the network's own.
        residual: where a unit's norms and activations stand: "original", "bn_after_add", "relu_before_add",
            "relu_only_preact" or "full_preact" (https://arxiv.org/abs/1603.05027, figure 4); None is the network's own.
        shortcut: where a unit changes the shape, "A" subsamples and pads with zero channels, "B" projects by a strided
            1x1 convolution; "C" projects in every unit; "none" adds nothing; None is the network's own.
        se_ratio: reduction of a squeeze-and-excitation gate on each unit's branch, e.g. 16; None is the network's own.
        dropout: between the convolutions of a unit (https://arxiv.org/abs/1605.07146), the share dropped in training.
        drop_path: stochastic depth: the share of samples that skip the last unit in training, linearly less before it.
        norm: "batch", "sync_batch", "group", "layer" or "none".
        activation: a Keras activation's name.
        padding: "torch" (symmetric) or "same" (TensorFlow's).
    """
    row = CIFAR_VARIANTS[network]
    count = row.depth if depth is None else units_of(depth, 6 if row.unit == "basic" else 9)
    if width is not None:
        at_least_one("width", width)
    units = Units(
        Kit(norm, activation, padding),
        row.names,
        order_of(residual or row.residual),
        shortcut or row.shortcut,
        se_ratio=row.se_ratio if se_ratio is None else se_ratio,
        dropout=dropout,
        drop_path=drop_path,
    )

    def convolutions(stage: int, stride: int) -> Convs:
        filters = (width or 16 * row.width) << stage
        return basic(filters, stride) if row.unit == "basic" else bottleneck(filters, 4 * filters, stride)

    head = Head(include_top, pooling, classes, classifier_activation, row.names.classifier)
    image = image_input(input_tensor, input_shape, size=32, minimum=8)
    x = stem(units, image, width or 16, small_input=True)
    x, stages = residual_stages(units, x, plan((count,) * 3, convolutions))
    x = head(x)
    return assemble(image, x, head, stages=stages if features else None, weights=weights, network=network, name=name)


def units_of(depth: int, layers: int) -> int:
    """Units in each of three stages of a network whose three units have so many layers together.

    Raises:
        InputError: no such depth.
    """
    if at_least_one("depth", depth) < layers + 2 or depth % layers != 2:
        raise InputError(f"depth={depth!r}: expected {layers}n + 2, e.g. {layers + 2} or {3 * layers + 2}")
    return depth // layers


ResNet18 = preset(resnet, "resnet18", "ResNet18")
ResNet34 = preset(resnet, "resnet34", "ResNet34")
ResNet50 = preset(resnet, "resnet50", "ResNet50")
ResNet101 = preset(resnet, "resnet101", "ResNet101")
ResNet152 = preset(resnet, "resnet152", "ResNet152")
ResNet18V2 = preset(resnet, "resnet18_v2", "ResNet18V2")
ResNet34V2 = preset(resnet, "resnet34_v2", "ResNet34V2")
ResNet50V2 = preset(resnet, "resnet50_v2", "ResNet50V2")
ResNet101V2 = preset(resnet, "resnet101_v2", "ResNet101V2")
ResNet152V2 = preset(resnet, "resnet152_v2", "ResNet152V2")
WideResNet50_2 = preset(resnet, "wide_resnet50_2", "WideResNet50_2")
WideResNet101_2 = preset(resnet, "wide_resnet101_2", "WideResNet101_2")
ResNet20 = preset(resnet_cifar, "resnet20", "ResNet20")
ResNet32 = preset(resnet_cifar, "resnet32", "ResNet32")
ResNet44 = preset(resnet_cifar, "resnet44", "ResNet44")
ResNet56 = preset(resnet_cifar, "resnet56", "ResNet56")
ResNet110 = preset(resnet_cifar, "resnet110", "ResNet110")
Plain20 = preset(resnet_cifar, "plain20", "Plain20")
Plain32 = preset(resnet_cifar, "plain32", "Plain32")
Plain44 = preset(resnet_cifar, "plain44", "Plain44")
Plain56 = preset(resnet_cifar, "plain56", "Plain56")
Plain110 = preset(resnet_cifar, "plain110", "Plain110")
PreResNet110 = preset(resnet_cifar, "preresnet110", "PreResNet110")
PreResNet164 = preset(resnet_cifar, "preresnet164", "PreResNet164")
PreResNet1001 = preset(resnet_cifar, "preresnet1001", "PreResNet1001")
WideResNet28_10 = preset(resnet_cifar, "wrn28_10", "WideResNet28_10")
