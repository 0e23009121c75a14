"""Every rule for ONNX: the file answers in ONNX Runtime as the Keras layer does, in each opset and layout."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from keras import layers
from keras.src.ops.numpy import Abs

from keras_cnnzoo import InputError
from keras_cnnzoo.export.answers import answers_of
from keras_cnnzoo.export.graph import from_keras
from keras_cnnzoo.export.onnx.conversion import checked, lower
from keras_cnnzoo.export.onnx.emitter import emit, without_rule
from keras_cnnzoo.export.onnx.parity import compare
from keras_cnnzoo.export.onnx.rules import RULES
from keras_cnnzoo.export.onnx.runtime import OnnxRuntime
from keras_cnnzoo.layers import (
    AdaptiveAverage2D,
    ChannelPad,
    ChannelShuffle,
    ChannelSplit,
    GroupedConv2D,
    LocalResponseNorm,
    MapScale,
)

from ..conftest import calibrated, varied

SHAPE = (9, 8, 6)


def split_and_swap(x: Any) -> Any:
    left, right = ChannelSplit()(x)
    return layers.Concatenate()([right, left])


def adapted(x: Any) -> Any:
    return layers.Normalization(axis=-1, mean=np.arange(6.0), variance=np.arange(1.0, 7.0))(x)


LAYERS: dict[str, Callable[[Any], Any]] = {
    "conv": layers.Conv2D(5, 3, 2, "same"),
    "conv valid": layers.Conv2D(5, (3, 2), 1, "valid", use_bias=False),
    "conv of even kernel, same": layers.Conv2D(5, 4, 1, "same"),
    "conv dilated": layers.Conv2D(5, 3, padding="same", dilation_rate=2, activation="relu"),
    "conv grouped": GroupedConv2D(9, 3, padding="same", groups=3),
    "keras conv grouped": layers.Conv2D(9, 3, 2, padding="same", groups=3),
    "padding, conv": lambda x: layers.Conv2D(4, 3, 2)(layers.ZeroPadding2D(((1, 0), (0, 2)))(x)),
    "padding, two readers": lambda x: (
        lambda p: layers.Add()([layers.Conv2D(4, 3)(p), layers.MaxPooling2D(3, 1)(layers.Conv2D(4, 1)(p))])
    )(layers.ZeroPadding2D(1)(x)),
    "conv, sloped by a layer": layers.Conv2D(5, 3, activation=layers.LeakyReLU(0.1)),
    "conv, bounded by a layer": layers.Conv2D(5, 3, activation=layers.ReLU(6)),
    "activation by a layer": layers.Activation(layers.ELU(0.5)),
    "elu of half": lambda x: keras.ops.elu(x, alpha=0.5),
    "depthwise": layers.DepthwiseConv2D(3, 2, "same"),
    "depthwise times 2": layers.DepthwiseConv2D(3, 1, "valid", depth_multiplier=2, activation="relu"),
    "separable": layers.SeparableConv2D(5, 3, 2, "same", depth_multiplier=2, activation="relu"),
    "dense": lambda x: layers.Dense(4)(layers.Flatten()(x)),
    "flatten for two dense": lambda x: (lambda f: layers.Add()([layers.Dense(4)(f), layers.Dense(4)(f)]))(
        layers.Flatten()(x)
    ),
    "flatten for relu": lambda x: layers.Dense(4)(layers.ReLU()(layers.Flatten()(x))),
    "flatten returned": layers.Flatten(),
    "dense on a map": layers.Dense(4),
    "dense on rows": lambda x: layers.Dense(4)(layers.Reshape((12, 36))(x)),
    "max pool": layers.MaxPooling2D(3, 2, "same"),
    "padding, max pool behind relu": lambda x: layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(layers.ReLU()(x))),
    "padding, max pool of negative values": lambda x: layers.MaxPooling2D(3, 2)(
        layers.ZeroPadding2D(1)(layers.Rescaling(-1.0)(layers.ReLU()(x)))
    ),
    "average pool": layers.AveragePooling2D(2, 2, "valid"),
    "average pool, same": layers.AveragePooling2D(3, 2, "same"),
    "padding, average pool": lambda x: layers.AveragePooling2D(3, 1)(layers.ZeroPadding2D(1)(x)),
    "padding, average pool, same": lambda x: layers.AveragePooling2D(3, 1, "same")(layers.ZeroPadding2D(1)(x)),
    "global average": layers.GlobalAveragePooling2D(),
    "global average kept": layers.GlobalAveragePooling2D(keepdims=True),
    "global max": layers.GlobalMaxPooling2D(),
    "adaptive average": AdaptiveAverage2D(3),
    "adaptive max": layers.AdaptiveMaxPooling2D((3, 4)),
    "adaptive max of windows of several sizes": layers.AdaptiveMaxPooling2D((4, 3)),
    "transposed conv": layers.Conv2DTranspose(5, 3, 2, "same", activation="relu"),
    "transposed conv of even kernel, same": layers.Conv2DTranspose(5, 4, 1, "same"),
    "transposed conv, valid": layers.Conv2DTranspose(5, (3, 2), 2, "valid", use_bias=False),
    "transposed conv of a stride beyond its kernel": layers.Conv2DTranspose(5, 2, 3, "same"),
    "upsampling, bilinear": layers.UpSampling2D(2, interpolation="bilinear"),
    "resizing": layers.Resizing(13, 5),
    "resizing, nearest": layers.Resizing(7, 11, interpolation="nearest"),
    "absolute": lambda x: keras.ops.abs(x),
    "absolute by its other name": Abs(),
    "square": lambda x: keras.ops.square(x),
    "roots": lambda x: keras.ops.rsqrt(keras.ops.sqrt(keras.ops.square(x) + 1.0) + 1.0),
    "gelu, approximate": lambda x: keras.ops.gelu(x),
    "gelu, exact": lambda x: keras.ops.gelu(x, approximate=False),
    "adaptive average of a smaller map": lambda x: AdaptiveAverage2D(6)(layers.AveragePooling2D(2)(x)),
    "add three": lambda x: layers.Add()([x, layers.Conv2D(6, 1)(x), layers.Conv2D(6, 1)(x)]),
    "average of three": lambda x: layers.Average()([x, layers.Conv2D(6, 1)(x), layers.Conv2D(6, 1)(x)]),
    "subtract": lambda x: layers.Subtract()([x, layers.Conv2D(6, 1)(x)]),
    "maximum": lambda x: layers.Maximum()([x, layers.Conv2D(6, 1)(x)]),
    "minimum": lambda x: layers.Minimum()([x, layers.Conv2D(6, 1)(x)]),
    "multiply by a gate": lambda x: layers.Multiply()([x, layers.GlobalAveragePooling2D(keepdims=True)(x)]),
    "multiply by a gate of a vector": lambda x: layers.Multiply()([x, layers.GlobalAveragePooling2D()(x)]),
    "average of a map and rows": lambda x: layers.Average()([layers.Reshape((8, 6))(layers.Conv2D(6, (9, 1))(x)), x]),
    "concatenate": lambda x: layers.Concatenate()([x, layers.Conv2D(3, 1)(x)]),
    "concatenate rows": lambda x: layers.Concatenate(axis=1)([x, x]),
    "zero padding": layers.ZeroPadding2D(((1, 2), (0, 3))),
    "cropping": layers.Cropping2D(((1, 2), (0, 3))),
    "upsampling": layers.UpSampling2D((2, 3)),
    "slice": lambda x: x[:, 1:, :-2, 2:5],
    "divide": lambda x: x / (layers.Activation("exponential")(x) + 1.0),
    "divide by an operation": lambda x: keras.ops.divide(x, keras.ops.square(x) + 1.0),
    "map scale": MapScale(),
    "sum and factor": lambda x: 2.0 * x + np.arange(6.0, dtype=np.float32),
    "keras adaptive average": layers.AdaptiveAveragePooling2D((2, 3)),
    "channel pad": ChannelPad(1, 2),
    "channel split": split_and_swap,
    "split in three": lambda x: keras.ops.concatenate(keras.ops.split(x, 3, axis=-1)[::-1], axis=-1),
    "channel shuffle": ChannelShuffle(3),
    "reshape": layers.Reshape((8, 9, 6)),
    "reshape to rows": layers.Reshape((12, 36)),
    "reshape of a vector to a pixel": lambda x: layers.Reshape((1, 1, 6))(layers.GlobalAveragePooling2D()(x)),
    "permute": layers.Permute((3, 1, 2)),
    "relu, sloped": layers.ReLU(negative_slope=0.1),
    "relu, bounded": layers.ReLU(4.0),
    "leaky relu": layers.LeakyReLU(0.3),
    "prelu": layers.PReLU(alpha_initializer="random_normal", shared_axes=[1, 2]),
    "elu": layers.ELU(0.7),
    "softmax of a map": layers.Softmax(),
    "softmax over rows": layers.Softmax(axis=1),
    "rescaling": layers.Rescaling(0.3, offset=-1.5),
    "rescaling by channel": layers.Rescaling([1.0, 2, 3, 4, 5, 6], offset=0.5),
    "rescaling by arrays": layers.Rescaling(np.arange(1.0, 7.0), np.ones(6)),
    "normalization": adapted,
    "normalization, back": layers.Normalization(mean=np.arange(6.0), variance=np.arange(1.0, 7.0), invert=True),
    "normalization of all as one": layers.Normalization(axis=None, mean=0.5, variance=2.0),
    "batch norm": lambda x: layers.ReLU()(layers.BatchNormalization()(x)),
    "batch norm, renorm": layers.BatchNormalization(renorm=True),
    "batch norm of columns": layers.BatchNormalization(axis=2),
    "conv, batch norm, relu": lambda x: layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(5, 3)(x))),
    "dense, batch norm": lambda x: layers.BatchNormalization()(layers.Dense(4)(layers.Flatten()(x))),
    "group norm": layers.GroupNormalization(3),
    "group norm without gamma": layers.GroupNormalization(2, scale=False),
    "layer norm": layers.LayerNormalization(),
    "layer norm of a vector": lambda x: layers.LayerNormalization()(layers.Flatten()(x)),
    "local response norm": LocalResponseNorm(alpha=0.1),
    "local response norm of whole numbers": LocalResponseNorm(alpha=1, beta=1),
    "dropout": layers.Dropout(0.5),
    "subsample and pad": lambda x: ChannelPad(3, 3)(layers.MaxPooling2D(1, 2)(x)),
}
ACTIVATIONS = [
    *("elu", "exponential", "gelu", "hard_sigmoid", "hard_silu", "leaky_relu", "linear", "log_softmax", "mish"),
    *("relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus", "softsign", "tanh"),
]
LAYERS |= {f"activation {name}": layers.Activation(name) for name in ACTIVATIONS}
NEEDS_TRANSPOSE = {
    "flatten for relu",
    "flatten returned",
    "layer norm of a vector",
    "reshape",
    "reshape to rows",
    "dense on rows",
    "permute",
    "average of a map and rows",
}


def built(name: str) -> tuple[keras.Model, np.ndarray]:
    """A model around the layer, with weights and statistics that are not trivial, and images."""
    keras.utils.set_random_seed(0)
    image = keras.Input(SHAPE, name="image")
    model = keras.Model(image, LAYERS[name](image))
    images = np.random.default_rng(0).standard_normal((6, *SHAPE)).astype(np.float32)
    return calibrated(varied(model), images), images


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_written_so_that_it_answers_alike_in_each_opset_and_without_a_needless_transpose(name: str) -> None:
    model, images = built(name)
    graph = lower(from_keras(model))
    assert not without_rule(graph)
    expected = answers_of(model, [images])
    for opset, batch in ((13, 1), (17, None), (18, 3), (21, 6)):
        file = emit(graph, opset=opset, batch=batch)
        checked(file)
        parity = compare(expected, OnnxRuntime(file)(images))
        assert parity.varies, "outputs that do not vary prove nothing"
        assert parity.largest_difference <= 1e-5
        assert ("Transpose" in operators(file)) == (name in NEEDS_TRANSPOSE)


def test_the_layers_compared_need_every_rule() -> None:
    written = {node.op for name in LAYERS for node in lower(from_keras(built(name)[0])).nodes.values()}
    assert written >= set(RULES)


@pytest.mark.parametrize("name", ["conv", "channel split", "dense", "layer norm"])
def test_channels_last_costs_a_transpose_at_each_border_that_is_a_map(name: str) -> None:
    model, images = built(name)
    file = emit(lower(from_keras(model)), opset=17, layout="NHWC")
    checked(file)
    assert [side.dim_value for side in file.graph.input[0].type.tensor_type.shape.dim] == [1, *SHAPE]
    assert operators(file)["Transpose"] == (1 if name == "dense" else 2)
    parity = compare(answers_of(model, [images]), OnnxRuntime(file)(images, channels_last=True))
    assert parity.varies
    assert parity.largest_difference <= 1e-5


def test_padding_is_left_where_a_max_pool_would_see_it_and_folded_elsewhere() -> None:
    padded = [name for name in LAYERS if "padding," in name]
    left = [name for name in padded if operators(emit(lower(from_keras(built(name)[0])), opset=17))["Pad"]]
    assert left == ["padding, max pool of negative values", "padding, average pool, same"]


@pytest.mark.parametrize(
    ("pool", "op"),
    [
        (layers.AdaptiveAveragePooling2D((3, 4)), "AveragePool"),
        (layers.AdaptiveMaxPooling2D((3, 4)), "MaxPool"),
        (layers.AdaptiveAveragePooling2D((9, 8)), None),
    ],
)
def test_an_adaptive_pool_of_equal_windows_is_one_operator_or_none(pool: layers.Layer, op: str | None) -> None:
    image = keras.Input(SHAPE)
    model = keras.Model(image, layers.ReLU()(pool(image)))
    assert set(operators(emit(lower(from_keras(model)), opset=17))) == {"Relu"} | ({op} if op else set())


def test_answers_of_another_shape_are_refused_and_not_broadcast() -> None:
    with pytest.raises(InputError, match=r"answers \(2, 1\) where the network answers \(2, 3\)"):
        compare([np.ones((2, 3))], [np.ones((2, 1))])


def test_a_mistaken_pad_is_seen() -> None:
    model, images = built("conv")
    file = emit(lower(from_keras(model)), opset=17)
    (pads,) = (a for node in file.graph.node for a in node.attribute if a.name == "pads")
    pads.ints[:] = [pads.ints[2], pads.ints[3], pads.ints[0], pads.ints[1]]  # torch's side, not TensorFlow's
    assert compare(answers_of(model, [images]), OnnxRuntime(file)(images)).largest_difference > 1e-3


def test_a_layer_without_a_rule_is_named() -> None:
    image = keras.Input(SHAPE)
    model = keras.Model(image, layers.UpSampling2D(interpolation="bicubic", name="odd")(image))
    assert [node.name for node in without_rule(lower(from_keras(model)))] == ["odd"]
