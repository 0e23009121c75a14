"""Xception: https://arxiv.org/abs/1610.02357. Figure 5.

Deviations from the paper: none known in `variant="keras"`, the default, which is the author's own network in
keras.applications. Layers are named after timm's legacy_xception (its weights are the author's), with "_" for ".";
`variant="torch"` computes as that does: other padding of the max pools and another epsilon.
"""

from typing import Any, Literal, get_args

import keras
from keras import layers

from ..blocks import gated
from ..kit import Kit, Norm, Padding, Variant, choose
from ..model import IMAGENET, Head, Pooling, Weights, assemble, documented, end_point, image_input

# block: filters of its separable convolutions; blocks 1, 2, 3 and 12 subsample, 4 to 11 are the middle flow
BLOCKS = {
    "block1": (128, 128),
    "block2": (256, 256),
    "block3": (728, 728),
    **{f"block{number}": (728, 728, 728) for number in range(4, 12)},
    "block12": (728, 1024),
}
STAGES = ("block1", "block2", "block11")  # a fourth is the exit flow's


@documented
def Xception(
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
    variant: Variant = "keras",
    small_input: bool = False,
    se_ratio: int | None = None,
    dropout: float = 0.5,
    norm: Norm = "batch",
    activation: str = "relu",
    padding: Padding | None = None,
) -> keras.Model:
    """Xception: stem (stride 2), entry flow (strides 4, 8, 16), middle flow, exit flow (stride 32), head. 299x299 by
    default.

    Args:
        variant: "keras", the author's (epsilon 1e-3, padding "same"), or "torch", timm's (1e-5, "torch").
        small_input: for images of 32 to 64 pixels: the stem pads and does not subsample (strides 1, 2, 4, 8, 16).
        se_ratio: reduction of a squeeze-and-excitation gate on each block's branch, e.g. 16; None for no gate.
        dropout: before the classifier, the share of features dropped in training.
        norm: "batch", "sync_batch", "group", "layer" or "none".
        activation: a Keras activation's name.
        padding: "torch" (symmetric) or "same" (TensorFlow's); None is the variant's. The stem pads in neither.
    """
    choose("variant", variant, get_args(Variant))
    if variant == "keras":
        kit = Kit(norm, activation, padding or "same", epsilon=1e-3, momentum=0.99)
    else:
        kit = Kit(norm, activation, padding or "torch")
    head = Head(include_top, pooling, classes, classifier_activation)
    size, minimum = (32, 16) if small_input else (299, 32)
    x = image = image_input(input_tensor, input_shape, size=size, minimum=minimum)
    border: Literal["valid"] | None = None if small_input else "valid"
    for number, filters, stride in ((1, 32, 1 if small_input else 2), (2, 64, 1)):
        x = kit.conv(x, filters, 3, stride=stride, padding=border, name=f"conv{number}")
        x = norm_act(kit, x, number)
    x = end_point(x, "stem")
    stages = []
    for block, widths in BLOCKS.items():
        x = residual(kit, x, widths, se_ratio, name=block)
        if block in STAGES:
            stages.append(x := end_point(x, block))
    for number, filters in ((3, 1536), (4, 2048)):
        x = separable(kit, x, filters, name=f"conv{number}")
        x = norm_act(kit, x, number)
    stages.append(x := end_point(x, "exit"))
    network = "xception"
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


def residual(kit: Kit, x: Any, filters: tuple[int, ...], se_ratio: int | None, *, name: str) -> Any:
    """ReLU (not in block 1), separable 3x3, norm, as often as there are filters; max pool; gate; add.

    A block of three neither pools nor changes the channels: what it adds is its input. Else that is projected by a
    strided 1x1, norm.
    """
    middle = len(filters) == 3
    skip = x
    if not middle:
        skip = kit.conv(x, filters[-1], stride=2, name=f"{name}_skip")
        skip = kit.normalize(skip, name=f"{name}_skipbn")
    index = -1 if name == "block1" else 0  # of the ReLU in timm's sequence
    for width in filters:
        if index >= 0:
            x = kit.activate(x, name=f"{name}_rep_{index}")
        x = separable(kit, x, width, name=f"{name}_rep_{index + 1}")
        x = kit.normalize(x, name=f"{name}_rep_{index + 2}")
        index += 3
    if not middle:
        x = kit.max_pool(x, signed=True, name=f"{name}_rep_{index}")
    x = gated(x, se_ratio, activation=kit.activation, name=f"{name}_se")
    return layers.Add(name=f"{name}_add")([x, skip])


def separable(kit: Kit, x: Any, filters: int, *, name: str) -> Any:
    """3x3 depthwise, 1x1, nothing between them."""
    x = kit.depthwise(x, 3, name=f"{name}_conv1")
    return kit.conv(x, filters, name=f"{name}_pointwise")


def norm_act(kit: Kit, x: Any, number: int) -> Any:
    """The norm and ReLU behind convolution `number` outside the blocks."""
    return kit.activate(kit.normalize(x, name=f"bn{number}"), name=f"act{number}")
