"""MobileNet: https://arxiv.org/abs/1704.04861. Table 1, figure 3 (right).

Deviations from the paper: ReLU6 for ReLU, as its authors' code and every published weights file has it (the paper's is
`activation="relu"`); the last unit's depthwise convolution has stride 1 (table 1 prints 2, but keeps the map at 7x7).
Layers are named after timm's module paths, with "_" for ".". `small_input` is the stem that the CIFAR
re-implementations use.
"""

from typing import Any, Literal, get_args

import keras
from keras import layers

from ..kit import Kit, Norm, Padding, Variant, choose
from ..model import IMAGENET, Head, Pooling, Weights, assemble, documented, end_point, image_input, widened

STEM = 32
# stage: units, filters; each but the first halves the map in its first unit
STAGES = ((1, 64), (2, 128), (2, 256), (6, 512), (2, 1024))

# variant: padding, epsilon, momentum
CONVENTIONS: dict[str, tuple[Padding, float, float]] = {"torch": ("torch", 1e-5, 0.9), "keras": ("same", 1e-3, 0.99)}


@documented
def MobileNetV1(
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
    variant: Variant = "torch",
    small_input: bool = False,
    dropout: float = 0.0,
    norm: Norm = "batch",
    activation: str = "relu6",
    padding: Padding | None = None,
) -> keras.Model:
    """MobileNet: stem (stride 2), five stages of depthwise separable convolutions (strides 2, 4, 8, 16, 32), head.
    224x224 by default.

    Args:
        width: multiplies every channel count; published are 0.25, 0.5, 0.75 and 1.0.
        variant: "torch" (timm's) or "keras", keras.applications' function.
        small_input: for images of 32 to 64 pixels: the stem does not subsample (strides 1, 2, 4, 8, 16).
        dropout: before the classifier, the share of features dropped in training.
        norm: "batch", "sync_batch", "group", "layer" or "none".
        activation: a Keras activation's name.
        padding: "torch" (symmetric) or "same" (TensorFlow's); None is the variant's own.
    """
    choose("variant", variant, get_args(Variant))
    network = widened("mobilenet_v1", width)
    own, epsilon, momentum = CONVENTIONS[variant]
    kit = Kit(norm, activation, padding or own, epsilon, momentum)
    below = variant == "keras" and padding is None
    head = Head(include_top, pooling, classes, classifier_activation, classifier="classifier")
    image = image_input(input_tensor, input_shape, size=32 if small_input else 224, minimum=16 if small_input else 32)
    x = kit.conv(image, scaled(STEM, width), 3, stride=1 if small_input else 2, name="conv_stem")
    x = kit.normalize(x, name="bn1")
    x = kit.activate(x, name="relu1")
    x = end_point(x, "stem")
    stages = []
    for stage, (depth, filters) in enumerate(STAGES):
        for index in range(depth):
            stride = 2 if index == 0 and stage > 0 else 1
            x = separable(kit, x, scaled(filters, width), stride, below=below, name=f"blocks_{stage}_{index}")
        x = end_point(x, f"blocks_{stage}")
        stages.append(x)
    return assemble(
        image,
        head(x, dropout),
        head,
        stages=stages if features else None,
        weights=weights,
        network=network,
        variant=variant,
        name=name,
    )


def scaled(filters: int, width: float) -> int:
    """The filters at a width, rounded down."""
    return max(1, int(filters * width))


def separable(kit: Kit, x: Any, filters: int, stride: int, *, below: bool, name: str) -> Any:
    """3x3 depthwise, norm, ReLU6, 1x1, norm, ReLU6.

    `below`: at stride 2 the zeros stand below and to the right whatever the size ("same" has them on all sides of an
    odd one).
    """
    padding: Literal["valid"] | None = None
    if below and stride > 1:
        x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_conv_dw_pad")(x)
        padding = "valid"
    x = kit.depthwise(x, 3, stride=stride, padding=padding, name=f"{name}_conv_dw")
    x = kit.normalize(x, name=f"{name}_bn1")
    x = kit.activate(x, name=f"{name}_relu1")
    return kit.conv_norm_act(x, filters, name=name, parts=("conv_pw", "bn2", "relu2"))
