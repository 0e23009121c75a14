"""Inception v3: https://arxiv.org/abs/1512.00567. Table 1, figures 5 to 7 and 10, the auxiliary head of section 4.

Deviations from the paper, those of every public implementation: the 35x35 blocks keep one branch of a 5x5 convolution
beside the one of two 3x3; the first 35x35 block has 256 channels; the 17x17 blocks are four, of growing width. Layers
are named after torchvision's module paths, with "_" for ".". `variant="keras"` is keras.applications' InceptionV3.
"""

from typing import Any, get_args

import keras
from keras import layers

from ..inception import branch, fork, pool_branch, stem
from ..kit import Kit, Norm, Padding, Variant, choose
from ..model import IMAGENET, Head, Pooling, Weights, assemble, average, documented, end_point, image_input

# name, filters (0: max pool), kernel, stride, padded
STEM = (
    ("Conv2d_1a_3x3", 32, 3, 2, False),
    ("Conv2d_2a_3x3", 32, 3, 1, False),
    ("Conv2d_2b_3x3", 64, 3, 1, True),
    ("maxpool1", 0, 3, 2, False),
    ("Conv2d_3b_1x1", 80, 1, 1, False),
    ("Conv2d_4a_3x3", 192, 3, 1, False),
)

# the pool branch's channels of the 35x35 blocks, the width of the factorised convolutions of the 17x17 blocks
POOLED = {"Mixed_5b": 32, "Mixed_5c": 64, "Mixed_5d": 64}
WIDTHS = {"Mixed_6b": 128, "Mixed_6c": 160, "Mixed_6d": 160, "Mixed_6e": 192}

AUXILIARY = "AuxLogits"


@documented
def InceptionV3(
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
    aux_heads: bool = False,
    small_input: bool = False,
    dropout: float = 0.5,
    norm: Norm = "batch",
    activation: str = "relu",
    padding: Padding | None = None,
) -> keras.Model:
    """Inception v3: stem (stride 4), max pool, blocks at strides 8, 16 and 32, head. 299x299 by default.

    Args:
        variant: "torch", or "keras" for keras.applications' function (batch norms without gamma, padding "same").
        aux_heads: with the classifier, return [classifier, auxiliary classifier of the 17x17 blocks].
        small_input: for images of 32 to 64 pixels: the stem pads and does not subsample (strides 1, 1, 2, 4).
        dropout: before the classifier, the share of features dropped in training.
        norm: "batch", "sync_batch", "group", "layer" or "none".
        activation: a Keras activation's name.
        padding: whether average pools count the padded zeros, "torch", or not, "same"; None is the variant's. What
            subsamples pads in neither.
    """
    choose("variant", variant, get_args(Variant))
    if variant == "keras":
        kit = Kit(norm, activation, padding or "same", epsilon=1e-3, momentum=0.99, gamma=False)
    else:
        kit = Kit(norm, activation, padding or "torch", epsilon=1e-3)
    auxiliary = (f"{AUXILIARY}_fc",) if aux_heads and include_top else ()
    head = Head(include_top, pooling, classes, classifier_activation, auxiliary=auxiliary, unused=(f"{AUXILIARY}_",))
    size, minimum = (32, 11 if auxiliary else 7) if small_input else (299, 107 if auxiliary else 75)
    image = image_input(input_tensor, input_shape, size=size, minimum=minimum)
    x = stem(kit, image, STEM, subsample=not small_input)
    stages = [x := end_point(x, "stem")]
    if not small_input:
        x = kit.max_pool(x, padding="valid", name="maxpool2")
    for block, pooled in POOLED.items():
        x = block_a(kit, x, pooled, name=block)
    stages.append(x := end_point(x, "Mixed_5d"))
    x = block_b(kit, x, name="Mixed_6a")
    for block, width in WIDTHS.items():
        x = block_c(kit, x, width, name=block)
    stages.append(x := end_point(x, "Mixed_6e"))
    x = block_d(kit, x, name="Mixed_7a")
    for block in ("Mixed_7b", "Mixed_7c"):
        x = block_e(kit, x, name=block)
    stages.append(x := end_point(x, "Mixed_7c"))
    answer = head(x, dropout)
    if auxiliary:
        answer = [answer, auxiliary_head(kit, head, stages[2])]
    network = "inception_v3"
    return assemble(
        image,
        answer,
        head,
        stages=stages if features else None,
        weights=weights,
        network=network,
        variant=variant,
        name=name,
    )


