"""int8 means int8, per channel, with exact ranges; the other schemes and boundaries are what they say."""

from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from keras import layers

from keras_cnnzoo import InputError
from keras_cnnzoo.export import Calibration, to_tflite
from keras_cnnzoo.export.calibration import Ranges, min_max, representative
from keras_cnnzoo.export.contents import histogram, operators, parse, quantization_of, require_integer
from keras_cnnzoo.export.converter import convert
from keras_cnnzoo.export.emit import emit
from keras_cnnzoo.export.graph import Graph, from_keras
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.lowering import lower
from keras_cnnzoo.export.quantize import quantize, with_boundary
from keras_cnnzoo.export.tflite import emitted
from keras_cnnzoo.layers import ChannelShuffle, ChannelSplit


def ranges_of(graph: Graph, images: np.ndarray) -> Ranges:
    return min_max(graph, Calibration(images, "test"))


@pytest.fixture(scope="module")
def graph(resnet: keras.Model) -> Graph:
    return lower(from_keras(resnet))


@pytest.fixture(scope="module")
def int8(graph: Graph, some_images: np.ndarray) -> bytes:
    return quantize(emit(graph), "int8", ranges_of(graph, some_images))


def sqnr(expected: np.ndarray, answers: np.ndarray) -> float:
    return float(10 * np.log10(np.square(expected).sum() / np.square(expected - answers).sum()))


def test_ranges_are_the_least_and_the_largest_value_whatever_the_order(graph: Graph, some_images: np.ndarray) -> None:
    odd = some_images[:13]  # batches of four and a rest
    found = ranges_of(graph, odd)
    backwards = ranges_of(graph, odd[::-1].copy())
    assert found.keys() == backwards.keys()
    for name, limits in found.items():
        assert limits == pytest.approx(backwards[name], rel=1e-5)
    assert found["image"] == (odd.min(), odd.max())
    low, high = found["conv1"]  # behind its fused ReLU
    assert low == 0 < high


def test_an_activation_is_watched_behind_its_fused_relu(
    graph: Graph, resnet: keras.Model, some_images: np.ndarray
) -> None:
    probe = keras.Model(resnet.input, resnet.get_layer("layer2_0_relu").output)
    expected = np.asarray(probe(some_images)).max()
    found = {name: high for name, (low, high) in ranges_of(graph, some_images).items() if name == "layer2_0_add"}
    assert found["layer2_0_add"] == pytest.approx(expected, rel=1e-4)


def test_an_int8_file_holds_no_float_tensor(int8: bytes) -> None:
    require_integer(int8)
    assert not [op for op in operators(int8) if op.is_float]


def test_weights_stand_inside_the_flatbuffer_where_tflite_micro_looks(int8: bytes) -> None:
    model = schema.Model.GetRootAs(int8, 0)
    assert max(model.Buffers(index).Offset() for index in range(model.BuffersLength())) <= 1


def test_kernels_have_a_scale_for_each_channel(int8: bytes) -> None:
    graph = parse(int8).subgraphs[0]
    kernels = [t for t in graph.tensors if t.name.endswith(b"/kernel") and len(t.shape) == 4]
    assert len(kernels) == 21
    assert all(len(t.quantization.scale) == t.shape[0] for t in kernels)


def test_int8_answers_like_float(int8: bytes, resnet: keras.Model, some_images: np.ndarray) -> None:
    assert sqnr(np.asarray(resnet(some_images)), LiteRT(int8)(some_images)[0]) > 15


@pytest.mark.slow
def test_a_shuffle_network_is_as_near_to_float_as_tensorflow_s_converter_brings_it(
    shufflenet: keras.Model, some_images: np.ndarray
) -> None:
    graph, expected = lower(from_keras(shufflenet)), np.asarray(shufflenet(some_images))
    ours = quantize(emit(graph), "int8", ranges_of(graph, some_images))
    require_integer(ours)
    theirs = convert(shufflenet, "int8", Calibration(some_images, "test"), "int8", "int8", 1)
    noise = [sqnr(expected, LiteRT(content)(some_images)[0]) for content in (ours, theirs)]
    assert noise[0] > noise[1] - 0.2


def test_a_shuffle_runs_in_int8_throughout(some_images: np.ndarray) -> None:
    image = keras.Input((32, 32, 3), name="image")
    first, second = ChannelSplit()(ChannelShuffle(4)(layers.Conv2D(8, 3, activation="relu")(image)))
    model = keras.Model(image, layers.Conv2D(4, 1)(layers.Concatenate()([second, first])))
    graph = lower(from_keras(model))
    content = quantize(emit(graph), "int8", ranges_of(graph, some_images))
    require_integer(content)
    assert LiteRT(content).delegation() == (1, {})
    assert sqnr(np.asarray(model(some_images)), LiteRT(content)(some_images)[0]) > 30


