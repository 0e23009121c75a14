"""ShuffleNet: https://arxiv.org/abs/1707.01083. Table 1, figure 2 (b) and (c).

Deviations from the paper: none known. The stem narrows at widths below 1 and keeps its channels at 1.5, as only so does
1.5x cost the 292 M of table 5. Layers are named after pytorchcv's module paths, with "_" for "."; its stages 1 to 3 are
the paper's 2 to 4. `small_input` is the stem that the CIFAR re-implementations use.
"""

from typing import Any

import keras
from keras import layers

from ..blocks import gated
from ..errors import InputError
from ..kit import Kit, Norm, Padding, choose
from ..layers import ChannelShuffle
from ..model import IMAGENET, Head, Pooling, Weights, assemble, documented, end_point, image_input, widened

# groups: filters of the first stage; each further one has twice as many
FILTERS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
DEPTHS = (4, 8, 4)
STEM, BOTTLENECK = 24, 4

STEM_PARTS = ("conv", "bn", "activ")
COMPRESS = ("compress_conv1", "compress_bn1", "compress_activ")
DEPTHWISE = ("dw_conv2", "dw_bn2")
EXPAND = ("expand_conv3", "expand_bn3")


@documented
def ShuffleNetV1(
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
    groups: int = 3,
    width: float = 1.0,
    shuffle: bool = True,
    small_input: bool = False,
    se_ratio: int | None = None,
    dropout: float = 0.0,
    norm: Norm = "batch",
    activation: str = "relu",
    padding: Padding = "torch",
) -> keras.Model:
    """ShuffleNet: stem (stride 4), three stages (strides 8, 16, 32), head. 224x224 by default.

    Args:
        groups: of the 1x1 convolutions, 1, 2, 3, 4 or 8; more groups buy more channels.
        width: multiplies every channel count; the paper's are 0.25, 0.5, 1.0, 1.5 and 2.0, of which 2 and 4 groups take
            1.0 and 2.0 only: the channels of the others do not divide.
        shuffle: channels move between groups; False is the paper's ablation (table 3).
        small_input: for images of 32 to 64 pixels: the stem does not subsample (strides 1, 2, 4, 8).
        se_ratio: reduction of a squeeze-and-excitation gate on each unit's branch, e.g. 16; None for no gate.
        dropout: before the classifier, the share of features dropped in training.
        norm: "batch", "sync_batch", "group", "layer" or "none".
        activation: a Keras activation's name.
        padding: "torch" (symmetric) or "same" (TensorFlow's).
    """
    choose("groups", groups, tuple(FILTERS))
    network = "shufflenet_v1" if (groups, width) == (3, 1) else widened(f"shufflenet_v1_g{groups}", width)
    stem, widths = channels(groups, width)
    kit = Kit(norm, activation, padding)
    head = Head(include_top, pooling, classes, classifier_activation, classifier="output")
    image = image_input(input_tensor, input_shape, size=32 if small_input else 224, minimum=8 if small_input else 32)
    stride = 1 if small_input else 2
    x = kit.conv_norm_act(image, stem, 3, stride=stride, name="features_init_block", parts=STEM_PARTS)
    if not small_input:
        x = kit.max_pool(x, name="features_init_block_pool")
    x = end_point(x, "stem")
    stages = [x]
    for stage, (depth, filters) in enumerate(zip(DEPTHS, widths, strict=True), start=1):
        for index in range(1, depth + 1):
            first = 1 if stage == index == 1 else groups  # too few channels to group
            stride = 2 if index == 1 else 1
            x = unit(
                kit, x, filters, stride, (first, groups), shuffle, se_ratio, name=f"features_stage{stage}_unit{index}"
            )
        x = end_point(x, f"features_stage{stage}")
        stages.append(x)
    return assemble(
        image, head(x, dropout), head, stages=stages if features else None, weights=weights, network=network, name=name
    )


def channels(groups: int, width: float) -> tuple[int, tuple[int, ...]]:
    """Of the stem (rounded up to whole groups) and of the stages.

    Raises:
        InputError: channels that do not divide into the groups.
    """
    stem = int(STEM * (width if width < 1 else width // 1))
    stem = -(-stem // groups) * groups
    widths = tuple(int(FILTERS[groups] * width) << stage for stage in range(len(DEPTHS)))
    if not stem or any(filters % groups or filters // BOTTLENECK % groups for filters in widths):
        raise InputError(
            f"width={width!r}: {widths} channels and their quarters do not divide into groups={groups}; choose another "
            "width, or other groups"
        )
    return stem, widths


def unit(
    kit: Kit,
    x: Any,
    filters: int,
    stride: int,
    groups: tuple[int, int],
    shuffle: bool,
    se_ratio: int | None,
    *,
    name: str,
) -> Any:
    """1x1 group conv to a quarter, norm, ReLU, shuffle, 3x3 depthwise, norm, 1x1 group conv, norm, gate; add x, ReLU.

    At stride 2 concatenate the 3x3 average pool of x instead, whose channels count among the filters.
    """
    added = filters if stride == 1 else filters - x.shape[-1]
    y = kit.conv_norm_act(x, filters // BOTTLENECK, groups=groups[0], name=name, parts=COMPRESS)
    if shuffle and groups[1] > 1:
        y = ChannelShuffle(groups[1], name=f"{name}_c_shuffle")(y)
    y = kit.depthwise_norm(y, 3, stride=stride, name=name, parts=DEPTHWISE)
    y = kit.conv_norm(y, added, groups=groups[1], name=name, parts=EXPAND)
    y = gated(y, se_ratio, activation=kit.activation, name=f"{name}_se")
    if stride == 1:
        y = layers.Add(name=f"{name}_add")([x, y])
    else:
        x = kit.avg_pool(x, 3, stride, name=f"{name}_avgpool")
        y = layers.Concatenate(name=f"{name}_concat")([y, x])
    return kit.activate(y, name=f"{name}_activ")
