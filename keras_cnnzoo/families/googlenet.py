"""GoogLeNet (Inception v1): https://arxiv.org/abs/1409.4842. Table 1, figures 2 (b) and 3.

`variant="torch"` is torchvision's network: batch normalisation, the 5x5 convolutions written as 3x3 (a known slip that
its weights rely on), a last max pool of 2x2. `variant="paper"` is the paper's; as it gives no constants of the local
response normalisation, they are those of Caffe's bvlc_googlenet. Deviations of that from the paper: on maps other than
14x14 the auxiliary heads average to 4x4 as torchvision's do. `small_input` is the stem that CIFAR re-implementations
(kuangliu/pytorch-cifar) have. Layers are named after torchvision's module paths, with "_" for ".".
"""

from typing import Any, Literal, get_args

import keras
from keras import layers

from ..blocks import resized
from ..complexity import Complexity, complexity
from ..inception import branch
from ..kit import Kernel, Kit, Norm, Padding, choose
from ..layers import LocalResponseNorm
from ..model import IMAGENET, Head, Pooling, Weights, assemble, documented, end_point, image_input

Variant = Literal["torch", "paper"]
Widths = tuple[int, int, int, int, int, int]

# stage: the modules' channels: 1x1 | reduce, 3x3 | reduce, 5x5 | behind the pool
MODULES: dict[int, dict[str, Widths]] = {
    3: {
        "inception3a": (64, 96, 128, 16, 32, 32),
        "inception3b": (128, 128, 192, 32, 96, 64),
    },
    4: {
        "inception4a": (192, 96, 208, 16, 48, 64),
        "inception4b": (160, 112, 224, 24, 64, 64),
        "inception4c": (128, 128, 256, 24, 64, 64),
        "inception4d": (112, 144, 288, 32, 64, 64),
        "inception4e": (256, 160, 320, 32, 128, 128),
    },
    5: {
        "inception5a": (256, 160, 320, 32, 128, 128),
        "inception5b": (384, 192, 384, 48, 128, 128),
    },
}
AUXILIARY = {"inception4a": "aux1", "inception4d": "aux2"}
AUXILIARY_DROPOUT = 0.7


@documented
def GoogLeNet(
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
    dropout: float | None = None,
    norm: Norm | None = None,
    activation: str = "relu",
    padding: Padding = "torch",
) -> keras.Model:
    """GoogLeNet, by default in torchvision's form, with batch normalisation and 3x3 for 5x5, 224x224.

    Stem (stride 4), max pool, nine inception modules in three stages (strides 8, 16, 32), head.

    Args:
        variant: "torch" (torchvision's) or "paper" (no batch normalisation, true 5x5 convolutions, local response
            normalisation in the stem).
        aux_heads: with the classifier, return [classifier, auxiliary classifiers behind 4a and 4d]; the paper adds
            their losses at a weight of 0.3.
        small_input: for images of 32 to 64 pixels: the stem is its 3x3 convolution alone (strides 1, 1, 2, 4).
        dropout: before the classifier, the share of features dropped in training; None means 0.2, in the paper's form
            0.4.
        norm: "batch", "sync_batch", "group", "layer" or "none"; None means "batch", in the paper's form "none" and
            local response normalisation.
        activation: a Keras activation's name.
        padding: "torch" (symmetric; max pools in ceil mode) or "same" (TensorFlow's).
    """
    choose("variant", variant, get_args(Variant))
    paper = variant == "paper"
    kit = Kit(norm or ("none" if paper else "batch"), activation, padding, epsilon=1e-3)
    taps = AUXILIARY if aux_heads and include_top else {}
    auxiliary = tuple(f"{tap}_fc2" for tap in taps.values())
    unused = tuple(f"{tap}_" for tap in AUXILIARY.values())
    head = Head(include_top, pooling, classes, classifier_activation, auxiliary=auxiliary, unused=unused)
    size, minimum = (32, 4) if small_input else (224, 31 if paper else 15)
    image = image_input(input_tensor, input_shape, size=size, minimum=minimum)
    x = small_stem(kit, image) if small_input else stem(kit, image, local_response=paper and kit.norm == "none")
    stages, answers = [x := end_point(x, "stem")], []
    for stage, modules in MODULES.items():
        if stage > 3 or not small_input:
            x = kit.ceil_pool(x, 2 if stage == 5 and not paper else 3, name=f"maxpool{stage - 1}")
        for module, widths in modules.items():
            x = inception(kit, x, widths, 5 if paper else 3, name=module)
            if module in taps:
                answers.append(auxiliary_head(kit, head, x, paper, name=taps[module]))
        stages.append(x := end_point(x, f"inception{stage}"))
    x = head(x, (0.4 if paper else 0.2) if dropout is None else dropout)
    answer = [x, *answers] if answers else x
    network = "googlenet"
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


