"""From a Keras model to an .onnx file and its card."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
from keras import layers

from keras_cnnzoo import InputError
from keras_cnnzoo.export import Calibration, Card, to_onnx
from keras_cnnzoo.export.graph import Graph, from_keras
from keras_cnnzoo.export.onnx import conversion
from keras_cnnzoo.export.onnx.conversion import from_graph, lower
from keras_cnnzoo.export.onnx.parity import answers_of
from keras_cnnzoo.export.onnx.qdq import plan
from keras_cnnzoo.export.onnx.ranges import best_reach, ranges_of
from keras_cnnzoo.export.onnx.runtime import OnnxRuntime
from keras_cnnzoo.export.verify import compare

RNG = np.random.default_rng(0)


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def initializers(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    return {tensor.name: tensor for tensor in model.graph.initializer}


def test_a_float32_file_answers_as_the_model_and_its_card_says_so(resnet: keras.Model, tmp_path: Path) -> None:
    card = to_onnx(resnet, tmp_path / "a.onnx")
    assert Card.read(tmp_path / "a.onnx.json") == card
    assert card.artifact["format"] == "onnx"
    assert card.conversion["by"] == "emitter"
    assert card.delegate is None
    assert card.inputs[0] | {"layout": "NCHW", "shape": [1, 3, 32, 32], "dtype": "float32"} == card.inputs[0]
    assert card.verification is not None
    parity = card.verification["parity"]
    assert parity["varies"]
    assert parity["largest_difference"] <= 1e-4
    assert "Transpose" not in card.operators
    assert "BatchNormalization" not in card.operators


def test_an_open_batch_takes_any_number_of_images(resnet: keras.Model, some_images: np.ndarray, tmp_path: Path) -> None:
    card = to_onnx(resnet, tmp_path / "a.onnx", batch=None, layout="NHWC")
    assert card.inputs[0]["shape"] == [None, 32, 32, 3]
    run = OnnxRuntime((tmp_path / "a.onnx").read_bytes())
    (expected,) = answers_of(resnet, [some_images[:5]])
    np.testing.assert_allclose(
        run(some_images[:5], channels_last=True)[0], expected, atol=1e-4 * np.abs(expected).max()
    )


@pytest.mark.parametrize("border", ["float32", "float16"])
def test_a_float16_file_holds_no_float32_but_at_its_border(
    shufflenet: keras.Model, tmp_path: Path, border: str
) -> None:
    card = to_onnx(shufflenet, tmp_path / "a.onnx", quantize="float16", inputs=border, outputs=border)
    model = onnx.load(tmp_path / "a.onnx")
    assert onnx.TensorProto.FLOAT not in {tensor.data_type for tensor in model.graph.initializer}
    assert operators(model)["Cast"] == (2 if border == "float32" else 0)
    assert card.inputs[0]["dtype"] == card.outputs[0]["dtype"] == border


def test_weights_beyond_float16_are_refused(tmp_path: Path) -> None:
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, layers.Conv2D(2, 1, kernel_initializer=keras.initializers.Constant(1e5))(image))
    with pytest.raises(InputError, match="beyond float16"):
        to_onnx(model, tmp_path / "a.onnx", quantize="float16")
    assert not list(tmp_path.iterdir())


def test_an_int8_file_is_symmetric_per_channel_and_quantizes_what_tensorrt_fuses(
    resnet: keras.Model, some_images: np.ndarray, tmp_path: Path
) -> None:
    card = to_onnx(resnet, tmp_path / "a.onnx", quantize="int8", calibration=some_images)
    model, count = onnx.load(tmp_path / "a.onnx"), Counter(card.operators)
    constants = initializers(model)
    producers = {output: node for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            pair, kernel = producers[node.input[0]], producers[node.input[1]]
            assert (pair.op_type, kernel.op_type) == ("DequantizeLinear", "DequantizeLinear")
            assert constants[kernel.input[0]].data_type == onnx.TensorProto.INT8
            assert list(constants[kernel.input[1]].dims) == [constants[kernel.input[0]].dims[0]]
        if node.op_type == "Add":  # the skip alone
            assert sorted(producers[i].op_type for i in node.input) == ["Conv", "DequantizeLinear"]
        if node.op_type == "Relu":
            assert producers[node.input[0]].op_type in ("Conv", "Add")
    zeros = [onnx.numpy_helper.to_array(t) for name, t in constants.items() if name == "zero point"]
    assert [(zero.dtype, int(zero)) for zero in zeros] == [(np.dtype(np.int8), 0)]
    # 19 convolutions and 1 dense layer; two blocks' skips are read by no convolution
    assert count["QuantizeLinear"] == 22
    assert card.artifact["bytes"] < 450_000


def test_an_int8_file_answers_about_as_well_as_the_model(
    resnet: keras.Model, some_images: np.ndarray, tmp_path: Path
) -> None:
    (expected,) = answers_of(resnet, [some_images])
    found = {}
    for estimator in ("min-max", "mse"):
        path = tmp_path / f"{estimator}.onnx"
        to_onnx(resnet, path, quantize="int8", calibration=some_images, estimator=estimator)
        (answers,) = OnnxRuntime(path.read_bytes(), exact=True)(some_images)
        found[estimator] = compare(expected, answers).sqnr_db or 0
    assert found["mse"] > 20
    assert found["mse"] > found["min-max"]


def test_kept_layers_stay_in_float(resnet: keras.Model, some_images: np.ndarray, tmp_path: Path) -> None:
    data = Calibration(some_images, "noise")
    to_onnx(resnet, tmp_path / "a.onnx", quantize="int8", calibration=data, keep=["conv1", "linear"])
    model = onnx.load(tmp_path / "a.onnx")
    kept = {tuple(n.input[:2]) for n in model.graph.node if n.op_type in ("Conv", "Gemm") and "kernel" in n.input[1]}
    assert {kernel for _, kernel in kept if not kernel.endswith("dequantized")} == {"conv1/kernel", "linear/kernel"}


def test_int4_weights_are_an_eighth_and_answer_alike(
    resnet: keras.Model, some_images: np.ndarray, tmp_path: Path
) -> None:
    card = to_onnx(resnet, tmp_path / "a.onnx", quantize="int4")
    assert card.artifact["bytes"] < 250_000
    (expected,) = answers_of(resnet, [some_images])
    (answers,) = OnnxRuntime((tmp_path / "a.onnx").read_bytes())(some_images)
    assert (compare(expected, answers).sqnr_db or 0) > 8


def test_ranges_and_scales_that_training_found_are_taken(resnet: keras.Model, some_images: np.ndarray) -> None:
    graph = lower(from_keras(resnet))
    tensors = plan(from_graph(graph)).tensors
    scales = {"conv1": np.full(16, 0.5, np.float32)}
    model = from_graph(graph, ranges=dict.fromkeys(tensors, (-1.27, 0.5)), scales=scales)
    constants = initializers(model)
    np.testing.assert_allclose(onnx.numpy_helper.to_array(constants["image/scale"]), 0.01)
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(constants["conv1/kernel/scale"]), scales["conv1"])
    with pytest.raises(KeyError):
        from_graph(graph, ranges={})


def test_min_max_ranges_are_those_of_the_data(resnet: keras.Model, some_images: np.ndarray) -> None:
    model = from_graph(lower(from_keras(resnet)))
    found = ranges_of(model, ["image"], Calibration(some_images, "noise"), "min-max")
    assert found == {"image": (float(some_images.min()), float(some_images.max()))}


def test_the_reach_is_whole_for_a_flat_histogram_and_clipped_for_a_long_tail() -> None:
    flat, tail = np.ones(2048, int), np.zeros(2048, int)
    tail[:400], tail[-1] = 100_000, 1
    assert best_reach(flat) == 1.0
    assert best_reach(tail) < 0.5


def test_a_layer_without_a_rule_goes_by_tf2onnx_and_the_card_says_so(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    x = layers.UpSampling2D(interpolation="bilinear")(layers.Conv2D(4, 3, activation="relu")(image))
    model = keras.Model(image, x, name="odd")
    card = to_onnx(model, tmp_path / "a.onnx")
    assert (card.conversion["by"], card.conversion["reason"]) == ("tf2onnx", "no rule for UpSampling2D")
    assert card.inputs[0]["shape"] == [1, 3, 8, 8]
    with pytest.raises(InputError, match="opset 18"):
        to_onnx(model, tmp_path / "b.onnx", opset=21)


def test_a_file_that_answers_otherwise_is_not_written(
    resnet: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swapped(graph: Graph) -> Graph:
        lowered = lower(graph)
        dense = lowered.nodes["linear"]
        return lowered.update(replace(dense, weights=(dense.weights[0][::-1], dense.weights[1])))

    monkeypatch.setattr(conversion, "lower", swapped)
    with pytest.raises(InputError, match="away from Keras"):
        to_onnx(resnet, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"quantize": "int8"}, "int8 needs calibration images"),
        ({"quantize": "int2"}, "choose one of float32, float16, int8, int4"),
        ({"opset": 12}, "choose one of 13"),
        ({"opset": 17, "quantize": "int4"}, "known since opset 21"),
        ({"layout": "CHWN"}, "choose one of NCHW, NHWC"),
        ({"inputs": "float16"}, "need a float16 file"),
        ({"batch": 0}, "at least 1 image"),
        ({"quantize": "int8", "calibration": RNG.random((4, 8, 8, 3), np.float32)}, "the model reads"),
        ({"quantize": "int8", "calibration": np.full((4, 32, 32, 3), np.nan, np.float32)}, "NaN"),
    ],
)
def test_bad_options_are_refused_in_a_sentence(
    resnet: keras.Model, tmp_path: Path, options: dict, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        to_onnx(resnet, tmp_path / "a.onnx", **options)
    with pytest.raises(InputError, match=r"ends in \.onnx"):
        to_onnx(resnet, tmp_path / "a.tflite")
    assert not list(tmp_path.iterdir())