def block_a(kit: Kit, x: Any, pooled: int, *, name: str) -> Any:
    """Figure 5, 35x35. 1x1 | 1x1, 5x5 | 1x1, 3x3, 3x3 | average pool, 1x1; concat."""
    branches = [
        kit.conv_norm_act(x, 64, name=f"{name}_branch1x1"),
        branch(kit, x, (48, 1), (64, 5), name=f"{name}_branch5x5", first=1),
        branch(kit, x, (64, 1), (96, 3), (96, 3), name=f"{name}_branch3x3dbl", first=1),
        pool_branch(kit, x, pooled, name=f"{name}_branch_pool"),
    ]
    return layers.Concatenate(name=f"{name}_concat")(branches)


def block_b(kit: Kit, x: Any, *, name: str) -> Any:
    """Figure 10, 35x35 to 17x17. 3x3 at stride 2 | 1x1, 3x3, 3x3 at stride 2 | max pool; concat."""
    branches = [
        kit.conv_norm_act(x, 384, 3, stride=2, padding="valid", name=f"{name}_branch3x3"),
        branch(kit, x, (64, 1), (96, 3), (96, 3, 2), name=f"{name}_branch3x3dbl", first=1),
        kit.max_pool(x, padding="valid", name=f"{name}_pool"),
    ]
    return layers.Concatenate(name=f"{name}_concat")(branches)


def block_c(kit: Kit, x: Any, width: int, *, name: str) -> Any:
    """Figure 6, 17x17. 1x1 | 1x1, 1x7, 7x1 | 1x1, 7x1, 1x7, 7x1, 1x7 | average pool, 1x1; concat."""
    row, column = (width, (1, 7)), (width, (7, 1))
    double = ((width, 1), column, row, column, (192, (1, 7)))
    branches = [
        kit.conv_norm_act(x, 192, name=f"{name}_branch1x1"),
        branch(kit, x, (width, 1), row, (192, (7, 1)), name=f"{name}_branch7x7", first=1),
        branch(kit, x, *double, name=f"{name}_branch7x7dbl", first=1),
        pool_branch(kit, x, 192, name=f"{name}_branch_pool"),
    ]
    return layers.Concatenate(name=f"{name}_concat")(branches)


def block_d(kit: Kit, x: Any, *, name: str) -> Any:
    """17x17 to 8x8. 1x1, 3x3 at stride 2 | 1x1, 1x7, 7x1, 3x3 at stride 2 | max pool; concat."""
    long = ((192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2))
    branches = [
        branch(kit, x, (192, 1), (320, 3, 2), name=f"{name}_branch3x3", first=1),
        branch(kit, x, *long, name=f"{name}_branch7x7x3", first=1),
        kit.max_pool(x, padding="valid", name=f"{name}_pool"),
    ]
    return layers.Concatenate(name=f"{name}_concat")(branches)


def block_e(kit: Kit, x: Any, *, name: str) -> Any:
    """Figure 7, 8x8. 1x1 | 1x1, (1x3 | 3x1) | 1x1, 3x3, (1x3 | 3x1) | average pool, 1x1; concat."""
    single = kit.conv_norm_act(x, 384, name=f"{name}_branch3x3_1")
    double = branch(kit, x, (448, 1), (384, 3), name=f"{name}_branch3x3dbl", first=1)
    branches = [
        kit.conv_norm_act(x, 320, name=f"{name}_branch1x1"),
        fork(kit, single, 384, name=f"{name}_branch3x3_2"),
        fork(kit, double, 384, name=f"{name}_branch3x3dbl_3"),
        pool_branch(kit, x, 192, name=f"{name}_branch_pool"),
    ]
    return layers.Concatenate(name=f"{name}_concat")(branches)


def auxiliary_head(kit: Kit, head: Head, x: Any) -> Any:
    """5x5 average pool at stride 3, 1x1, 5x5 (padded where the map is smaller), average, dense."""
    x = kit.avg_pool(x, 5, 3, padding="valid", name=f"{AUXILIARY}_pool")
    x = kit.conv_norm_act(x, 128, name=f"{AUXILIARY}_conv0")
    fits = all(side is None or side >= 5 for side in x.shape[1:3])
    x = kit.conv_norm_act(x, 768, 5, padding="valid" if fits else None, name=f"{AUXILIARY}_conv1")
    return head.classify(average(x, f"{AUXILIARY}_avgpool"), name=f"{AUXILIARY}_fc")
