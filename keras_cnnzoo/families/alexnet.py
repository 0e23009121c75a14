"""AlexNet: https://papers.nips.cc/paper/4824. Figure 2, sections 3.3 to 3.5.

`variant="torch"` is torchvision's one-tower form (https://arxiv.org/abs/1404.5997): fewer filters, no groups, no local
response normalisation. `variant="paper"` is the paper's network, its two GPUs being two groups. Deviations of that from
the paper: its images are 227x227, without which the paper's 55x55 map does not come out; other sizes end in the 6x6 map
by torch's adaptive average. `small_input` is what CIFAR re-implementations (bearpaw/pytorch-classification) call
AlexNet. Layers are named after torchvision's module paths, with "_" for ".".
"""

from typing import Any, Literal, get_args

import keras
from keras import layers

from ..blocks import numbered, resized
from ..kit import Kit, Norm, Padding, choose, drop
from ..layers import LocalResponseNorm
from ..model import IMAGENET, Head, Pooling, Weights, assemble, documented, end_point, image_input

Variant = Literal["torch", "paper"]

# filters of the five convolutions
FILTERS = {"torch": (64, 192, 384, 256, 256), "paper": (96, 256, 384, 384, 256)}
KERNELS = (11, 5, 3, 3, 3)
SPLIT = (2, 4, 5)  # those that see only the channels on their own GPU
STAGES = {1: "stage1", 2: "stage2", 5: "stage3"}  # those with a max pool behind them
HIDDEN = 4096


@documented
def AlexNet(
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
    groups: int | None = None,
    small_input: bool = False,
    dropout: float = 0.5,
    norm: Norm = "none",
    activation: str = "relu",
    padding: Padding = "torch",
) -> keras.Model:
    """AlexNet, by default in torchvision's one-tower form, 224x224.

    Five convolutions in three stages (strides 8, 16, 32), two dense layers, classifier. The paper's form reads 227x227.

    Args:
        variant: "torch" (one tower, torchvision's) or "paper" (two groups, local response normalisation).
        groups: of convolutions 2, 4 and 5; None means 2 in the paper's form and else 1.
        small_input: for images of 32 to 64 pixels: the first convolution pads 5 pixels, the max pools are 2x2 and one
            dense layer is the head.
        dropout: before each dense layer but the last, the share of inputs dropped in training; before the only one
            with `small_input`.
        norm: "none", "batch", "sync_batch", "group" or "layer", behind each convolution; any but "none" takes the
            place of local response normalisation.
        activation: a Keras activation's name.
        padding: of the first convolution, "torch" (the variant's own) or "same" (TensorFlow's).
    """
    choose("variant", variant, get_args(Variant))
    choose("groups", groups, (None, 1, 2))
    kit = Kit(norm, activation, padding)
    head = Head(
        include_top,
        pooling,
        classes,
        classifier_activation,
        classifier="classifier" if small_input else "classifier_6",
        unused=("classifier_",),
    )
    size, minimum = (32, 32) if small_input else (224, 63) if variant == "torch" else (227, 67)
    image = image_input(input_tensor, input_shape, size=size, minimum=minimum)
    groups = groups or (2 if variant == "paper" else 1)
    local_response = variant == "paper" and norm == "none"
    x, index, stages = image, 0, []
    for number, (filters, kernel) in enumerate(zip(FILTERS[variant], KERNELS, strict=True), start=1):
        parts = numbered(index, kit)
        if number == 1:
            x = first_convolution(kit, x, filters, variant, small_input, parts)
        else:
            x = kit.conv_norm_act(
                x, filters, kernel, groups=groups if number in SPLIT else 1, name="features", parts=parts
            )
        index = int(parts[-1]) + 1
        if number in (1, 2) and local_response:
            x = LocalResponseNorm(name=f"features_{index}")(x)
            index += 1
        if number in STAGES:
            x = kit.max_pool(x, 2 if small_input else 3, padding="valid", name=f"features_{index}")
            index += 1
            x = end_point(x, STAGES[number])
            stages.append(x)
    x = head(x, dropout, top=None if small_input else lambda x: dense_layers(kit, head, x, dropout))
    return assemble(
        image,
        x,
        head,
        stages=stages if features else None,
        weights=weights,
        network="alexnet",
        variant=variant,
        name=name,
    )


def first_convolution(
    kit: Kit, x: Any, filters: int, variant: Variant, small_input: bool, parts: tuple[str, str, str]
) -> Any:
    """11x11 with stride 4, norm, ReLU; torchvision pads 2 pixels, the paper none."""
    own_border = kit.padding == "torch" and not small_input
    if own_border and variant == "torch":
        x = layers.ZeroPadding2D(2, name="features_0_pad")(x)
    padding: Literal["valid"] | None = "valid" if own_border else None
    return kit.conv_norm_act(x, filters, KERNELS[0], stride=4, padding=padding, name="features", parts=parts)


def dense_layers(kit: Kit, head: Head, x: Any, dropout: float) -> Any:
    """6x6 map; dropout, dense, ReLU, twice; classifier."""
    x = resized(x, 6, name="avgpool")
    for index in (0, 3):
        x = drop(x, dropout, name=f"classifier_{index}")
        if index == 0:
            x = layers.Flatten(name="flatten")(x)
        x = layers.Dense(HIDDEN, name=f"classifier_{index + 1}")(x)
        x = kit.activate(x, name=f"classifier_{index + 2}")
    return head.classify(x)
