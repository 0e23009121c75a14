"""A .tflite classifier's weights in the zoo's networks."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import keras_cnnzoo
from keras_cnnzoo import InputError
from keras_cnnzoo.app.tflite_reader import read_tflite
from keras_cnnzoo.cli import app
from keras_cnnzoo.export import Origin, Quantization, to_tflite
from keras_cnnzoo.export.contents import operator_names, parse
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.images import read_images
from keras_cnnzoo.preprocessing import PRESETS

OPTIONS = {"norm": "none", "padding": "same", "input_shape": (32, 32, 3), "classes": 7, "classifier_activation": None}


@pytest.fixture(scope="module")
def small() -> keras.Model:
    """Strided and depthwise convolutions, skips, ReLU6; biases that are not 0."""
    keras.utils.set_random_seed(0)
    model = keras_cnnzoo.MobileNetV2(width=0.35, name="mobilenet_v2_x0_35", **OPTIONS)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if getattr(layer, "bias", None) is not None:
            layer.bias.assign(rng.normal(0, 0.3, layer.bias.shape))
    return model


@pytest.fixture(scope="module")
def files(small: keras.Model, some_images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tflite")
    for scheme in ("float32", "float16"):
        to_tflite(small, folder / f"{scheme}.tflite", quantize=scheme)
    origin = Origin(preprocessing=PRESETS["torch"])
    plain = Quantization("int8", corrections=())  # biases as they are
    to_tflite(small, folder / "int8.tflite", quantize=plain, calibration=some_images, origin=origin)
    to_tflite(small, folder / "uint8.tflite", quantize="int8", calibration=some_images, inputs="uint8")
    return folder


@pytest.mark.parametrize(("scheme", "tolerance"), [("float32", 1e-7), ("float16", 1e-3), ("int8", 0.01)])
def test_what_the_exporter_wrote_is_read_back(small: keras.Model, files: Path, scheme: str, tolerance: float) -> None:
    model, options, _ = read_tflite(files / f"{scheme}.tflite", "mobilenet_v2_x0_35")
    assert options == OPTIONS
    read = keras_cnnzoo.weights.state_of(model)
    for name, value in keras_cnnzoo.weights.state_of(small).items():
        assert np.abs(read[name] - value).max() <= tolerance * np.abs(value).max(), name


def test_preprocessing_comes_from_the_card_or_from_a_uint8_input(files: Path) -> None:
    assert read_tflite(files / "int8.tflite", "mobilenet_v2_x0_35")[2] == PRESETS["torch"]
    assert read_tflite(files / "float16.tflite", "mobilenet_v2_x0_35")[2] is None
    (files / "uint8.tflite.json").unlink()
    spec = read_tflite(files / "uint8.tflite", "mobilenet_v2_x0_35")[2]
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    scale, zero_point = LiteRT((files / "uint8.tflite").read_bytes()).input["quantization"]
    assert spec is not None
    np.testing.assert_allclose(spec(pixels), (pixels.astype(float) - zero_point) * scale, atol=1e-5)


@pytest.mark.parametrize(
    ("network", "options", "words"),
    [
        ("mobilenet_v2_x0_5", {}, "stands where the network has Conv2D 1x1x48x16"),
        ("mobilenet_v2_x0_35", {"activation": "relu"}, "to 16x16x16 relu6 stands where the network has Conv2D"),
        ("mobilenet_v2_x0_35", {"padding": "torch"}, "stands where the network has ZeroPadding2D"),
        ("mobilenet_v2_x0_35", {"small_input": True}, "strides 2x2, zeros 0+1+0+1"),
        ("mobilenet_v2_x0_35", {"norm": "batch"}, "stands where the network has Conv2D"),
        ("mobilenet_v2_x0_35", {"classes": 8}, "Dense 1280x7 to 7 stands where the network has Dense 1280x8"),
        ("mobilenet_v3_small", {}, "stands where the network has"),
        ("resnet21", {}, "is no network of the zoo"),
    ],
)
def test_another_network_s_file_is_refused_at_the_first_difference(
    files: Path, network: str, options: dict, words: str
) -> None:
    with pytest.raises(InputError, match=words.replace("+", r"\+")):
        read_tflite(files / "float32.tflite", network, **options)


def test_damaged_and_foreign_files_are_refused(files: Path, tmp_path: Path) -> None:
    content = (files / "float32.tflite").read_bytes()
    (tmp_path / "cut.tflite").write_bytes(content[: len(content) // 2])
    (tmp_path / "list.tflite").write_text("a shopping list")
    for name in ("cut", "list", "absent"):
        with pytest.raises(InputError):
            read_tflite(tmp_path / f"{name}.tflite", "mobilenet_v2_x0_35")


def test_the_command_writes_weights_that_load_with_the_options_it_prints(
    small: keras.Model, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], some_images: np.ndarray
) -> None:
    weights = tmp_path / "w.safetensors"
    line = ["from-tflite", str(files / "int8.tflite"), "-b", "mobilenet_v2_x0_35", "-o", str(weights), "-q"]
    app(line, standalone_mode=False)
    printed = capsys.readouterr().out
    assert "--set norm=none --set padding=same --set input_shape=32,32,3 --set classes=7" in " ".join(printed.split())
    again = keras_cnnzoo.create("mobilenet_v2_x0_35", weights=str(weights), **OPTIONS)
    assert keras_cnnzoo.weights.preprocessing_of(weights) == PRESETS["torch"]
    expected, answers = (np.asarray(model(some_images)) for model in (small, again))
    assert np.corrcoef(expected.ravel(), answers.ravel())[0, 1] > 0.99
    with pytest.raises(InputError, match="exists already"):
        app(line, standalone_mode=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "network", "top1"),
    [("mobilenet_v1_0.5_160", "mobilenet_v1_x0_5", 0.655), ("mobilenet_v2_1.0_224", "mobilenet_v2", 0.85)],
)
def test_imagenet_weights_answer_photographs_as_the_file_does(data: Path, file: str, network: str, top1: float) -> None:
    path = data / "tflite" / f"{file}_quant.tflite"
    model, _, spec = read_tflite(path, network)
    assert spec is not None
    images = read_images(data / "imagenet", model.input_shape[1:], fit=spec).take(50, seed=0)
    inputs = spec(images.pixels)
    ours, theirs = model.predict(inputs, batch_size=25, verbose=0), LiteRT(path.read_bytes())(inputs)[0]
    assert images.labels is not None
    assert np.mean(theirs.argmax(1) == images.labels + 1) == pytest.approx(top1, abs=0.1)
    assert np.mean(ours.argmax(1) == theirs.argmax(1)) >= 0.95


def edited(path: Path, change: Callable[[Any], None], out: Path) -> Path:
    """The file with its parsed form changed."""
    import flatbuffers

    model = parse(path.read_bytes())
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    out.write_bytes(bytes(builder.Output()))
    return out


def operator(model: Any, kind: str) -> Any:
    return model.subgraphs[0].operators[operator_names(model).index(kind)]


def test_a_redundant_depth_multiplier_of_0_is_read(files: Path, small: keras.Model, tmp_path: Path) -> None:
    def change(model: Any) -> None:
        operator(model, "DEPTHWISE_CONV_2D").builtinOptions.depthMultiplier = 0

    model, *_ = read_tflite(edited(files / "float32.tflite", change, tmp_path / "a.tflite"), "mobilenet_v2_x0_35")
    for name, value in keras_cnnzoo.weights.state_of(small).items():
        np.testing.assert_allclose(keras_cnnzoo.weights.state_of(model)[name], value, rtol=1e-6)


def test_a_dilated_convolution_is_not_one_whose_values_stand_side_by_side(files: Path, tmp_path: Path) -> None:
    def change(model: Any) -> None:
        options = operator(model, "DEPTHWISE_CONV_2D").builtinOptions
        options.dilationHFactor = options.dilationWFactor = 2

    path = edited(files / "float32.tflite", change, tmp_path / "a.tflite")
    with pytest.raises(InputError, match="dilation 2x2 to 16x16x16 relu6 stands where the network has DepthwiseConv2D"):
        read_tflite(path, "mobilenet_v2_x0_35")


def without_options(model: Any) -> None:
    found = operator(model, "CONV_2D")
    found.builtinOptions, found.builtinOptionsType = None, 0


def without_inputs(model: Any) -> None:
    operator(model, "CONV_2D").inputs = []


def without_operators(model: Any) -> None:
    model.subgraphs[0].operators = []


def with_a_scalar_output(model: Any) -> None:
    model.subgraphs[0].tensors[model.subgraphs[0].outputs[0]].shape = []


def with_a_padding_that_is_made(model: Any) -> None:
    graph = model.subgraphs[0]
    model.operatorCodes.append(copy.copy(model.operatorCodes[0]))
    model.operatorCodes[-1].builtinCode = model.operatorCodes[-1].deprecatedBuiltinCode = schema.BuiltinOperator.PAD
    found = operator(model, "CONV_2D")
    found.opcodeIndex, found.inputs = len(model.operatorCodes) - 1, [found.inputs[0], graph.inputs[0]]
    found.builtinOptions, found.builtinOptionsType = None, 0


def with_more_classes_than_bytes(model: Any) -> None:
    model.subgraphs[0].tensors[model.subgraphs[0].outputs[0]].shape = [1, 2**31 - 1]


@pytest.mark.parametrize(
    "change",
    [
        without_options,
        without_inputs,
        without_operators,
        with_a_scalar_output,
        with_a_padding_that_is_made,
        with_more_classes_than_bytes,
    ],
    ids=lambda change: change.__name__,
)
def test_a_file_of_another_make_is_refused_in_one_sentence(
    files: Path, change: Callable[[Any], None], tmp_path: Path
) -> None:
    path = edited(files / "float32.tflite", change, tmp_path / "a.tflite")
    with pytest.raises(InputError, match=r"a\.tflite: ") as refused:
        read_tflite(path, "mobilenet_v2_x0_35")
    assert "\n" not in str(refused.value)
