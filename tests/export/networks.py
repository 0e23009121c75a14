"""Random networks built from the kit, so that passes meet each other's patterns in every order."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_cnnzoo.kit import Kit
from keras_cnnzoo.layers import ChannelPad, ChannelShuffle, ChannelSplit

from .conftest import calibrated

Block = Callable[[Kit, Any, np.random.Generator, str], Any]


def conv(kit: Kit, x: Any, rng: np.random.Generator, name: str) -> Any:
    filters, kernel, stride = int(rng.choice([8, 12, 16])), int(rng.choice([1, 3])), int(rng.choice([1, 1, 2]))
    return kit.conv_norm_act(x, filters, kernel, stride=stride, name=name)


def residual(kit: Kit, x: Any, rng: np.random.Generator, name: str) -> Any:
    y = kit.conv_norm_act(x, 8, 3, name=f"{name}_a")
    y = kit.conv_norm(y, x.shape[-1], 1, name=f"{name}_b")
    return kit.activate(layers.Add(name=f"{name}_add")([x, y]), name=f"{name}_out")


def grouped(kit: Kit, x: Any, rng: np.random.Generator, name: str) -> Any:
    groups = int(rng.choice([2, 4]))
    x = kit.conv_norm_act(x, groups * 4, 1, name=f"{name}_in")
    return kit.conv_norm_act(x, groups * int(rng.choice([2, 3, 4])), 3, groups=groups, name=name)


def shuffle_v1(kit: Kit, x: Any, rng: np.random.Generator, name: str) -> Any:
    stride = int(rng.choice([1, 2]))
    y = kit.conv_norm_act(x, 12, 1, name=f"{name}_in")
    y = ChannelShuffle(3, name=f"{name}_shuffle")(y)
    y = kit.depthwise_norm(y, 3, stride=stride, name=f"{name}_dw")
    y = kit.conv_norm(y, x.shape[-1] if stride == 1 else 12, 1, name=f"{name}_out")
    if stride == 1:
        y = layers.Add(name=f"{name}_add")([x, y])
    else:
        y = layers.Concatenate(name=f"{name}_concat")([kit.avg_pool(x, 3, 2, name=f"{name}_pool"), y])
    return kit.activate(y, name=f"{name}_relu")


def shuffle_v2(kit: Kit, x: Any, rng: np.random.Generator, name: str) -> Any:
    """Two to eight units after one that halves the map."""
    half = int(rng.choice([6, 8]))
    left = kit.conv_norm_act(kit.depthwise_norm(x, 3, stride=2, name=f"{name}_l"), half, name=f"{name}_left")
    right = kit.conv_norm_act(x, half, 3, stride=2, name=f"{name}_right")
    x = ChannelShuffle(2, name=f"{name}_shuffle")(layers.Concatenate(name=f"{name}_cat")([left, right]))
    for i in range(int(rng.integers(1, 8))):
        kept, y = ChannelSplit(name=f"{name}_split{i}")(x)
        y = kit.conv_norm_act(y, half, 1, name=f"{name}_{i}a")
        y = kit.depthwise_norm(y, 3, name=f"{name}_{i}b")
        y = kit.conv_norm_act(y, half, 1, name=f"{name}_{i}c")
        x = layers.Concatenate(name=f"{name}_cat{i}")([kept, y])
        x = ChannelShuffle(2, name=f"{name}_shuffle{i}")(x)
    return kit.conv_norm_act(x, 12, 1, name=f"{name}_end") if rng.random() < 0.8 else x


def dense_block(kit: Kit, x: Any, rng: np.random.Generator, name: str) -> Any:
    parts = [x]
    for i in range(int(rng.integers(2, 7))):
        y = layers.Concatenate(name=f"{name}_cat{i}")(list(parts)) if i else x
        y = kit.activate(kit.normalize(y, name=f"{name}_bn{i}"), name=f"{name}_relu{i}")
        parts.append(kit.conv(y, 4, 3, bias=False, name=f"{name}_conv{i}"))
    x = layers.Concatenate(name=f"{name}_end")(parts)
    x = kit.activate(kit.normalize(x, name=f"{name}_bn"), name=f"{name}_relu")
    x = kit.conv(x, 12, 1, bias=False, name=f"{name}_transition")
    return layers.AveragePooling2D(2, name=f"{name}_pool")(x)


def inception(kit: Kit, x: Any, rng: np.random.Generator, name: str) -> Any:
    pool = kit.avg_pool(x, 3, 1, name=f"{name}_pool")
    parts = [kit.conv(x, 4 + i, (1, 3)[i % 2], name=f"{name}_{i}") for i in range(int(rng.integers(1, 7)))]
    x = layers.Concatenate(name=f"{name}_cat")([*parts, *([pool] if rng.random() < 0.5 else [])])
    return kit.activate(kit.normalize(x, name=f"{name}_bn"), name=f"{name}_relu")


def hard_swish(kit: Kit, x: Any, rng: np.random.Generator, name: str) -> Any:
    x = layers.Activation("hard_swish", name=f"{name}_hs")(kit.conv_norm(x, 12, 1, name=f"{name}_in"))
    if rng.random() < 0.5:
        gate = layers.Dense(6, activation="relu", name=f"{name}_squeeze")(
            layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)
        )
        gate = layers.Dense(12, activation="sigmoid", name=f"{name}_excite")(gate)
        x = layers.Multiply(name=f"{name}_gated")([x, gate])
    if rng.random() < 0.7:
        x = kit.depthwise_norm_act(x, 3, stride=int(rng.choice([1, 2])), name=f"{name}_dw")
    return x


def subsampled(kit: Kit, x: Any, rng: np.random.Generator, name: str) -> Any:
    y = kit.conv_norm(x, x.shape[-1] + 4, 3, stride=2, name=name)
    x = ChannelPad(1, 3, name=f"{name}_pad")(layers.MaxPooling2D(1, 2, name=f"{name}_sub")(x))
    return kit.activate(layers.Add(name=f"{name}_add")([x, y]), name=f"{name}_relu")


BLOCKS: tuple[Block, ...] = (
    conv,
    residual,
    grouped,
    shuffle_v1,
    shuffle_v2,
    dense_block,
    inception,
    hard_swish,
    subsampled,
)


def random_network(seed: int) -> tuple[keras.Model, np.ndarray]:
    """A network of three to five random blocks whose BN statistics mean something, and images for it."""
    rng = np.random.default_rng(seed)
    keras.utils.set_random_seed(seed)
    kit = Kit("batch", str(rng.choice(["relu", "relu", "relu6"])), str(rng.choice(["torch", "same"])))
    image = keras.Input((32, 32, 3), name="image")
    x = layers.Rescaling([0.5, 1.0, 2.0], [0.1, 0.0, -0.2], name="input")(image) if rng.random() < 0.3 else image
    x = kit.conv_norm_act(x, 12, 3, name="stem")
    for index in range(int(rng.integers(3, 6))):
        block = BLOCKS[int(rng.integers(len(BLOCKS)))]
        x = block(kit, x, rng, f"b{index}_{block.__name__}")
        if x.shape[1] < 4:
            break
    x = layers.Dense(10, name="fc")(layers.Dropout(0.2, name="dropout")(layers.GlobalAveragePooling2D(name="gap")(x)))
    images = rng.standard_normal((24, 8, 8, 3)).repeat(4, 1).repeat(4, 2) + 0.3 * rng.standard_normal((24, 32, 32, 3))
    images = images.astype(np.float32)
    return calibrated(keras.Model(image, x, name=f"random_{seed}"), images), images
