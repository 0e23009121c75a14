"""Every rule of the emitter, and whole networks: the file answers as the Keras model does."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from keras.src.ops.numpy import Abs

import keras_cnnzoo
from keras_cnnzoo.export.contents import histogram, operators, parse
from keras_cnnzoo.export.converter import convert
from keras_cnnzoo.export.emit import RULES, emit, without_rule
from keras_cnnzoo.export.graph import from_keras
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.lowering import lower
from keras_cnnzoo.layers import (
    AdaptiveAverage2D,
    ChannelPad,
    ChannelShuffle,
    ChannelSplit,
    GroupedConv2D,
    LocalResponseNorm,
    MapScale,
    Slice,
)

from .conftest import calibrated, varied

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


def pair(merge: Any) -> Callable[[Any], Any]:
    return lambda x: merge([x, layers.Conv2D(6, 1)(x)])


def scored(layer: Any) -> Callable[[Any], Any]:
    """A layer that needs a vector, behind a global pool."""
    return lambda x: layer(layers.GlobalAveragePooling2D()(x))


@keras.saving.register_keras_serializable("tests")
class Gate(layers.Layer):
    """Another's layer, of layers and operations: x * sigmoid(scale * mean(x) + 1)."""

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(shape=(shape[-1],), initializer="random_normal")
        self.squeeze = layers.Dense(shape[-1])

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        mean = self.squeeze(ops.mean(inputs, (1, 2), keepdims=True))
        return inputs * ops.sigmoid(mean * self.scale + 1.0)