def test_a_kernel_with_a_channel_of_zeros_is_quantized() -> None:
    image = keras.Input((8, 8, 3), name="image")
    model = keras.Model(image, layers.Conv2D(4, 3, name="conv")(image))
    kernel, bias = model.get_layer("conv").get_weights()
    kernel[..., 1] = 0
    model.get_layer("conv").set_weights([kernel, bias])
    images = np.random.default_rng(0).standard_normal((20, 8, 8, 3)).astype(np.float32)
    graph = lower(from_keras(model))
    content = quantize(emit(graph), "int8", ranges_of(graph, images))
    assert sqnr(np.asarray(model(images)), LiteRT(content)(images)[0]) > 25


@pytest.mark.parametrize("inputs", ["int8", "uint8", "float32"])
@pytest.mark.parametrize("outputs", ["int8", "uint8", "float32"])
def test_a_boundary_has_the_type_asked_for_and_the_same_answers(
    int8: bytes, some_images: np.ndarray, inputs, outputs
) -> None:
    content = with_boundary(int8, inputs, outputs)
    file, plain = LiteRT(content), LiteRT(int8)
    assert np.dtype(file.input["dtype"]).name == inputs
    assert np.dtype(file.outputs[0]["dtype"]).name == outputs
    assert [entry.name for entry in parse(content).signatureDefs[0].inputs] == [b"image"]
    step = plain.outputs[0]["quantization"][0]
    assert np.abs(file(some_images)[0] - plain(some_images)[0]).max() <= 1.01 * step
    require_integer(content)


def test_uint8_is_int8_moved_by_128(int8: bytes) -> None:
    inner, outer = (
        parse(content).subgraphs[0].tensors[parse(content).signatureDefs[0].inputs[0].tensorIndex]
        for content in (int8, with_boundary(int8, "uint8", "int8"))
    )
    (scale, zero_point), (outer_scale, outer_zero_point) = quantization_of(inner), quantization_of(outer)
    assert (outer_scale, outer_zero_point) == (scale, zero_point + 128)


def test_float16_and_dynamic_files_are_smaller_and_answer_alike(
    graph: Graph, resnet: keras.Model, some_images: np.ndarray
) -> None:
    whole, expected = emit(graph), np.asarray(resnet(some_images[:16]))
    half, small = (quantize(whole, scheme) for scheme in ("float16", "dynamic"))
    assert len(half) < 0.55 * len(whole)
    assert len(small) < 0.30 * len(whole)
    assert sqnr(expected, LiteRT(half)(some_images[:16])[0]) > 50
    assert sqnr(expected, LiteRT(small)(some_images[:16])[0]) > 20


def test_a_float_operator_in_an_int8_file_is_an_error(graph: Graph) -> None:
    with pytest.raises(InputError, match=r"float operators \(.*CONV_2D"):
        require_integer(emit(graph))


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (np.zeros((0, 4, 4, 3), np.float32), "empty"),
        (np.full((1, 4, 4, 3), np.nan, np.float32), "NaN"),
        ([], "empty"),
        (np.full((5, 4, 4, 3), 0.5, np.float32), "every value .* is 0.5"),
    ],
)
def test_a_representative_dataset_that_represents_nothing_is_refused(inputs, words: str) -> None:
    with pytest.raises(InputError, match=words):
        representative(inputs)


def test_activations_beyond_float32_are_told_with_their_layer(some_images: np.ndarray, tmp_path: Path) -> None:
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(4, 3, name="first")(image)
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(layers.Conv2D(4, 3, name="second")(x))))
    for name in ("first", "second"):
        model.get_layer(name).set_weights([1e25 * weight for weight in model.get_layer(name).get_weights()])
    with pytest.raises(InputError, match="what second answers to the calibration images is beyond float32"):
        to_tflite(model, tmp_path / "a.tflite", quantize="int8", calibration=some_images)
    assert not list(tmp_path.iterdir())


def test_a_representative_dataset_may_come_in_batches() -> None:
    assert len(representative(np.eye(3).reshape(3, 3, 1, 1) for _ in range(4))) == 12


def test_noise_says_that_it_is_noise() -> None:
    noise = Calibration.noise(7, (4, 4, 3))
    assert (len(noise), noise.random, noise.source) == (7, True, "random:7")


def test_every_operator_of_the_histogram_is_counted(int8: bytes) -> None:
    assert sum(histogram(operators(int8)).values()) == len(operators(int8))


def test_a_layer_that_calibration_never_sees_alive_does_not_spoil_the_file(some_images: np.ndarray) -> None:
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3), name="image")
    dead = layers.Conv2D(4, 3, activation="relu", bias_initializer=keras.initializers.Constant(-1e4), name="dead")(
        image
    )
    model = keras.Model(image, layers.Add()([layers.Conv2D(4, 1)(dead), layers.Conv2D(4, 3)(image)]))
    content = emitted(lower(from_keras(model)), "int8", Calibration(some_images[:4], "test"))
    file = LiteRT(content)
    assert file.delegation() == (1, {})
    assert sqnr(np.asarray(model(some_images[:4])), file(some_images[:4])[0]) > 20
