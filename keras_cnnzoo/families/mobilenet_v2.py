"""MobileNetV2: https://arxiv.org/abs/1801.04381. Table 2, figures 3 (b) and 4 (d).

Deviations from the paper: channel counts are multiples of 8, as in its authors' code. Layers are named after
torchvision's module paths, with "_" for ".". `small_input` has the strides that the CIFAR re-implementations use.
"""

from itertools import count
from typing import Any, get_args

import keras
from keras import layers

from ..blocks import reduced, squeeze_excite
from ..kit import SEQUENTIAL, Kit, Norm, Padding, Variant, choose, divisible, share
from ..model import IMAGENET, Head, Pooling, Weights, assemble, documented, end_point, image_input, widened

STEM, LAST = 32, 1280
# expansion, filters, units, stride of the first unit
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
UNITS = sum(stage[2] for stage in STAGES)

# variant: padding, epsilon, momentum
CONVENTIONS: dict[str, tuple[Padding, float, float]] = {"torch": ("torch", 1e-5, 0.9), "keras": ("same", 1e-3, 0.999)}


@documented
def MobileNetV2(
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
    se_ratio: int | None = None,
    dropout: float = 0.2,
    drop_path: float = 0.0,
    norm: Norm = "batch",
    activation: str = "relu6",
    padding: Padding | None = None,
) -> keras.Model:
    """MobileNetV2: stem (stride 2), seven stages of inverted residuals, 1x1 convolution, head. 224x224 by default.
    Features are the last stages of strides 2, 4, 8, 16 and 32.

    Args:
        width: multiplies every channel count, the last convolution's only if it is above 1; published are 0.35, 0.5,
            0.75, 1.0, 1.3 and 1.4.
        variant: "torch" (torchvision's) or "keras", keras.applications' function.
        small_input: for images of 32 to 64 pixels: stem and second stage do not subsample (strides 1, 2, 4, 8).
        se_ratio: reduction of a squeeze-and-excitation gate behind each depthwise convolution, e.g. 4 (to a multiple
            of 8 channels); None for no gate.
        dropout: before the classifier, the share of features dropped in training.
        drop_path: stochastic depth's rate in the last unit, growing from 0 in the first.
        norm: "batch", "sync_batch", "group", "layer" or "none".
        activation: a Keras activation's name.
        padding: "torch" (symmetric) or "same" (TensorFlow's); None is the variant's own.
    """
    choose("variant", variant, get_args(Variant))
    share("drop_path", drop_path)
    network = widened("mobilenet_v2", width)
    own, epsilon, momentum = CONVENTIONS[variant]
    kit = Kit(norm, activation, padding or own, epsilon, momentum)
    head = Head(include_top, pooling, classes, classifier_activation, classifier="classifier_1")
    image = image_input(input_tensor, input_shape, size=32 if small_input else 224, minimum=8 if small_input else 32)
    total = 1 if small_input else 2
    x = kit.conv_norm_act(image, divisible(STEM * width), 3, stride=total, name="features_0", parts=SEQUENTIAL)
    x = end_point(x, "stem")
    unit, levels = count(1), {}
    for stage, (expansion, filters, depth, first) in enumerate(STAGES, start=1):
        for index in range(depth):
            i = next(unit)
            stride = first if index == 0 and not (small_input and stage == 2) else 1
            total *= stride
            expanded = expansion * x.shape[-1]
            x = inverted_residual(
                kit,
                x,
                divisible(filters * width),
                expanded=expanded,
                stride=stride,
                squeezed=divisible(reduced(expanded, se_ratio)) if se_ratio is not None else 0,
                drop_path=drop_path * (i - 1) / (UNITS - 1),
                flat=True,
                name=f"features_{i}_conv",
            )
        levels[total] = x = end_point(x, f"stage{stage}")
    last = divisible(LAST * max(1.0, width))
    x = kit.conv_norm_act(x, last, name=f"features_{next(unit)}", parts=SEQUENTIAL)
    stages = list(levels.values()) if features else None
    return assemble(
        image, head(x, dropout), head, stages=stages, weights=weights, network=network, variant=variant, name=name
    )


def inverted_residual(
    kit: Kit,
    x: Any,
    filters: int,
    kernel: int = 3,
    *,
    expanded: int,
    stride: int,
    squeezed: int = 0,
    gate: str = "sigmoid",
    drop_path: float = 0.0,
    flat: bool = False,
    name: str,
) -> Any:
    """1x1 to `expanded` channels, norm, ReLU6 (unless x has as many), depthwise, norm, ReLU6, squeeze-and-excitation
    (if `squeezed`), 1x1, norm; add x where the shapes agree.

    The parts are numbered below `name`; `flat` numbers the last convolution and its norm one after the other.
    """
    y, part = x, count()
    if expanded != x.shape[-1]:
        y = kit.conv_norm_act(y, expanded, name=f"{name}_{next(part)}", parts=SEQUENTIAL)
    y = kit.depthwise_norm_act(y, kernel, stride=stride, name=f"{name}_{next(part)}", parts=SEQUENTIAL)
    if squeezed:
        y = squeeze_excite(y, squeezed, gate=gate, name=f"{name}_{next(part)}")
    last = next(part)
    parts = (f"{last}", f"{last + 1}") if flat else (f"{last}_0", f"{last}_1")
    y = kit.conv_norm(y, filters, name=name, parts=parts)
    if stride > 1 or x.shape[-1] != filters:
        return y
    y = kit.drop_path(y, drop_path, name=f"{name}_drop_path")
    return layers.Add(name=f"{name}_add")([x, y])
