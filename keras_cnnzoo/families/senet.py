"""Squeeze-and-excitation networks: https://arxiv.org/abs/1709.01507, table 1 and section 4 (SENet-154: appendix).

ResNet and ResNeXt with a gate behind each unit's last norm. As in the authors' release, the bottlenecks of SEResNet50
and deeper stride on their first 1x1 convolution and the stem pools in "ceil mode". Deviations from the paper:
SEResNet18 and 34 have a ReLU between the last norm and the gate, as the published weights need it. Layers are named
after the module paths of timm's legacy networks, with "_" for "."; SEResNet20 is one of resnet.py's CIFAR networks.
"""

from typing import Any, NamedTuple

import keras

from ..kit import Kit, Norm, Padding
from ..model import IMAGENET, Head, Pooling, Weights, assemble, documented, end_point, image_input, preset
from ..residual import ORDERS, Conv, Convs, Names, StrideOn, Units, basic, bottleneck, plan, residual_stages, stem
from .resnet import resnet_cifar


class Network(NamedTuple):
    """Kind of unit, units in stages 2 to 5, cardinality, width of a group in stage 2, what carries the stride."""

    unit: str
    depths: tuple[int, ...]
    cardinality: int = 1
    width: int = 64
    stride_on: StrideOn = "3x3"


VARIANTS = {
    "seresnet18": Network("basic", (2, 2, 2, 2)),
    "seresnet34": Network("basic", (3, 4, 6, 3)),
    "seresnet50": Network("bottleneck", (3, 4, 6, 3), stride_on="1x1"),
    "seresnet101": Network("bottleneck", (3, 4, 23, 3), stride_on="1x1"),
    "seresnet152": Network("bottleneck", (3, 8, 36, 3), stride_on="1x1"),
    "seresnext50_32x4d": Network("bottleneck", (3, 4, 6, 3), 32, 4),
    "seresnext101_32x4d": Network("bottleneck", (3, 4, 23, 3), 32, 4),
    "seresnext101_64x4d": Network("bottleneck", (3, 4, 23, 3), 64, 4),
    "senet154": Network("senet154", (3, 8, 36, 3), 64, 4),
}

LEGACY = Names(
    gate="se_module",
    stem=("layer0_conv1", "layer0_bn1", "layer0_relu1", "layer0_pool"),
    classifier="last_linear",
)


@documented
def senet(
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
    se_ratio: int | None = 16,
    small_input: bool = False,
    dropout: float | None = None,
    drop_path: float = 0.0,
    norm: Norm = "batch",
    activation: str = "relu",
    padding: Padding = "torch",
) -> keras.Model:
    """A squeeze-and-excitation network: stem, four stages (strides 4, 8, 16, 32), head. 224x224 by default.

    Args:
        se_ratio: reduction of the gate on each unit's branch; None for no gate.
        small_input: for images of 32 to 64 pixels: a 3x3 stem that does not subsample (strides 1, 2, 4, 8).
        dropout: before the classifier, the share of features dropped in training; None is the network's own (0.2 for
            SENet154, else 0).
        drop_path: stochastic depth: the share of samples that skip the last unit in training, linearly less before it.
        norm: "batch", "sync_batch", "group", "layer" or "none".
        activation: a Keras activation's name.
        padding: "torch" (symmetric) or "same" (TensorFlow's).
    """
    row, deep = VARIANTS[network], network == "senet154"
    order = ORDERS["original"]._replace(last="norm act") if row.unit == "basic" else ORDERS["original"]
    kit, kernel = Kit(norm, activation, padding), 3 if deep else 1
    units = Units(kit, LEGACY, order, projection=kernel, se_ratio=se_ratio, drop_path=drop_path)
    image = image_input(input_tensor, input_shape, size=32 if small_input else 224, minimum=8 if small_input else 32)
    head = Head(include_top, pooling, classes, classifier_activation, LEGACY.classifier)
    if deep:
        x = deep_stem(kit, image, small_input=small_input)
    else:
        x = stem(units, image, 64, small_input=small_input, ceil=True)
    x, stages = residual_stages(units, x, plan(row.depths, lambda stage, stride: convolutions(row, stage, stride)))
    x = head(x, (0.2 if deep else 0.0) if dropout is None else dropout)
    return assemble(image, x, head, stages=stages if features else None, weights=weights, network=network, name=name)


def deep_stem(kit: Kit, x: Any, *, small_input: bool) -> Any:
    """SENet-154's: 3x3 at stride 2, norm, ReLU; twice more at stride 1; 3x3 max pool. A small input keeps its size."""
    for i, filters in enumerate((64, 64, 128), start=1):
        parts = (f"conv{i}", f"bn{i}", f"relu{i}")
        stride = 2 if i == 1 and not small_input else 1
        x = kit.conv_norm_act(x, filters, 3, stride=stride, name="layer0", parts=parts)
    return end_point(x if small_input else kit.ceil_pool(x, name=LEGACY.stem[-1]), "stem")


def convolutions(row: Network, stage: int, stride: int) -> Convs:
    """basic: 3x3, 3x3. bottleneck: 1x1, (grouped) 3x3, 1x1; SENet-154's doubles the width in its grouped 3x3."""
    if row.unit == "basic":
        return basic(64 << stage, stride)
    width, filters = row.cardinality * row.width << stage, 256 << stage
    if row.unit == "senet154":
        return Conv(width // 2), Conv(width, 3, stride, row.cardinality), Conv(filters)
    return bottleneck(width, filters, stride, groups=row.cardinality, stride_on=row.stride_on)


SEResNet18 = preset(senet, "seresnet18", "SEResNet18")
SEResNet34 = preset(senet, "seresnet34", "SEResNet34")
SEResNet50 = preset(senet, "seresnet50", "SEResNet50")
SEResNet101 = preset(senet, "seresnet101", "SEResNet101")
SEResNet152 = preset(senet, "seresnet152", "SEResNet152")
SEResNeXt50_32x4d = preset(senet, "seresnext50_32x4d", "SEResNeXt50_32x4d")
SEResNeXt101_32x4d = preset(senet, "seresnext101_32x4d", "SEResNeXt101_32x4d")
SEResNeXt101_64x4d = preset(senet, "seresnext101_64x4d", "SEResNeXt101_64x4d")
SENet154 = preset(senet, "senet154", "SENet154")
SEResNet20 = preset(resnet_cifar, "seresnet20", "SEResNet20")
