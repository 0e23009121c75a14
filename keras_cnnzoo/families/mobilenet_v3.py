"""MobileNetV3: https://arxiv.org/abs/1905.02244. Tables 1 and 2, figure 4.

Deviations from the paper: none known. `minimalistic` is its authors' form for accelerators. At widths other than 1 an
expansion multiplies what its unit reads and the last dense layer does not shrink, as in the authors' code and
keras.applications (torchvision scales the tables' columns). Layers are named after torchvision's module paths, with "_"
for ".". `small_input` is the stem that the CIFAR re-implementations use.
"""

from dataclasses import replace
from typing import Any, get_args

import keras
from keras import layers

from ..kit import SEQUENTIAL, Kit, Norm, Padding, Variant, choose, divisible, share
from ..model import (
    IMAGENET,
    Head,
    Pooling,
    Weights,
    assemble,
    average,
    documented,
    end_point,
    image_input,
    preset,
    widened,
)
from .mobilenet_v2 import inverted_residual

STEM = 16
RE, HS = "relu", "hard_swish"
Row = tuple[int, int, int, bool, str, int]

# kernel, expansion size, filters, squeeze-and-excitation, nonlinearity, stride; a line for each stage
LARGE: tuple[tuple[Row, ...], ...] = (
    ((3, 16, 16, False, RE, 1),),
    ((3, 64, 24, False, RE, 2), (3, 72, 24, False, RE, 1)),
    ((5, 72, 40, True, RE, 2), (5, 120, 40, True, RE, 1), (5, 120, 40, True, RE, 1)),
    ((3, 240, 80, False, HS, 2), (3, 200, 80, False, HS, 1), (3, 184, 80, False, HS, 1), (3, 184, 80, False, HS, 1)),
    ((3, 480, 112, True, HS, 1), (3, 672, 112, True, HS, 1)),
    ((5, 672, 160, True, HS, 2), (5, 960, 160, True, HS, 1), (5, 960, 160, True, HS, 1)),
)
SMALL: tuple[tuple[Row, ...], ...] = (
    ((3, 16, 16, True, RE, 2),),
    ((3, 72, 24, False, RE, 2), (3, 88, 24, False, RE, 1)),
    ((5, 96, 40, True, HS, 2), (5, 240, 40, True, HS, 1), (5, 240, 40, True, HS, 1)),
    ((5, 120, 48, True, HS, 1), (5, 144, 48, True, HS, 1)),
    ((5, 288, 96, True, HS, 2), (5, 576, 96, True, HS, 1), (5, 576, 96, True, HS, 1)),
)
# network: table, channels of the dense layer before the classifier
VARIANTS = {"mobilenet_v3_large": (LARGE, 1280), "mobilenet_v3_small": (SMALL, 1024)}

# variant: padding, epsilon, momentum
CONVENTIONS: dict[str, tuple[Padding, float, float]] = {"torch": ("torch", 1e-3, 0.99), "keras": ("same", 1e-3, 0.999)}


@documented
def mobilenet_v3(
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
    width: float = 1.0,
    minimalistic: bool = False,
    variant: Variant = "torch",
    small_input: bool = False,
    dropout: float = 0.2,
    drop_path: float = 0.0,
    norm: Norm = "batch",
    activation: str | None = None,
    padding: Padding | None = None,
) -> keras.Model:
    """MobileNetV3: stem (stride 2), stages of inverted residuals, 1x1 convolution, head. 224x224 by default. Features
    are the last stages of each stride: 2 (large alone), 4, 8, 16 and 32.

    Args:
        width: multiplies the channel counts of all stages; published are 0.75 and 1.0.
        minimalistic: no squeeze-and-excitation, 3x3 for 5x5, ReLU for hard swish.
        variant: "torch" (torchvision's) or "keras", keras.applications' function with include_preprocessing=False.
        small_input: for images of 32 to 64 pixels: the stem does not subsample (half of all strides).
        dropout: before the classifier, the share of features dropped in training.
        drop_path: stochastic depth's rate in the last unit, growing from 0 in the first.
        norm: "batch", "sync_batch", "group", "layer" or "none".
        activation: a Keras activation's name, for all layers; None is the tables' own, ReLU and hard swish.
        padding: "torch" (symmetric) or "same" (TensorFlow's); None is the variant's own.
    """
    choose("variant", variant, get_args(Variant))
    share("drop_path", drop_path)
    registered = widened(f"{network}_minimalistic" if minimalistic else network, width)
    table, hidden = VARIANTS[network]
    own, epsilon, momentum = CONVENTIONS[variant]
    kit = Kit(norm, activation or (RE if minimalistic else HS), padding or own, epsilon, momentum)
    head = Head(
        include_top, pooling, classes, classifier_activation, classifier="classifier_3", unused=("classifier_0",)
    )
    image = image_input(input_tensor, input_shape, size=32 if small_input else 224, minimum=16 if small_input else 32)
    total = 1 if small_input else 2
    x = kit.conv_norm_act(image, STEM, 3, stride=total, name="features_0", parts=SEQUENTIAL)
    x = end_point(x, "stem")
    i, read, units, levels = 0, STEM, sum(map(len, table)), {}
    for stage, rows in enumerate(table, start=1):
        for row in rows:
            rate = drop_path * i / (units - 1)
            i, total = i + 1, total * row[-1]
            row = plain(row) if minimalistic else row
            unit = replace(kit, activation=activation or row[4])
            x = bneck(unit, x, row, x.shape[-1] / read, width, rate, name=f"features_{i}_block")
            read = row[2]
        levels[total] = x = end_point(x, f"stage{stage}")
    x = kit.conv_norm_act(x, divisible(6 * x.shape[-1]), name=f"features_{i + 1}", parts=SEQUENTIAL)

    def top(x: Any) -> Any:
        """Average, dense, hard swish; dropout, dense."""
        x = layers.Dense(divisible(hidden * max(1.0, width)), name="classifier_0")(average(x))
        return head.classify(kit.activate(x, name="classifier_1"), dropout)

    stages = list(levels.values()) if features else None
    return assemble(
        image, head(x, top=top), head, stages=stages, weights=weights, network=registered, variant=variant, name=name
    )


def bneck(kit: Kit, x: Any, row: Row, narrowed: float, width: float, drop_path: float, *, name: str) -> Any:
    """A row of the table: 1x1, norm, act, depthwise, norm, act, squeeze-and-excitation (to a quarter), 1x1, norm; add.

    `narrowed`: the channels of x as a share of those that the table has there.
    """
    kernel, expansion, filters, excited, _, stride = row
    expanded = divisible(expansion * narrowed)
    return inverted_residual(
        kit,
        x,
        divisible(filters * width),
        kernel,
        expanded=expanded,
        stride=stride,
        squeezed=divisible(expanded / 4) if excited else 0,
        gate="hard_sigmoid",
        drop_path=drop_path,
        name=name,
    )


def plain(row: Row) -> Row:
    """A row of the minimalistic network: no squeeze-and-excitation, 3x3, ReLU."""
    _, expansion, filters, _, _, stride = row
    return 3, expansion, filters, False, RE, stride


MobileNetV3Large = preset(mobilenet_v3, "mobilenet_v3_large", "MobileNetV3Large")
MobileNetV3Small = preset(mobilenet_v3, "mobilenet_v3_small", "MobileNetV3Small")
