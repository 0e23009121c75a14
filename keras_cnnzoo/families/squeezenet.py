"""SqueezeNet: https://arxiv.org/abs/1602.07360. Table 1, figures 1 and 2; version 1.1 is the authors' later release.

Deviations from the paper: the 7x7 stem does not pad, as in its authors' release and torchvision; figure 2's complex
bypass costs 6.1 MB of parameters, not the 7.7 MB of table 3. `small_input` is the stem that CIFAR re-implementations
(weiaicunzai/pytorch-cifar100) have. Layers are named after torchvision's module paths, with "_" for ".".
"""

from typing import Any, Literal, get_args

import keras
from keras import layers

from ..kit import Kit, Norm, Padding, choose, drop
from ..model import IMAGENET, Head, Pooling, Weights, assemble, documented, end_point, image_input, preset

Bypass = Literal["none", "simple", "complex"]

# network: (filters, kernel) of the stem, then the squeezed channels of the fire modules between the max pools
VARIANTS = {
    "squeezenet1_0": ((96, 7), ((16, 16, 32), (32, 48, 48, 64), (64,))),
    "squeezenet1_1": ((64, 3), ((16, 16), (32, 32), (48, 48, 64, 64))),
}
EXPANSION = 8  # channels of a fire module for each squeezed one, half of them from 1x1, half from 3x3


@documented
def squeezenet(
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
    bypass: Bypass = "none",
    small_input: bool = False,
    dropout: float = 0.5,
    norm: Norm = "none",
    activation: str = "relu",
    padding: Padding = "torch",
) -> keras.Model:
    """Stem, eight fire modules in three stages (strides 4, 8, 16), each behind a max pool, convolution as classifier.
    224x224 by default.

    Args:
        bypass: around fire modules, "none", "simple" (where they keep the channels) or "complex" (a 1x1 convolution
            around the others as well).
        small_input: for images of 32 to 64 pixels: the stem is a 3x3 convolution with stride 1 (strides 2, 4, 8).
        dropout: before the classifier, the share of the map dropped in training.
        norm: "none", "batch", "sync_batch", "group" or "layer", behind each convolution.
        activation: a Keras activation's name.
        padding: "torch" (the stem does not pad, max pools are in ceil mode) or "same" (TensorFlow's).
    """
    choose("bypass", bypass, get_args(Bypass))
    (filters, kernel), fires = VARIANTS[network]
    kit = Kit(norm, activation, padding)
    head = Head(include_top, pooling, classes, classifier_activation, classifier="classifier_1")
    size, minimum = (32, 8) if small_input else (224, 14 + kernel)
    image = image_input(input_tensor, input_shape, size=size, minimum=minimum)
    x = stem(kit, image, filters, kernel, small_input)
    stages, index, signed = [], 2, bypass == "complex"  # its projections, and so its sums, have no activation
    for stage, squeezed in enumerate(fires, start=1):
        x = kit.ceil_pool(x, signed=signed, name=f"features_{index}")
        for width in squeezed:
            index += 1
            x = bypassed(kit, x, width, bypass, name=f"features_{index}")
        index += 1
        stages.append(x := end_point(x, f"stage{stage}"))
    x = head(x, top=lambda x: classify(kit, head, x, dropout))
    return assemble(image, x, head, stages=stages if features else None, weights=weights, network=network, name=name)


def stem(kit: Kit, x: Any, filters: int, kernel: int, small_input: bool) -> Any:
    """7x7 or 3x3 at stride 2, norm, ReLU; `small_input`: 3x3 at stride 1."""
    if small_input:
        x = kit.conv(x, filters, 3, name="features_0")
    else:
        padding: Literal["valid"] | None = "valid" if kit.padding == "torch" else None
        x = kit.conv(x, filters, kernel, stride=2, padding=padding, name="features_0")
    x = kit.normalize(x, name="features_0_norm")
    return end_point(kit.activate(x, name="features_1"), "stem")


def bypassed(kit: Kit, x: Any, squeezed: int, bypass: Bypass, *, name: str) -> Any:
    """Fire module; add what went around it (figure 2)."""
    y = fire(kit, x, squeezed, name=name)
    keeps = x.shape[-1] == y.shape[-1]
    if bypass == "none" or (bypass == "simple" and not keeps):
        return y
    if not keeps:
        x = kit.conv(x, y.shape[-1], name=f"{name}_bypass")
        x = kit.normalize(x, name=f"{name}_bypass_norm")
    return layers.Add(name=f"{name}_add")([x, y])


def fire(kit: Kit, x: Any, squeezed: int, *, name: str) -> Any:
    """Figure 1. 1x1 (squeeze), ReLU; 1x1 | 3x3 (expand), ReLU; concat."""
    x = part(kit, x, squeezed, 1, name=f"{name}_squeeze")
    expanded = squeezed * EXPANSION // 2
    ones = part(kit, x, expanded, 1, name=f"{name}_expand1x1")
    threes = part(kit, x, expanded, 3, name=f"{name}_expand3x3")
    return layers.Concatenate(name=f"{name}_concat")([ones, threes])


def part(kit: Kit, x: Any, filters: int, kernel: int, *, name: str) -> Any:
    """Convolution, norm, ReLU."""
    x = kit.conv(x, filters, kernel, name=name)
    x = kit.normalize(x, name=f"{name}_norm")
    return kit.activate(x, name=f"{name}_activation")


def classify(kit: Kit, head: Head, x: Any, dropout: float) -> Any:
    """Dropout; 1x1 to the classes, ReLU, average; activation."""
    x = drop(x, dropout, name="classifier_0")
    small = keras.initializers.RandomNormal(stddev=0.01)  # the authors': the average would not tame larger answers
    x = layers.Conv2D(int(head.classes), 1, kernel_initializer=small, name=head.classifier)(x)
    x = kit.activate(x, name="classifier_2")
    x = layers.GlobalAveragePooling2D(name="classifier_3")(x)
    return layers.Activation(head.activation, dtype=head.dtype, name="predictions")(x)


SqueezeNet1_0 = preset(squeezenet, "squeezenet1_0", "SqueezeNet1_0")
SqueezeNet1_1 = preset(squeezenet, "squeezenet1_1", "SqueezeNet1_1")
