"""DenseNet: https://arxiv.org/abs/1608.06993. Table 1 (ImageNet) and section 3, "Implementation Details" (CIFAR-10).

Deviations from the paper: `drop_rate` acts behind the 3x3 convolutions alone, as in the reference implementations (the
paper's behind the 1x1 ones too). All networks here are its DenseNet-BC: bottlenecks of 4k channels, transitions that
halve the channels. Layers are named after torchvision's module paths, those of the CIFAR networks after
gpleiss/efficient_densenet_pytorch's, with "_" for ".".
"""

from typing import Any, get_args

import keras
from keras import layers

from ..errors import InputError
from ..kit import Kit, Norm, Padding, Variant, at_least_one, choose, drop
from ..model import CIFAR10, IMAGENET, Head, Pooling, Weights, assemble, documented, end_point, image_input, preset

# variant: growth rate k (the stem has 2k channels), layers in each dense block
VARIANTS = {
    "densenet121": (32, (6, 12, 24, 16)),
    "densenet161": (48, (6, 12, 36, 24)),
    "densenet169": (32, (6, 12, 32, 32)),
    "densenet201": (32, (6, 12, 48, 32)),
    "densenet264": (32, (6, 12, 64, 48)),
}
BOTTLENECK, COMPRESSION = 4, 2

# variant: epsilon, momentum
CONVENTIONS = {"torch": (1e-5, 0.9), "keras": (1.001e-5, 0.99)}


@documented
def densenet(
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
    growth_rate: int | None = None,
    variant: Variant = "torch",
    drop_rate: float = 0.0,
    norm: Norm = "batch",
    activation: str = "relu",
    padding: Padding = "torch",
) -> keras.Model:
    """A densely connected network for ImageNet: 7x7 stem (stride 4), four dense blocks (strides 4, 8, 16, 32) with
    transitions between them, head. 224x224 by default.

    Args:
        growth_rate: channels that a layer adds; None is the table's.
        variant: "torch" (torchvision's) or "keras", keras.applications' function.
        drop_rate: the share of what a layer adds that is dropped in training.
        norm: "batch", "sync_batch", "group", "layer" or "none".
        activation: a Keras activation's name.
        padding: "torch" (symmetric) or "same" (TensorFlow's).
    """
    choose("variant", variant, get_args(Variant))
    growth, blocks = VARIANTS[network]
    growth = growth if growth_rate is None else at_least_one("growth_rate", growth_rate)
    kit = Kit(norm, activation, padding, *CONVENTIONS[variant])
    head = Head(include_top, pooling, classes, classifier_activation, classifier="classifier")
    image = image_input(input_tensor, input_shape, size=224, minimum=32)
    x = kit.conv(image, 2 * growth, 7, stride=2, name="features_conv0")
    x = kit.normalize(x, name="features_norm0")
    x = kit.activate(x, name="features_relu0")
    x = kit.max_pool(x, name="features_pool0")
    x = end_point(x, "stem")
    stages = dense_blocks(kit, x, blocks, growth, drop_rate, last="norm5")
    x = head(stages[-1])
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


@documented
def DenseNetBC(
    include_top: bool = True,
    weights: Weights = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: Pooling = None,
    classes: int = CIFAR10,
    classifier_activation: str | None = "softmax",
    name: str | None = None,
    *,
    features: bool = False,
    depth: int = 100,
    growth_rate: int = 12,
    drop_rate: float = 0.0,
    norm: Norm = "batch",
    activation: str = "relu",
    padding: Padding = "torch",
) -> keras.Model:
    """A densely connected network for CIFAR-10: 3x3 stem, three dense blocks (strides 1, 2, 4) with transitions between
    them, head. 32x32 and 10 classes by default.

    Args:
        depth: 6n + 4 for n layers in each block; the paper's are 100, 190 and 250.
        growth_rate: channels that a layer adds.
        drop_rate: the share of what a layer adds that is dropped in training; the paper's is 0.2 without augmentation.
        norm: "batch", "sync_batch", "group", "layer" or "none".
        activation: a Keras activation's name.
        padding: "torch" (symmetric) or "same" (TensorFlow's).
    """
    if at_least_one("depth", depth) < 10 or depth % 6 != 4:
        raise InputError(f"depth={depth!r}: expected 6n + 4, e.g. 40 or 100")
    kit = Kit(norm, activation, padding)
    head = Head(include_top, pooling, classes, classifier_activation, classifier="classifier")
    image = image_input(input_tensor, input_shape, size=32, minimum=8)
    x = kit.conv(image, 2 * at_least_one("growth_rate", growth_rate), 3, name="features_conv0")
    x = end_point(x, "stem")
    stages = dense_blocks(kit, x, (depth // 6,) * 3, growth_rate, drop_rate, last="norm_final")
    network = f"densenet_bc_{depth}_{growth_rate}"
    return assemble(
        image, head(stages[-1]), head, stages=stages if features else None, weights=weights, network=network, name=name
    )


def dense_blocks(
    kit: Kit, x: Any, blocks: tuple[int, ...], growth_rate: int, drop_rate: float, *, last: str
) -> list[Any]:
    """Dense layers, a transition behind each block but the last; norm, ReLU behind that. The blocks' outputs."""
    stages = []
    for block, depth in enumerate(blocks, start=1):
        if block > 1:
            x = transition(kit, x, name=f"features_transition{block - 1}")
        for layer in range(1, depth + 1):
            x = dense_layer(kit, x, growth_rate, drop_rate, name=f"features_denseblock{block}_denselayer{layer}")
        if block == len(blocks):
            x = kit.normalize(x, name=f"features_{last}")
            x = kit.activate(x, name="relu")
        x = end_point(x, f"stage{block}")
        stages.append(x)
    return stages


def dense_layer(kit: Kit, x: Any, growth_rate: int, drop_rate: float, *, name: str) -> Any:
    """norm, ReLU, 1x1 to 4k, norm, ReLU, 3x3 to k, dropout; concatenated to x."""
    y = x
    for i, (filters, kernel) in enumerate(((BOTTLENECK * growth_rate, 1), (growth_rate, 3)), start=1):
        y = kit.normalize(y, name=f"{name}_norm{i}")
        y = kit.activate(y, name=f"{name}_relu{i}")
        y = kit.conv(y, filters, kernel, name=f"{name}_conv{i}")
    y = drop(y, drop_rate, option="drop_rate", name=f"{name}_dropout")
    return layers.Concatenate(name=f"{name}_concat")([x, y])


def transition(kit: Kit, x: Any, *, name: str) -> Any:
    """norm, ReLU, 1x1 to half the channels, 2x2 average pool."""
    channels = x.shape[-1]
    x = kit.normalize(x, name=f"{name}_norm")
    x = kit.activate(x, name=f"{name}_relu")
    x = kit.conv(x, channels // COMPRESSION, name=f"{name}_conv")
    return kit.avg_pool(x, 2, 2, padding="valid", name=f"{name}_pool")


DenseNet121 = preset(densenet, "densenet121", "DenseNet121")
DenseNet161 = preset(densenet, "densenet161", "DenseNet161")
DenseNet169 = preset(densenet, "densenet169", "DenseNet169")
DenseNet201 = preset(densenet, "densenet201", "DenseNet201")
DenseNet264 = preset(densenet, "densenet264", "DenseNet264")
