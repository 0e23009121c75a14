"""ShuffleNet v2: https://arxiv.org/abs/1807.11164. Table 5, figure 3 (c) and (d).

Deviations from the paper: none known. Layers are named after torchvision's module paths, with "_" for ".".
`small_input` is the stem that the CIFAR re-implementations use.
"""

from typing import Any

import keras
from keras import layers

from ..kit import SEQUENTIAL, Kit, Norm, Padding, choose
from ..layers import ChannelShuffle, ChannelSplit
from ..model import IMAGENET, Head, Pooling, Weights, assemble, documented, end_point, image_input
from ..registry import at_width

# width: channels of the stem, of stages 2 to 4, of the last 1x1 convolution
WIDTHS = {
    0.5: (24, (48, 96, 192), 1024),
    1.0: (24, (116, 232, 464), 1024),
    1.5: (24, (176, 352, 704), 1024),
    2.0: (24, (244, 488, 976), 2048),
}
DEPTHS = (4, 8, 4)


@documented
def ShuffleNetV2(
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
    small_input: bool = False,
    dropout: float = 0.0,
    norm: Norm = "batch",
    activation: str = "relu",
    padding: Padding = "torch",
) -> keras.Model:
    """ShuffleNet v2: stem (stride 4), three stages (strides 8, 16, 32), 1x1 convolution, head. 224x224 by default.

    Args:
        width: 0.5, 1.0, 1.5 or 2.0.
        small_input: for images of 32 to 64 pixels: the stem does not subsample (strides 1, 2, 4, 8).
        dropout: before the classifier, the share of features dropped in training.
        norm: "batch", "sync_batch", "group", "layer" or "none".
        activation: a Keras activation's name.
        padding: "torch" (symmetric) or "same" (TensorFlow's).
    """
    choose("width", width, tuple(WIDTHS))
    stem, widths, last = WIDTHS[width]
    kit = Kit(norm, activation, padding)
    head = Head(include_top, pooling, classes, classifier_activation)
    image = image_input(input_tensor, input_shape, size=32 if small_input else 224, minimum=8 if small_input else 32)
    x = kit.conv_norm_act(image, stem, 3, stride=1 if small_input else 2, name="conv1", parts=SEQUENTIAL)
    if not small_input:
        x = kit.max_pool(x, name="maxpool")
    x = end_point(x, "stem")
    stages = [x]
    for stage, (depth, filters) in enumerate(zip(DEPTHS, widths, strict=True), start=2):
        for index in range(depth):
            x = (unit if index else downsampling_unit)(kit, x, filters // 2, name=f"stage{stage}_{index}")
        x = end_point(x, f"stage{stage}")
        stages.append(x)
    x = kit.conv_norm_act(x, last, name="conv5", parts=SEQUENTIAL)
    network = at_width("shufflenet_v2", width)
    return assemble(
        image, head(x, dropout), head, stages=stages if features else None, weights=weights, network=network, name=name
    )


def unit(kit: Kit, x: Any, filters: int, *, name: str) -> Any:
    """Figure 3 (c). Split; one half: 1x1, norm, ReLU, 3x3 depthwise, norm, 1x1, norm, ReLU; concat; shuffle."""
    kept, x = ChannelSplit(name=f"{name}_split")(x)
    return merge(kept, branch(kit, x, filters, 1, name=f"{name}_branch2"), name=name)


def downsampling_unit(kit: Kit, x: Any, filters: int, *, name: str) -> Any:
    """Figure 3 (d). Beside the branch of `unit` at stride 2: 3x3 depthwise, norm, 1x1, norm, ReLU; concat; shuffle."""
    left = kit.depthwise_norm(x, 3, stride=2, name=f"{name}_branch1", parts=("0", "1"))
    left = kit.conv_norm_act(left, filters, name=f"{name}_branch1", parts=("2", "3", "4"))
    return merge(left, branch(kit, x, filters, 2, name=f"{name}_branch2"), name=name)


def branch(kit: Kit, x: Any, filters: int, stride: int, *, name: str) -> Any:
    """1x1, norm, ReLU, 3x3 depthwise, norm, 1x1, norm, ReLU."""
    x = kit.conv_norm_act(x, filters, name=name, parts=SEQUENTIAL)
    x = kit.depthwise_norm(x, 3, stride=stride, name=name, parts=("3", "4"))
    return kit.conv_norm_act(x, filters, name=name, parts=("5", "6", "7"))


def merge(left: Any, right: Any, *, name: str) -> Any:
    """Concat; shuffle."""
    x = layers.Concatenate(name=f"{name}_concat")([left, right])
    return ChannelShuffle(2, name=f"{name}_shuffle")(x)
