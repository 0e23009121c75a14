"""Inception with batch normalisation (Inception v2): https://arxiv.org/abs/1502.03167. Figure 5.

Deviations from the paper, those of the public implementations in Caffe and MXNet: the first convolution is a plain one
(not separable), and convolutions keep a bias that the normalisation undoes. `small_input` has no reference: the stem is
its last convolution. Layers are named after Cadene/pretrained-models.pytorch's bninception.
"""

from typing import Any

import keras
from keras import layers

from ..kit import Kit, Norm, Padding
from ..model import IMAGENET, Head, Pooling, Weights, assemble, documented, end_point, image_input

# module: its channels: 1x1 | reduce, 3x3 | reduce, double 3x3 | behind the pool.
# Where the first and the last are 0, both 3x3 branches stride and the pool passes its input on.
MODULES = {
    "inception_3a": (64, (64, 64), (64, 96), 32),
    "inception_3b": (64, (64, 96), (64, 96), 64),
    "inception_3c": (0, (128, 160), (64, 96), 0),
    "inception_4a": (224, (64, 96), (96, 128), 128),
    "inception_4b": (192, (96, 128), (96, 128), 128),
    "inception_4c": (160, (128, 160), (128, 160), 128),
    "inception_4d": (96, (128, 192), (160, 192), 128),
    "inception_4e": (0, (128, 192), (192, 256), 0),
    "inception_5a": (352, (192, 320), (160, 224), 128),
    "inception_5b": (352, (192, 320), (192, 224), 128),
}
MAX_POOLED = "inception_5b"  # the others average
STAGES = {"inception_3b": "inception_3", "inception_4d": "inception_4", "inception_5b": "inception_5"}

Widths = tuple[int, tuple[int, int], tuple[int, int], int]


@documented
def InceptionBN(
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
    dropout: float = 0.0,
    norm: Norm = "batch",
    activation: str = "relu",
    padding: Padding = "torch",
) -> keras.Model:
    """Inception with batch normalisation: stem (stride 4), max pool, ten modules in three stages (strides 8, 16, 32),
    head. 224x224 by default.

    Args:
        small_input: for images of 32 to 64 pixels: the stem is its last 3x3 convolution (strides 1, 1, 2, 4).
        dropout: before the classifier, the share of features dropped in training; the paper has it in one network
            only.
        norm: "batch", "sync_batch", "group", "layer" or "none".
        activation: a Keras activation's name.
        padding: "torch" (symmetric; max pools of the stem in ceil mode, average pools count the padded zeros) or "same"
            (TensorFlow's).
    """
    kit = Kit(norm, activation, padding)
    head = Head(include_top, pooling, classes, classifier_activation, classifier="last_linear")
    size, minimum = (32, 4) if small_input else (224, 7)
    x = image = image_input(input_tensor, input_shape, size=size, minimum=minimum)
    if not small_input:
        x = conv(kit, x, 64, 7, stride=2, name="conv1_7x7_s2")
        x = kit.ceil_pool(x, name="pool1_3x3_s2")
        x = conv(kit, x, 64, 1, name="conv2_3x3_reduce")
    x = conv(kit, x, 192, 3, name="conv2_3x3")
    stages = [x := end_point(x, "stem")]
    if not small_input:
        x = kit.ceil_pool(x, name="pool2_3x3_s2")
    for module, widths in MODULES.items():
        x = inception(kit, x, widths, name=module)
        if module in STAGES:
            stages.append(x := end_point(x, STAGES[module]))
    network = "inception_bn"
    return assemble(
        image, head(x, dropout), head, stages=stages if features else None, weights=weights, network=network, name=name
    )


def inception(kit: Kit, x: Any, widths: Widths, *, name: str) -> Any:
    """1x1 | 1x1, 3x3 | 1x1, 3x3, 3x3 | 3x3 pool, 1x1; norm and ReLU behind each convolution; concat."""
    alone, (reduce, wide), (reduce_double, wide_double), pooled = widths
    stride = 1 if alone else 2
    branches = [conv(kit, x, alone, 1, name=f"{name}_1x1")] if alone else []
    y = conv(kit, x, reduce, 1, name=f"{name}_3x3_reduce")
    branches.append(conv(kit, y, wide, 3, stride=stride, name=f"{name}_3x3"))
    y = conv(kit, x, reduce_double, 1, name=f"{name}_double_3x3_reduce")
    y = conv(kit, y, wide_double, 3, name=f"{name}_double_3x3_1")
    branches.append(conv(kit, y, wide_double, 3, stride=stride, name=f"{name}_double_3x3_2"))
    branches.append(pool_branch(kit, x, pooled, stride, name=name))
    return layers.Concatenate(name=f"{name}_concat")(branches)


def pool_branch(kit: Kit, x: Any, filters: int, stride: int, *, name: str) -> Any:
    """3x3 average pool (max in the last module), 1x1, norm, ReLU; or a strided max pool alone."""
    if filters and name != MAX_POOLED:
        x = kit.avg_pool(x, name=f"{name}_pool")
    else:  # "same" is ceil mode where height and width are even; else the references' branches do not fit together
        x = layers.MaxPooling2D(3, stride, "same", name=f"{name}_pool")(x)
    return conv(kit, x, filters, 1, name=f"{name}_pool_proj") if filters else x


def conv(kit: Kit, x: Any, filters: int, kernel: int, *, stride: int = 1, name: str) -> Any:
    """Convolution with bias, norm, ReLU."""
    x = kit.conv(x, filters, kernel, stride=stride, bias=True, name=name)
    x = kit.normalize(x, name=f"{name}_bn")
    return kit.activate(x, name=f"{name}_relu")
