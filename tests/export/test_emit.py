"""Every rule of the emitter, and whole networks: the file answers as the Keras model does."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import keras_cnnzoo
from keras_cnnzoo.export.contents import histogram, operators, parse
from keras_cnnzoo.export.emit import emit, without_rule
from keras_cnnzoo.export.graph import from_keras
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.lowering import lower
from keras_cnnzoo.layers import ChannelPad, ChannelShuffle, ChannelSplit, GroupedConv2D

from .conftest import calibrated

SHAPE = (9, 8, 6)
RNG = np.random.default_rng(0)


def emitted(model: keras.Model, **options: Any) -> bytes:
    graph = lower(from_keras(model))
    assert not without_rule(graph)
    return emit(graph, **options)


def assert_same_answers(model: keras.Model, content: bytes, images: np.ndarray, share: float = 1e-5) -> None:
    expected = model(images, training=False)
    expected = expected if isinstance(expected, list) else [expected]
    for e, a in zip(expected, LiteRT(content)(images), strict=True):
        e = np.asarray(e)
        assert np.ptp(e, axis=0).max() > 0.1 * np.abs(e).max(), "outputs that do not vary prove nothing"
        assert np.abs(e - a).max() <= share * np.abs(e).max()


def split_and_swap(x: Any) -> Any:
    left, right = ChannelSplit()(x)
    return layers.Concatenate()([right, left])


LAYERS: dict[str, Callable[[Any], Any]] = {
    "conv": layers.Conv2D(5, 3, 2, "same"),
    "conv valid": layers.Conv2D(5, (3, 2), 1, "valid", use_bias=False),
    "conv dilated": layers.Conv2D(5, 3, padding="same", dilation_rate=2, activation="relu"),
    "conv grouped": GroupedConv2D(9, 3, padding="same", groups=3),
    "conv with relu6": layers.Conv2D(5, 1, activation="relu6"),
    "conv with tanh": layers.Conv2D(5, 1, activation="tanh"),
    "depthwise": layers.DepthwiseConv2D(3, 2, "same"),
    "depthwise times 2": layers.DepthwiseConv2D(3, 1, "valid", depth_multiplier=2, activation="relu"),
    "dense": lambda x: layers.Dense(4)(layers.Flatten()(x)),
    "dense on a map": layers.Dense(4),
    "max pool": layers.MaxPooling2D(3, 2, "same"),
    "average pool": layers.AveragePooling2D(2, 2, "valid"),
    "global average": layers.GlobalAveragePooling2D(),
    "global average kept": layers.GlobalAveragePooling2D(keepdims=True),
    "global max": layers.GlobalMaxPooling2D(),
    "add three": lambda x: layers.Add()([x, layers.Conv2D(6, 1)(x), layers.Conv2D(6, 1)(x)]),
    "multiply": lambda x: layers.Multiply()([x, layers.Conv2D(6, 1, activation="sigmoid")(x)]),
    "concatenate": lambda x: layers.Concatenate()([x, layers.Conv2D(3, 1)(x)]),
    "zero padding": layers.ZeroPadding2D(((1, 2), (0, 3))),
    "channel pad": ChannelPad(1, 2),
    "channel split": split_and_swap,
    "channel shuffle": ChannelShuffle(3),
    "reshape": layers.Reshape((8, 9, 6)),
    "relu layer": layers.ReLU(),
    "relu6 layer": layers.ReLU(6.0),
    "softmax layer": lambda x: layers.Softmax()(layers.GlobalAveragePooling2D()(x)),
    "batch norm": lambda x: layers.ReLU()(layers.BatchNormalization()(x)),
    "conv, batch norm, relu": lambda x: layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(5, 3)(x))),
    "dense, batch norm": lambda x: layers.BatchNormalization()(layers.Dense(4)(layers.Flatten()(x))),
    "depthwise, batch norm without gamma": lambda x: layers.BatchNormalization(scale=False)(
        layers.DepthwiseConv2D(3, depth_multiplier=2)(x)
    ),
    "dropout": layers.Dropout(0.5),
    "subsample and pad": lambda x: ChannelPad(3, 3)(layers.MaxPooling2D(1, 2)(x)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_written_so_that_it_answers_alike(name: str) -> None:
    keras.utils.set_random_seed(0)
    image = keras.Input(SHAPE)
    model = keras.Model(image, LAYERS[name](image))
    images = RNG.standard_normal((8, *SHAPE)).astype(np.float32)
    calibrated(model, images)
    for batch in (1, 4):
        assert_same_answers(model, emitted(model, batch=batch), images)


def test_a_nested_model_and_a_layer_called_twice_and_two_outputs_are_written() -> None:
    inner_image = keras.Input((8, 8, 4))
    shared = layers.Conv2D(4, 3, padding="same", activation="relu", name="shared")
    inner = keras.Model(inner_image, shared(shared(inner_image)), name="inner")
    image = keras.Input((8, 8, 4))
    x = inner(image)
    model = keras.Model(image, [layers.GlobalAveragePooling2D()(x), layers.Add()([x, inner(x)])])
    assert_same_answers(model, emitted(model), RNG.standard_normal((4, 8, 8, 4)).astype(np.float32))


def test_networks_of_the_zoo_answer_alike_and_run_in_one_partition(
    resnet: keras.Model, shufflenet: keras.Model, some_images: np.ndarray
) -> None:
    for model in (resnet, shufflenet):
        content = emitted(model)
        assert_same_answers(model, content, some_images[:8], 1e-4)
        assert LiteRT(content).delegation() == (1, {})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ResNet50", "MobileNetV2"])
def test_networks_of_keras_applications_answer_alike(name: str) -> None:
    model = getattr(keras.applications, name)(weights=None, input_shape=(96, 96, 3), classifier_activation=None)
    images = RNG.standard_normal((8, 96, 96, 3)).astype(np.float32) * RNG.uniform(0.3, 2, (8, 1, 1, 1)).astype("f")
    calibrated(model, images)
    assert_same_answers(model, emitted(model), images, 1e-4)


def test_relus_are_fused_and_batch_norm_is_gone(resnet: keras.Model) -> None:
    assert set(histogram(operators(emitted(resnet)))) == {"CONV_2D", "ADD", "PAD", "MEAN", "FULLY_CONNECTED"}


def test_a_file_has_a_signature_that_names_inputs_and_outputs(resnet: keras.Model) -> None:
    (signature,) = parse(emitted(resnet)).signatureDefs
    assert signature.signatureKey == b"serving_default"
    assert [entry.name for entry in signature.inputs] == [b"image"]
    assert [entry.name for entry in signature.outputs] == [b"linear"]


def test_large_constants_start_at_multiples_of_sixteen_bytes(resnet: keras.Model) -> None:
    content = emitted(resnet)
    file = np.frombuffer(content, np.uint8)
    buffers = [b.data for b in parse(content).buffers if b.data is not None and len(b.data)]
    starts = [buffer.ctypes.data - file.ctypes.data for buffer in buffers]  # the arrays are views of the file
    assert all(0 < start < len(content) for start in starts)
    assert [start % 16 for start in starts] == [0] * len(starts)


def test_a_layer_without_a_rule_is_named() -> None:
    image = keras.Input(SHAPE)
    model = keras.Model(image, layers.PReLU(name="odd")(image))
    assert [node.name for node in without_rule(lower(from_keras(model)))] == ["odd"]


def test_mobilenet_like_networks_of_ours_share_the_rules() -> None:
    model = keras_cnnzoo.create("shufflenet_v2_x1_0", input_shape=(64, 64, 3))
    assert not without_rule(lower(from_keras(model)))
