"""Inception v4: https://arxiv.org/abs/1602.07261. Figures 3 to 9.

Deviations from the paper: none known. Layers are named after timm's inception_v4, with "_" for ".".
"""

from typing import Any, Literal

import keras
from keras import layers

from ..inception import branch, fork, mixed, pool_branch, stem
from ..kit import Kit, Norm, Padding
from ..model import IMAGENET, Head, Pooling, Weights, assemble, documented, end_point, image_input

# name, filters, kernel, stride, padded
STEM = (("features_0", 32, 3, 2, False), ("features_1", 32, 3, 1, False), ("features_2", 64, 3, 1, True))

# rows of (filters, kernel) or (filters, kernel, stride)
INCEPTION_A = (((96, 1),), ((64, 1), (96, 3)), ((64, 1), (96, 3), (96, 3)))
REDUCTION_A = (((384, 3, 2),), ((192, 1), (224, 3), (256, 3, 2)))
INCEPTION_B = (
    ((384, 1),),
    ((192, 1), (224, (1, 7)), (256, (7, 1))),
    ((192, 1), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7))),
)
REDUCTION_B = (((192, 1), (192, 3, 2)), ((256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3, 2)))


@documented
def InceptionV4(
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
    small_input: bool = False,
    dropout: float = 0.2,
    norm: Norm = "batch",
    activation: str = "relu",
    padding: Padding = "same",
) -> keras.Model:
    """Inception v4: stem (stride 4), 4 modules A (stride 8), 7 B (16), 3 C (32), head. 299x299 by default.

    Args:
        small_input: for images of 32 to 64 pixels: the stem pads and does not subsample (strides 1, 1, 2, 4).
        dropout: before the classifier, the share of features dropped in training.
        norm: "batch", "sync_batch", "group", "layer" or "none".
        activation: a Keras activation's name.
        padding: whether average pools count the padded zeros, "torch", or not, "same", as the references. What
            subsamples pads in neither.
    """
    kit = Kit(norm, activation, padding, epsilon=1e-3)
    head = Head(include_top, pooling, classes, classifier_activation, classifier="last_linear")
    size, minimum = (32, 7) if small_input else (299, 75)
    image = image_input(input_tensor, input_shape, size=size, minimum=minimum)
    x = stem(kit, image, STEM, subsample=not small_input)
    x = stem_modules(kit, x, subsample=not small_input)
    stages = [x := end_point(x, "stem")]
    ends = conv_and_pool(kit, x, 192, subsample=not small_input, name="features_5")
    x = layers.Concatenate(name="features_5_concat")(list(ends))
    for index in range(6, 10):
        x = mixed(kit, x, INCEPTION_A, pooled=96, name=f"features_{index}")
    stages.append(x := end_point(x, "features_9"))
    x = mixed(kit, x, REDUCTION_A, name="features_10")
    for index in range(11, 18):
        x = mixed(kit, x, INCEPTION_B, pooled=128, name=f"features_{index}")
    stages.append(x := end_point(x, "features_17"))
    x = mixed(kit, x, REDUCTION_B, name="features_18")
    for index in range(19, 22):
        x = inception_c(kit, x, name=f"features_{index}")
    stages.append(x := end_point(x, "features_21"))
    network = "inception_v4"
    return assemble(
        image, head(x, dropout), head, stages=stages if features else None, weights=weights, network=network, name=name
    )


def stem_modules(kit: Kit, x: Any, *, subsample: bool) -> Any:
    """Figure 3. 3x3 at stride 2 | max pool; concat; 1x1, 3x3 | 1x1, 1x7, 7x1, 3x3; concat."""
    conv, pool = conv_and_pool(kit, x, 96, subsample=subsample, name="features_3")
    x = layers.Concatenate(name="features_3_concat")([pool, conv])
    border = strided(subsample)[1]
    short = kit.conv_norm_act(x, 64, name="features_4_branch0_0")
    short = kit.conv_norm_act(short, 96, 3, padding=border, name="features_4_branch0_1")
    long = branch(kit, x, (64, 1), (64, (1, 7)), (64, (7, 1)), name="features_4_branch1")
    long = kit.conv_norm_act(long, 96, 3, padding=border, name="features_4_branch1_3")
    return layers.Concatenate(name="features_4_concat")([short, long])


def conv_and_pool(kit: Kit, x: Any, filters: int, *, subsample: bool, name: str) -> tuple[Any, Any]:
    """3x3 at stride 2 | max pool."""
    stride, border = strided(subsample)
    conv = kit.conv_norm_act(x, filters, 3, stride=stride, padding=border, name=f"{name}_conv")
    return conv, kit.max_pool(x, 3, stride, padding=border, name=f"{name}_maxpool")


def strided(subsample: bool) -> tuple[int, Literal["valid"] | None]:
    """Stride and padding of what subsamples, and of what would."""
    return (2, "valid") if subsample else (1, None)


def inception_c(kit: Kit, x: Any, *, name: str) -> Any:
    """Figure 6, 8x8. 1x1 | 1x1, (1x3 | 3x1) | 1x1, 3x1, 1x3, (1x3 | 3x1) | average pool, 1x1; concat."""
    short = kit.conv_norm_act(x, 384, name=f"{name}_branch1_0")
    long = branch(kit, x, (384, 1), (448, (3, 1)), (512, (1, 3)), name=f"{name}_branch2")
    branches = [
        kit.conv_norm_act(x, 256, name=f"{name}_branch0"),
        fork(kit, short, 256, name=f"{name}_branch1_1"),
        fork(kit, long, 256, name=f"{name}_branch2_3"),
        pool_branch(kit, x, 256, name=f"{name}_branch3_1"),
    ]
    return layers.Concatenate(name=f"{name}_concat")(branches)