LAYERS: dict[str, Callable[[Any], Any]] = {
    "conv": layers.Conv2D(5, 3, 2, "same"),
    "conv valid": layers.Conv2D(5, (3, 2), 1, "valid", use_bias=False),
    "conv dilated": layers.Conv2D(5, 3, padding="same", dilation_rate=2, activation="relu"),
    "conv grouped": GroupedConv2D(9, 3, padding="same", groups=3),
    "conv with relu6": layers.Conv2D(5, 1, activation="relu6"),
    "conv with tanh": layers.Conv2D(5, 1, activation="tanh"),
    "depthwise": layers.DepthwiseConv2D(3, 2, "same"),
    "depthwise times 2": layers.DepthwiseConv2D(3, 1, "valid", depth_multiplier=2, activation="relu"),
    "separable": layers.SeparableConv2D(5, 3, 2, "same", depth_multiplier=2, activation="relu"),
    "batch norm, renorm": layers.BatchNormalization(renorm=True),
    "batch norm of a vector, renorm": scored(layers.BatchNormalization(renorm=True)),
    "normalization of a vector": scored(layers.Normalization(mean=np.arange(6.0), variance=np.arange(1.0, 7.0))),
    "separable, batch norm": lambda x: layers.BatchNormalization()(layers.SeparableConv2D(5, 3, use_bias=False)(x)),
    "transposed": layers.Conv2DTranspose(5, 3, 2, "same"),
    "transposed valid": layers.Conv2DTranspose(5, (3, 2), (2, 1), "valid", use_bias=False),
    "dense": lambda x: layers.Dense(4)(layers.Flatten()(x)),
    "dense on a map": layers.Dense(4),
    "max pool": layers.MaxPooling2D(3, 2, "same"),
    "average pool": layers.AveragePooling2D(2, 2, "valid"),
    "average pool, same": layers.AveragePooling2D(3, 2, "same"),
    "global average": layers.GlobalAveragePooling2D(),
    "global average kept": layers.GlobalAveragePooling2D(keepdims=True),
    "global max": layers.GlobalMaxPooling2D(),
    "adaptive average": layers.AdaptiveAveragePooling2D((4, 3)),
    "adaptive average, equal windows": layers.AdaptiveAveragePooling2D((3, 4)),
    "adaptive max": layers.AdaptiveMaxPooling2D((4, 3)),
    "our adaptive average": AdaptiveAverage2D(5),
    "add three": lambda x: layers.Add()([x, layers.Conv2D(6, 1)(x), layers.Conv2D(6, 1)(x)]),
    "subtract": pair(layers.Subtract()),
    "average": pair(layers.Average()),
    "maximum": pair(layers.Maximum()),
    "minimum": pair(layers.Minimum()),
    "multiply": lambda x: layers.Multiply()([x, layers.Conv2D(6, 1, activation="sigmoid")(x)]),
    "relu of a sum": lambda x: layers.ReLU()(layers.Add()([x, layers.Conv2D(6, 1)(x)])),
    "multiply a map and a vector": lambda x: x * layers.GlobalMaxPooling2D(keepdims=True)(x),
    "concatenate": lambda x: layers.Concatenate()([x, layers.Conv2D(3, 1)(x)]),
    "concatenate rows": lambda x: layers.Concatenate(1)([x, layers.Conv2D(6, 3)(layers.ZeroPadding2D((0, 1))(x))]),
    "zero padding": layers.ZeroPadding2D(((1, 2), (0, 3))),
    "channel pad": ChannelPad(1, 2),
    "channel split": split_and_swap,
    "channel shuffle": ChannelShuffle(3),
    "cropping": layers.Cropping2D(((1, 2), (0, 3))),
    "permute": layers.Permute((3, 1, 2)),
    "reshape": layers.Reshape((8, 9, 6)),
    "slice": Slice((1, 0, 2), (7, 8, 3)),
    "upsampling nearest": layers.UpSampling2D((2, 3)),
    "upsampling bilinear": layers.UpSampling2D(2, interpolation="bilinear"),
    "resizing bilinear": layers.Resizing(5, 11),
    "resizing nearest": layers.Resizing(13, 4, interpolation="nearest"),
    "relu layer": layers.ReLU(),
    "relu6 layer": layers.ReLU(6.0),
    "relu to 0.7": layers.ReLU(0.7),
    "relu with a slope": layers.ReLU(negative_slope=0.2),
    "leaky relu": layers.LeakyReLU(0.1),
    "prelu": layers.PReLU(alpha_initializer="random_normal"),
    "prelu by channel": layers.PReLU(alpha_initializer="random_normal", shared_axes=[1, 2]),
    "elu": layers.ELU(),
    "gelu": layers.Activation("gelu"),
    "gelu by tanh": lambda x: ops.gelu(x, approximate=True),
    "silu": layers.Activation("silu"),
    "hard swish": layers.Activation("hard_silu"),
    "hard sigmoid": layers.Activation("hard_sigmoid"),
    "exponential": layers.Activation("exponential"),
    "leaky relu by name": layers.Activation("leaky_relu"),
    "softmax layer": scored(layers.Softmax()),
    "softmax": scored(layers.Activation("softmax")),
    "batch norm": lambda x: layers.ReLU()(layers.BatchNormalization()(x)),
    "batch norm of a vector": scored(layers.BatchNormalization()),
    "conv, batch norm, relu": lambda x: layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(5, 3)(x))),
    "dense, batch norm": lambda x: layers.BatchNormalization()(layers.Dense(4)(layers.Flatten()(x))),
    "depthwise, batch norm without gamma": lambda x: layers.BatchNormalization(scale=False)(
        layers.DepthwiseConv2D(3, depth_multiplier=2)(x)
    ),
    "layer norm": layers.LayerNormalization(gamma_initializer="random_normal", beta_initializer="random_normal"),
    "layer norm without weights": layers.LayerNormalization(center=False, scale=False),
    "group norm": layers.GroupNormalization(3, gamma_initializer="random_normal", beta_initializer="random_normal"),
    "group norm without weights": layers.GroupNormalization(2, center=False, scale=False),
    "instance norm": layers.GroupNormalization(-1),
    "local response norm": LocalResponseNorm(3, k=1.0, alpha=0.5),
    "rescaling": layers.Rescaling(2.0, -1.0),
    "rescaling of a vector": scored(layers.Rescaling(2.0, -1.0)),
    "normalization": layers.Normalization(mean=[0.1 * i for i in range(6)], variance=[1.0 + i for i in range(6)]),
    "dropout": layers.Dropout(0.5),
    "subsample and pad": lambda x: ChannelPad(3, 3)(layers.MaxPooling2D(1, 2)(x)),
    "plus a number": lambda x: x + 3.0,
    "a number minus": lambda x: 3.0 - x,
    "times a vector": lambda x: x * np.arange(1, 7, dtype=np.float32),
    "by a number": lambda x: x / 4.0,
    "negative": lambda x: -x,
    "map scale": MapScale(),
    "absolute by its other name": Abs(),
    "divide by an operation": lambda x: ops.divide(x, ops.square(x) + 1.0),
    "divide": lambda x: x / (ops.abs(layers.Conv2D(6, 1)(x)) + 1.0),
    "square root of a square": lambda x: ops.sqrt(ops.square(x) + 1.0),
    "inverse root of a square": lambda x: ops.rsqrt(ops.square(x) + 1.0),
    "hard swish by operations": lambda x: x * layers.ReLU(6.0)(x + 3.0) * (1.0 / 6.0),
    "first channels": lambda x: x[..., :4],
    "rows and columns": lambda x: x[:, 2:, 1:-1],
    "split in three": lambda x: ops.concatenate(ops.split(x, 3, axis=-1)[::-1], axis=-1),
    "padded by an operation": lambda x: ops.pad(x, ((0, 0), (1, 0), (0, 2), (0, 0))),
    "clipped": lambda x: ops.clip(x, 0.0, 1.0),
    "transposed axes": lambda x: ops.transpose(x, (0, 2, 1, 3)),
    "pooled by operations": lambda x: ops.max_pool(ops.average_pool(x, 2, 1, "valid"), 2, 2, "same"),
    "mean and max": lambda x: ops.mean(x, (1, 2)) + ops.max(x, (1, 2)),
    "another's layer": Gate(),
}