def stem(kit: Kit, x: Any, *, local_response: bool) -> Any:
    """7x7 at stride 2, max pool, (local norm), 1x1, 3x3, (local norm); norm and ReLU behind each convolution."""
    x = kit.conv_norm_act(x, 64, 7, stride=2, name="conv1")
    x = kit.ceil_pool(x, name="maxpool1")
    if local_response:
        x = caffe_norm(x, name="norm1")
    x = kit.conv_norm_act(x, 64, name="conv2")
    x = kit.conv_norm_act(x, 192, 3, name="conv3")
    return caffe_norm(x, name="norm2") if local_response else x


def caffe_norm(x: Any, *, name: str) -> Any:
    """Local response normalisation as bvlc_googlenet has it; Caffe divides its alpha of 1e-4 by n."""
    return LocalResponseNorm(n=5, k=1.0, alpha=1e-4 / 5, beta=0.75, name=name)(x)


def small_stem(kit: Kit, x: Any) -> Any:
    """3x3, norm, ReLU."""
    return kit.conv_norm_act(x, 192, 3, name="conv3")


def inception(kit: Kit, x: Any, widths: Widths, kernel: Kernel, *, name: str) -> Any:
    """Figure 2 (b). 1x1 | 1x1, 3x3 | 1x1, 5x5 (`kernel`) | 3x3 max pool, 1x1; norm and ReLU behind each; concat."""
    alone, reduce3, wide3, reduce5, wide5, pooled = widths
    pool = layers.MaxPooling2D(3, 1, "same", name=f"{name}_branch4_0")(x)
    branches = [
        kit.conv_norm_act(x, alone, name=f"{name}_branch1"),
        branch(kit, x, (reduce3, 1), (wide3, 3), name=f"{name}_branch2"),
        branch(kit, x, (reduce5, 1), (wide5, kernel), name=f"{name}_branch3"),
        kit.conv_norm_act(pool, pooled, name=f"{name}_branch4_1"),
    ]
    return layers.Concatenate(name=f"{name}_concat")(branches)


def auxiliary_head(kit: Kit, head: Head, x: Any, paper: bool, *, name: str) -> Any:
    """Average to 4x4; 1x1, norm, ReLU; dense, ReLU, dropout; classifier."""
    if paper and tuple(x.shape[1:3]) == (14, 14):
        x = layers.AveragePooling2D(5, 3, name=f"{name}_avgpool")(x)
    else:
        x = resized(x, 4, name=f"{name}_avgpool")
    x = kit.conv_norm_act(x, 128, name=f"{name}_conv")
    x = layers.Flatten(name=f"{name}_flatten")(x)
    x = layers.Dense(1024, name=f"{name}_fc1")(x)
    x = kit.activate(x, name=f"{name}_relu")
    return head.classify(x, AUXILIARY_DROPOUT, name=f"{name}_fc2")


def InceptionBlock(
    x: Any,
    path1: int,
    path2: tuple[int, int],
    path3: tuple[int, int],
    path4: int,
    *,
    norm: Norm = "none",
    activation: str = "relu",
    name: str = "inception",
) -> Any:
    """The inception module: 1x1 | 1x1, 3x3 | 1x1, 5x5 | 3x3 max pool, 1x1; concat. ReLU behind each convolution.

    Source: Going Deeper with Convolutions, https://arxiv.org/abs/1409.4842, figure 2 (b).

    Args:
        x: a Keras tensor, (n, h, w, c).
        path1: channels of the 1x1 convolution.
        path2: channels of the 1x1 and of the 3x3 convolution.
        path3: channels of the 1x1 and of the 5x5 convolution.
        path4: channels of the 1x1 convolution behind the pool.
        norm: behind each convolution, "batch", "sync_batch", "group", "layer" or "none" (which gives them biases).
        activation: a Keras activation's name.
        name: what the layers' names begin with; two blocks of one model need two.

    Returns:
        A Keras tensor, (n, h, w, path1 + path2[1] + path3[1] + path4).
    """
    return inception(Kit(norm, activation), x, (path1, *path2, *path3, path4), 5, name=name)


def alternatives() -> dict[str, Complexity]:
    """The first inception module and, in its place, one 3x3 or one 5x5 convolution to as many channels: their costs."""
    image = keras.Input((28, 28, 192))
    path1, reduce3, conv3, reduce5, conv5, path4 = MODULES[3]["inception3a"]
    channels = path1 + conv3 + conv5 + path4
    outputs = {
        "Inception block": InceptionBlock(image, path1, (reduce3, conv3), (reduce5, conv5), path4),
        "3x3 convolution": layers.Conv2D(channels, 3, padding="same")(image),
        "5x5 convolution": layers.Conv2D(channels, 5, padding="same")(image),
    }
    return {title: complexity(keras.Model(image, output, name=title)) for title, output in outputs.items()}
