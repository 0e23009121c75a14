"""Inception-ResNet v1 and v2: https://arxiv.org/abs/1602.07261. Figures 7 and 10 to 20, table 1.

Deviations from the paper, those of TF-slim and the public implementations: v2 has the stem of Inception v3 and a module
Mixed_5b, and 1088 and 2080 channels for 1154 and 2048; each network's last unit is neither scaled nor activated; v1 has
a dense layer of 512 before its classifier, FaceNet's embedding. Layers are named after facenet-pytorch's
InceptionResnetV1 and timm's inception_resnet_v2, with "_" for ".". `variant="keras"` is keras.applications'
InceptionResNetV2.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

import keras
from keras import layers

from ..blocks import gated
from ..inception import Conv, branch, mixed, stem
from ..kit import Kit, Norm, Padding, Variant, choose, drop
from ..model import IMAGENET, Head, Pooling, Weights, assemble, average, documented, end_point, image_input, preset

Rows = tuple[tuple[Conv, ...], ...]

# name, filters (0: max pool), kernel, stride, padded
STEM = (
    ("conv2d_1a", 32, 3, 2, False),
    ("conv2d_2a", 32, 3, 1, False),
    ("conv2d_2b", 64, 3, 1, True),
    ("maxpool_3a", 0, 3, 2, False),
    ("conv2d_3b", 80, 1, 1, False),
    ("conv2d_4a", 192, 3, 1, False),
)
MIXED_5B = (((96, 1),), ((48, 1), (64, 5)), ((64, 1), (96, 3), (96, 3)))
SCALES = (0.17, 0.1, 0.2)  # of the branches in the three stages


@dataclass(frozen=True)
class Network:
    """A column of the paper's table: what the three stages are made of.

    Args:
        stages: their names.
        depths: units of each; one more stands behind the last.
        units: of each, the branches' convolutions.
        reductions: before the second and the third, the branches' convolutions.
        classifier: the last layer's name.
    """

    stages: tuple[str, str, str]
    depths: tuple[int, int, int]
    units: tuple[Rows, Rows, Rows]
    reductions: tuple[Rows, Rows]
    classifier: str


NETWORKS = {
    "inception_resnet_v1": Network(
        ("repeat_1", "repeat_2", "repeat_3"),
        (5, 10, 5),
        (
            (((32, 1),), ((32, 1), (32, 3)), ((32, 1), (32, 3), (32, 3))),
            (((128, 1),), ((128, 1), (128, (1, 7)), (128, (7, 1)))),
            (((192, 1),), ((192, 1), (192, (1, 3)), (192, (3, 1)))),
        ),
        (
            (((384, 3, 2),), ((192, 1), (192, 3), (256, 3, 2))),
            (((256, 1), (384, 3, 2)), ((256, 1), (256, 3, 2)), ((256, 1), (256, 3), (256, 3, 2))),
        ),
        "logits",
    ),
    "inception_resnet_v2": Network(
        ("repeat", "repeat_1", "repeat_2"),
        (10, 20, 9),
        (
            (((32, 1),), ((32, 1), (32, 3)), ((32, 1), (48, 3), (64, 3))),
            (((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1)))),
            (((192, 1),), ((192, 1), (224, (1, 3)), (256, (3, 1)))),
        ),
        (
            (((384, 3, 2),), ((256, 1), (256, 3), (384, 3, 2))),
            (((256, 1), (384, 3, 2)), ((256, 1), (288, 3, 2)), ((256, 1), (288, 3), (320, 3, 2))),
        ),
        "classif",
    ),
}


@documented
def inception_resnet(
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
    small_input: bool = False,
    se_ratio: int | None = None,
    dropout: float = 0.2,
    norm: Norm = "batch",
    activation: str = "relu",
    padding: Padding = "same",
) -> keras.Model:
    """Inception modules as residual branches: stem (stride 4), three stages (strides 8, 16, 32), head. 299x299 by
    default.

    Args:
        variant: "torch", or "keras" for keras.applications' function (batch norms without gamma; v2 alone).
        small_input: for images of 32 to 64 pixels: the stem pads and does not subsample (strides 1, 1, 2, 4).
        se_ratio: reduction of a squeeze-and-excitation gate on each unit's branch, or None for no gate.
        dropout: before the head's dense layers, the share of features dropped in training.
        norm: "batch", "sync_batch", "group", "layer" or "none".
        activation: a Keras activation's name.
        padding: whether v2's average pool counts the padded zeros, "torch", or not, "same", as the references. What
            subsamples pads in neither.
    """
    choose("variant", variant, get_args(Variant) if network == "inception_resnet_v2" else ("torch",))
    momentum, gamma = (0.99, False) if variant == "keras" else (0.9, True)
    kit = Kit(norm, activation, padding, epsilon=1e-3, momentum=momentum, gamma=gamma)
    v2, plan = network == "inception_resnet_v2", NETWORKS[network]
    head = Head(
        include_top,
        pooling,
        classes,
        classifier_activation,
        classifier=plan.classifier,
        unused=("last_linear", "last_bn"),
    )
    size, minimum = (32, 7) if small_input else (299, 75)
    image = image_input(input_tensor, input_shape, size=size, minimum=minimum)
    x = stem(kit, image, STEM, subsample=not small_input)
    points = [x := end_point(x, "stem")]
    x = (stem_v2 if v2 else stem_v1)(kit, x, subsample=not small_input)
    for stage, (block, depth) in enumerate(zip(plan.stages, plan.depths, strict=True)):
        if stage:
            x = mixed(kit, x, plan.reductions[stage - 1], name=f"mixed_{5 + stage}a")
        for index in range(depth):
            x = unit(kit, x, plan.units[stage], SCALES[stage], se_ratio, name=f"{block}_{index}")
            x = kit.activate(x, name=f"{block}_{index}_act")
        if stage < 2:
            points.append(x := end_point(x, block))
    x = unit(kit, x, plan.units[2], 1.0, se_ratio, name="block8")
    if v2:
        x = kit.conv_norm_act(x, 1536, name="conv2d_7b")
    points.append(x := end_point(x, "conv2d_7b" if v2 else "block8"))
    answer = head(x, dropout, top=None if v2 else partial(embedded, kit, head, dropout))
    return assemble(
        image,
        answer,
        head,
        stages=points if features else None,
        weights=weights,
        network=network,
        variant=variant,
        name=name,
    )


def stem_v1(kit: Kit, x: Any, *, subsample: bool) -> Any:
    """Figure 14. 3x3 at stride 2."""
    return stem(kit, x, [("conv2d_4b", 256, 3, 2, False)], subsample=subsample)


def stem_v2(kit: Kit, x: Any, *, subsample: bool) -> Any:
    """Max pool, then 1x1 | 1x1, 5x5 | 1x1, 3x3, 3x3 | average pool, 1x1; concat."""
    x = stem(kit, x, [("maxpool_5a", 0, 3, 2, False)], subsample=subsample)
    return mixed(kit, x, MIXED_5B, pooled=64, name="mixed_5b")


def unit(kit: Kit, x: Any, rows: Rows, scale: float, se_ratio: int | None, *, name: str) -> Any:
    """Figures 10 to 20. A branch for each row; concat; 1x1 with bias and no norm; gate; times `scale`; add."""
    branches = [branch(kit, x, *row, name=f"{name}_branch{number}") for number, row in enumerate(rows)]
    y = layers.Concatenate(name=f"{name}_concat")(branches)
    y = kit.conv(y, x.shape[-1], bias=True, name=f"{name}_conv2d")
    y = gated(y, se_ratio, activation=kit.activation, name=f"{name}_se")
    if scale != 1:
        y = layers.Rescaling(scale, name=f"{name}_scaled")(y)
    return layers.Add(name=f"{name}_add")([x, y])


def embedded(kit: Kit, head: Head, dropout: float, x: Any) -> Any:
    """v1's head. Average, dropout, dense of 512 without bias, norm, dense."""
    x = drop(average(x), dropout, name="dropout")
    x = layers.Dense(512, use_bias=kit.norm == "none", name="last_linear")(x)
    return head.classify(kit.normalize(x, name="last_bn"))


InceptionResNetV1 = preset(inception_resnet, "inception_resnet_v1", "InceptionResNetV1")
InceptionResNetV2 = preset(inception_resnet, "inception_resnet_v2", "InceptionResNetV2")