COMPARED = [name for name in LAYERS if name != "gelu"]


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_written_so_that_it_answers_alike(name: str) -> None:
    keras.utils.set_random_seed(0)
    image = keras.Input(SHAPE)
    model = keras.Model(image, LAYERS[name](image))
    images = RNG.standard_normal((8, *SHAPE)).astype(np.float32)
    calibrated(varied(model), images)
    for batch in (1, 4):
        assert_same_answers(model, emitted(model, batch=batch), images)


@pytest.fixture(scope="module")
def every_rule() -> keras.Model:
    """One network whose outputs are those of all the layers, each in a model of its own: names then may meet.

    But for gelu: TensorFlow's converter knows no Erfc and refuses it.
    """
    keras.utils.set_random_seed(0)
    keras.utils.clear_session()  # counts names anew, so that they do meet, whichever tests ran before
    image = keras.Input(SHAPE, name="image")
    inner = [keras.Model(image, LAYERS[name](image), name=f"rule_{i}") for i, name in enumerate(COMPARED)]
    model = keras.Model(image, [layers.Flatten()(each(image)) for each in inner])
    return calibrated(varied(model), RNG.standard_normal((8, *SHAPE)).astype(np.float32))


def test_the_layers_compared_need_every_rule(every_rule: keras.Model) -> None:
    written = {node.op for node in lower(from_keras(every_rule)).nodes.values()}
    assert written >= set(RULES)


def test_every_rule_s_file_answers_as_tensorflow_s_converter_s(every_rule: keras.Model) -> None:
    images = RNG.standard_normal((4, *SHAPE)).astype(np.float32)
    ours, theirs = (
        LiteRT(emitted(every_rule))(images),
        LiteRT(convert(every_rule, "float32", None, "int8", "int8", 1))(images),
    )
    assert len(ours) == len(COMPARED)
    off = {
        name: float(np.abs(a - b).max() / np.abs(b).max()) for name, a, b in zip(COMPARED, ours, theirs, strict=True)
    }
    assert {name: share for name, share in off.items() if not share <= 1e-5} == {}


@pytest.mark.parametrize("damage", ["weight", "stride"])
def test_parity_fails_for_a_swapped_weight_and_for_a_wrong_stride(damage: str) -> None:
    image = keras.Input(SHAPE)
    conv = layers.Conv2D(5, 3, 2, "same", name="conv")
    model = keras.Model(image, layers.GlobalMaxPooling2D()(conv(image)))
    graph = lower(from_keras(model))
    node = graph.nodes["conv"]
    kernel = node.weights[0].copy()
    kernel[0, 0, 0, [0, 1]] = kernel[0, 0, 0, [1, 0]]
    wrong = replace(node, weights=(kernel, *node.weights[1:])) if damage == "weight" else None
    wrong = wrong or replace(node, config=node.config | {"strides": (3, 3)}, shapes=((3, 3, 5),))
    images = RNG.standard_normal((8, *SHAPE)).astype(np.float32)
    assert_same_answers(model, emit(graph), images)
    with pytest.raises(AssertionError):
        assert_same_answers(model, emit(graph.update(wrong)), images)


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
    model = keras.Model(image, layers.Conv2DTranspose(2, 3, 2, output_padding=1, name="odd")(image))
    assert [node.name for node in without_rule(lower(from_keras(model)))] == ["odd"]


def test_mobilenet_like_networks_of_ours_share_the_rules() -> None:
    model = keras_cnnzoo.create("shufflenet_v2_x1_0", input_shape=(64, 64, 3))
    assert not without_rule(lower(from_keras(model)))
