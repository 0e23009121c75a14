"""VGG: https://arxiv.org/abs/1409.1556. Table 1, columns A, B, D and E.

Deviations from the paper: batch normalisation (`norm="batch"`, torchvision's vgg16_bn) came later; image sizes but 224
end in the 7x7 map by torch's adaptive average. `variant="keras"` is keras.applications' network, which flattens the map
as it comes. `small_input` is what CIFAR re-implementations (kuangliu/pytorch-cifar) call VGG. Layers are named after
torchvision's module paths, with "_" for ".".
"""

from typing import Any, get_args

import keras
from keras import layers

from ..blocks import numbered, resized
from ..errors import InputError
from ..kit import Kit, Norm, Padding, Variant, choose, drop
from ..model import IMAGENET, Head, Pooling, Weights, assemble, documented, end_point, image_input, preset

# network: 3x3 convolutions in each stage
DEPTHS = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2, 2, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
FILTERS = (64, 128, 256, 512, 512)
HIDDEN = 4096


@documented
def vgg(
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
    dropout: float | None = None,
    norm: Norm = "none",
    activation: str = "relu",
    padding: Padding = "torch",
) -> keras.Model:
    """By default without batch normalisation, as torchvision's, 224x224.

    3x3 convolutions in five stages (strides 2, 4, 8, 16, 32), two dense layers, classifier.

    Args:
        variant: "torch" or "keras" (no dropout; the map is flattened as it comes, so that its size must be known).
        small_input: for images of 32 to 64 pixels: the last map's average and one dense layer are the head.
        dropout: after each dense layer but the last, the share of outputs dropped in training; None means 0.5, and 0
            for `variant="keras"` and `small_input`.
        norm: "none", "batch", "sync_batch", "group" or "layer", behind each convolution, which keeps its bias.
        activation: a Keras activation's name.
        padding: "torch" or "same", which agree here: convolutions have stride 1 and max pools have no padding.
    """
    choose("variant", variant, get_args(Variant))
    kit = Kit(norm, activation, padding)
    head = Head(
        include_top,
        pooling,
        classes,
        classifier_activation,
        classifier="classifier" if small_input else "classifier_6",
        unused=("classifier_",),
    )
    image = image_input(input_tensor, input_shape, size=32 if small_input else 224, minimum=32)
    x, index, stages = image, 0, []
    for stage, (depth, filters) in enumerate(zip(DEPTHS[network], FILTERS, strict=True), start=1):
        for _ in range(depth):
            parts = numbered(index, kit)
            x = kit.conv_norm_act(x, filters, 3, bias=True, name="features", parts=parts)
            index = int(parts[-1]) + 1
        x = kit.max_pool(x, 2, padding="valid", name=f"features_{index}")
        index += 1
        x = end_point(x, f"stage{stage}")
        stages.append(x)
    if dropout is None:
        dropout = 0.0 if small_input or variant == "keras" else 0.5
    x = head(x, dropout, top=None if small_input else lambda x: dense_layers(kit, head, x, variant, dropout))
    network = f"{network}_bn" if norm in ("batch", "sync_batch") else network
    return assemble(
        image,
        x,
        head,
        stages=stages if features else None,
        weights=weights,
        network=network,
        variant=variant,
        name=name,
    )


def dense_layers(kit: Kit, head: Head, x: Any, variant: Variant, dropout: float) -> Any:
    """7x7 map (keras: any); dense, ReLU, dropout, twice; classifier."""
    if variant == "torch":
        x = resized(x, 7, name="avgpool")
    elif None in x.shape[1:]:
        raise InputError("variant='keras' flattens the last map: give a height and width, or include_top=False")
    x = layers.Flatten(name="flatten")(x)
    for index in (0, 3):
        x = layers.Dense(HIDDEN, name=f"classifier_{index}")(x)
        x = kit.activate(x, name=f"classifier_{index + 1}")
        x = drop(x, dropout, name=f"classifier_{index + 2}")
    return head.classify(x)


VGG11 = preset(vgg, "vgg11", "VGG11")
VGG13 = preset(vgg, "vgg13", "VGG13")
VGG16 = preset(vgg, "vgg16", "VGG16")
VGG19 = preset(vgg, "vgg19", "VGG19")
