"""From a Keras model to an .onnx file and its card."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
from keras import layers

from keras_cnnzoo import InputError
from keras_cnnzoo.export import Calibration, Card, to_onnx
from keras_cnnzoo.export.answers import answers_of
from keras_cnnzoo.export.cli import app
from keras_cnnzoo.export.corrections import BIAS_IMAGES
from keras_cnnzoo.export.graph import Graph, from_keras
from keras_cnnzoo.export.onnx import conversion
from keras_cnnzoo.export.onnx.check import check_qdq
from keras_cnnzoo.export.onnx.conversion import lower
from keras_cnnzoo.export.onnx.emitter import emit, without_rule
from keras_cnnzoo.export.onnx.options import Layout
from keras_cnnzoo.export.onnx.parity import images_of
from keras_cnnzoo.export.onnx.qdq import plan, quantized
from keras_cnnzoo.export.onnx.ranges import best_reach, ranges_of
from keras_cnnzoo.export.onnx.rules import RULES
from keras_cnnzoo.export.onnx.runtime import OnnxRuntime
from keras_cnnzoo.export.schemes import Correction, Quantization, Scheme
from keras_cnnzoo.export.verify import compare
from keras_cnnzoo.layers import GroupedConv2D

from ..conftest import calibrated

RNG = np.random.default_rng(0)
NOISE = RNG.standard_normal((4, 32, 32, 3)).astype(np.float32)


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
    assert (card.quantization["estimator"], card.quantization["corrections"]) == (
        "percentile",
        ["equalisation", "bias"],
    )


def test_an_int8_file_answers_about_as_well_as_the_model(
    resnet: keras.Model, some_images: np.ndarray, tmp_path: Path
) -> None:
    (expected,) = answers_of(resnet, [some_images])
    found = {}
    for estimator in ("min-max", "mse"):
        path = tmp_path / f"{estimator}.onnx"
        scheme = Quantization("int8", estimator=estimator, corrections=())
        to_onnx(resnet, path, quantize=scheme, calibration=some_images)
        (answers,) = OnnxRuntime(path.read_bytes())(some_images)
        found[estimator] = compare(expected, answers).sqnr_db or 0
    assert found["mse"] > 20
    assert found["mse"] > found["min-max"]


def test_a_quantized_file_runs_as_it_stands_and_a_float_one_as_fast_as_it_may(
    resnet: keras.Model, some_images: np.ndarray, tmp_path: Path
) -> None:
    """ONNX Runtime's fused int8 kernels saturate on AVX2: there they answer otherwise than the file says."""
    whole, small = tmp_path / "float32.onnx", tmp_path / "int8.onnx"
    to_onnx(resnet, whole)
    to_onnx(resnet, small, quantize="int8", calibration=some_images)
    unasked = {path.stem: OnnxRuntime(path.read_bytes())(some_images)[0] for path in (whole, small)}
    for path, exact in ((whole, False), (small, True)):
        (answers,) = OnnxRuntime(path.read_bytes(), exact=exact)(some_images)
        np.testing.assert_array_equal(unasked[path.stem], answers)
    (fused,) = OnnxRuntime(small.read_bytes(), exact=False)(some_images)
    assert (fused != unasked["int8"]).any()


@pytest.mark.parametrize(
    "before",
    [
        layers.Activation("gelu"),  # in opset 17 of operators of its own
        lambda x: layers.Normalization(mean=np.arange(6.0), variance=np.arange(1.0, 7.0))(layers.Rescaling(0.3)(x)),
        layers.BatchNormalization(beta_initializer="ones", gamma_initializer=keras.initializers.Constant(0.3)),
    ],
    ids=["gelu", "normalization", "batch norm"],
)
def test_a_layer_s_own_constants_and_a_scale_of_what_it_answers_do_not_meet(
    before: Callable[..., keras.KerasTensor], some_images: np.ndarray, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(4, 3, padding="same")(before(layers.Conv2D(6, 3, padding="same", activation="relu")(image)))
    model = keras.Model(image, layers.GlobalAveragePooling2D()(x))
    card = to_onnx(model, tmp_path / "a.onnx", quantize="int8", calibration=some_images)
    (expected,), (answers,) = (
        answers_of(model, [some_images]),
        OnnxRuntime((tmp_path / "a.onnx").read_bytes())(some_images),
    )
    assert (compare(expected, answers).sqnr_db or 0) > 25
    assert card.verification is not None
    assert 1e-5 < card.verification["parity"]["largest_difference"] < 0.1  # the file's own, not its float parent's


def test_two_constants_of_one_name_are_refused(resnet: keras.Model) -> None:
    whole = float32(resnet)
    whole.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(7), "image/quantized/scale"))
    with pytest.raises(InputError, match="would name two constants"):
        quantized(whole, dict.fromkeys(plan(whole).tensors, (-1.0, 1.0)))


@pytest.mark.parametrize("scheme", ["int8", "int4"])
def test_a_network_of_nothing_to_quantize_is_refused(tmp_path: Path, scheme: Scheme) -> None:
    image = keras.Input((32, 32, 3))
    with pytest.raises(InputError, match=rf"no Conv or Gemm in it that {scheme} is for; export float32"):
        to_onnx(
            keras.Model(image, layers.MaxPooling2D()(image)), tmp_path / "a.onnx", quantize=scheme, calibration=NOISE
        )
    assert not list(tmp_path.iterdir())


def in_float(model: onnx.ModelProto) -> set[str]:
    """The layers whose kernel is no whole numbers."""
    weighted = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    return {node.name for node in weighted if not node.input[1].endswith("/dequantized")}


def test_kept_layers_have_no_pair_around_them_and_the_card_names_them(
    resnet: keras.Model, some_images: np.ndarray, tmp_path: Path
) -> None:
    scheme = Quantization("int8", keep=("conv1", "layer1_0_*", "linear"), estimator="percentile", corrections=())
    card = to_onnx(resnet, tmp_path / "a.onnx", quantize=scheme, calibration=Calibration(some_images, "noise"))
    model = onnx.load(tmp_path / "a.onnx")
    kept = {"conv1", "layer1_0_conv1", "layer1_0_conv2", "linear"}
    assert in_float(model) == kept
    readers = [node for node in model.graph.node if node.name in {*kept, "layer1_0_add"}]
    assert not any(name.endswith("/dequantized") for node in readers for name in node.input)
    assert check_qdq(model) == []
    assert card.quantization["estimator"] == "percentile"
    assert set(card.quantization["kept"]) == {*kept, "layer1_0_add"}
    assert Card.read(tmp_path / "a.onnx.json") == card


def test_a_network_of_which_all_is_kept_answers_as_in_float(
    resnet: keras.Model, some_images: np.ndarray, tmp_path: Path
) -> None:
    to_onnx(resnet, tmp_path / "a.onnx", quantize=Quantization("int8", keep=("*",)), calibration=some_images)
    (expected,) = answers_of(resnet, [some_images[:8]])
    (answers,) = OnnxRuntime((tmp_path / "a.onnx").read_bytes())(some_images[:8])
    np.testing.assert_allclose(answers, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.fixture(scope="module")
def small(some_images: np.ndarray) -> keras.Model:
    """Every kind of convolution, one of them without a bias, one before a ReLU6, and a dense layer."""
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3), name="image")
    x = layers.Conv2D(8, 3, 2, "same", use_bias=False, activation="relu", name="bare")(image)
    x = layers.DepthwiseConv2D(3, 2, padding="same", depth_multiplier=2, name="depthwise")(x)
    x = layers.ReLU()(GroupedConv2D(16, 3, groups=4, name="grouped")(x))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(16, 1, dilation_rate=2, activation="relu6", name="point")(x))
    return keras.Model(image, layers.Dense(10, name="dense")(x))


@pytest.mark.parametrize(("layout", "opset"), [("NHWC", 17), ("NCHW", 13), ("NHWC", 21)])
def test_int8_answers_alike_in_each_layout_and_opset(
    small: keras.Model, some_images: np.ndarray, tmp_path: Path, layout: Layout, opset: int
) -> None:
    found = []
    for place, version in (("NCHW", 17), (layout, opset)):
        path = tmp_path / f"{place}{version}.onnx"
        to_onnx(small, path, quantize="int8", calibration=some_images, layout=place, opset=version, batch=None)
        found.append(OnnxRuntime(path.read_bytes())(some_images, channels_last=place == "NHWC")[0])
    np.testing.assert_allclose(found[1], found[0], atol=1e-5 * np.abs(found[0]).max())


@pytest.mark.parametrize("scheme", ["int8", "int4"])
def test_auto_mixed_keeps_the_layers_that_cost_most(
    small: keras.Model, some_images: np.ndarray, tmp_path: Path, scheme: Scheme
) -> None:
    (expected,), found = answers_of(small, [some_images]), {}
    for count in (0, 2):
        path = tmp_path / f"{count}.onnx"
        options = Quantization(scheme, auto_mixed=count, corrections=())
        card = to_onnx(small, path, quantize=options, calibration=some_images, batch=None)
        assert set(card.quantization["kept"]) == in_float(onnx.load(path))
        assert len(card.quantization["kept"]) == count
        found[count] = compare(expected, OnnxRuntime(path.read_bytes())(some_images)[0]).sqnr_db or 0
    assert found[2] > found[0] + 0.5


def test_the_images_that_choose_the_layers_are_drawn_from_all(
    small: keras.Model, some_images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def watched(model: onnx.ModelProto, ranges: object, images: np.ndarray, *rest: object) -> tuple[str, ...]:
        seen.append(images)
        return ()

    monkeypatch.setattr("keras_cnnzoo.export.onnx.quantize.PROBES", 4)
    monkeypatch.setattr("keras_cnnzoo.export.onnx.quantize.costly_layers", watched)
    options = Quantization("int8", auto_mixed=1, corrections=())
    to_onnx(small, tmp_path / "a.onnx", quantize=options, calibration=some_images[:8])
    np.testing.assert_array_equal(seen[0], some_images[:8:2])


def test_adaround_of_int4_weights_brings_the_answers_nearer(
    small: keras.Model, some_images: np.ndarray, tmp_path: Path
) -> None:
    (expected,), found = answers_of(small, [some_images[40:]]), []
    chosen: tuple[Correction, ...]
    for chosen in ((), ("adaround",), ("clipping", "bias", "adaround")):
        path = tmp_path / f"{len(chosen)}.onnx"
        options = Quantization("int4", corrections=chosen)
        card = to_onnx(small, path, quantize=options, calibration=some_images[:40], batch=None)
        assert tuple(card.quantization["corrections"]) == chosen
        found.append(compare(expected, OnnxRuntime(path.read_bytes())(some_images[40:])[0]).sqnr_db or 0)
    assert found[1] > found[0] + 3
    assert found[2] > found[0] + 3


def test_bias_correction_gives_each_answer_the_mean_that_it_has_in_float(
    small: keras.Model, some_images: np.ndarray, tmp_path: Path
) -> None:
    images, found = some_images[:BIAS_IMAGES], []  # all of which it looks at
    (expected,) = answers_of(small, [images])
    chosen: tuple[Correction, ...]
    for chosen in ((), ("bias",)):
        path = tmp_path / f"{len(chosen)}.onnx"
        options = Quantization("int8", estimator="mse", corrections=chosen)
        to_onnx(small, path, quantize=options, calibration=images, batch=None)
        (answers,) = OnnxRuntime(path.read_bytes())(images)
        found.append(float(np.abs(answers.mean(0) - expected.mean(0)).max() / np.abs(expected).max()))
    assert found[0] > 1e-4
    assert found[1] < 1e-5


def test_equalisation_serves_channels_of_unequal_size(some_images: np.ndarray, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    x = layers.DepthwiseConv2D(3, strides=2)(layers.Conv2D(8, 3, strides=2, activation="relu6", name="first")(image))
    model = keras.Model(image, layers.GlobalAveragePooling2D()(layers.Conv2D(6, 1)(x)))
    spread = np.geomspace(1e-3, 0.3, 8).astype(np.float32)
    (depthwise,) = (layer for layer in model.layers if isinstance(layer, layers.DepthwiseConv2D))
    model.get_layer("first").set_weights([w * spread for w in model.get_layer("first").get_weights()])
    depthwise.set_weights([depthwise.get_weights()[0] / spread[:, None], depthwise.get_weights()[1]])
    (expected,), found = answers_of(model, [some_images]), []
    chosen: tuple[Correction, ...]
    for chosen in ((), ("equalisation",)):
        path = tmp_path / f"{len(chosen)}.onnx"
        to_onnx(model, path, quantize=Quantization("int8", corrections=chosen), calibration=some_images, batch=None)
        found.append(compare(expected, OnnxRuntime(path.read_bytes())(some_images)[0]).sqnr_db or 0)
    assert found[1] > found[0] + 6


def test_int8_s_own_corrections_bring_the_answers_of_a_network_with_relu6_nearer(
    some_images: np.ndarray, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(0)
    x = image = keras.Input((32, 32, 3))
    for filters in (8, 12, 16):
        x = layers.DepthwiseConv2D(3, strides=2, padding="same")(layers.Conv2D(filters, 1, activation="relu6")(x))
        x = layers.Activation("hard_silu")(layers.BatchNormalization()(x))
    model = keras.Model(image, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))
    calibrated(model, some_images)
    (expected,), found = answers_of(model, [some_images[40:]]), []
    for chosen in ((), None):
        path = tmp_path / f"{chosen}.onnx"
        options = Quantization("int8", corrections=chosen)
        card = to_onnx(model, path, quantize=options, calibration=some_images[:40], batch=None)
        found.append(compare(expected, OnnxRuntime(path.read_bytes())(some_images[40:])[0]).sqnr_db or 0)
    assert card.quantization["corrections"] == ["equalisation", "bias"]
    assert found[1] > found[0] + 0.5


def test_int4_weights_are_an_eighth_and_answer_alike(
    resnet: keras.Model, some_images: np.ndarray, tmp_path: Path
) -> None:
    card = to_onnx(resnet, tmp_path / "a.onnx", quantize="int4")
    assert card.artifact["bytes"] < 250_000
    (expected,) = answers_of(resnet, [some_images])
    (answers,) = OnnxRuntime((tmp_path / "a.onnx").read_bytes())(some_images)
    assert (compare(expected, answers).sqnr_db or 0) > 8


def float32(model: keras.Model, batch: int = 1) -> onnx.ModelProto:
    return emit(lower(from_keras(model)), opset=conversion.OPSET, batch=batch)


def test_a_scale_reaches_to_the_farther_end_of_its_range(resnet: keras.Model) -> None:
    whole = float32(resnet)
    constants = initializers(quantized(whole, dict.fromkeys(plan(whole).tensors, (-1.27, 0.5))))
    np.testing.assert_allclose(onnx.numpy_helper.to_array(constants["image/quantized/scale"]), 0.01)
    with pytest.raises(KeyError):
        quantized(whole, {})


def test_min_max_ranges_are_those_of_the_data(resnet: keras.Model, some_images: np.ndarray) -> None:
    found = ranges_of(float32(resnet), ["image"], Calibration(some_images, "noise"), "min-max")
    assert found == {"image": (float(some_images.min()), float(some_images.max()))}


def test_the_reach_is_whole_for_a_flat_histogram_and_clipped_for_a_long_tail() -> None:
    flat, tail = np.ones(2048, int), np.zeros(2048, int)
    tail[:400], tail[-1] = 100_000, 1
    assert best_reach(flat) == 1.0
    assert best_reach(tail) < 0.5


def test_a_layer_without_a_rule_goes_by_tf2onnx_and_the_card_says_so(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    x = keras.ops.sin(layers.Conv2D(4, 3, activation="relu")(image))
    model = keras.Model(image, x, name="odd")
    card = to_onnx(model, tmp_path / "a.onnx")
    assert (card.conversion["by"], card.conversion["reason"]) == ("tf2onnx", "no rule for keras.src.ops.numpy.Sin")
    assert card.inputs[0]["shape"] == [1, 3, 8, 8]
    with pytest.raises(InputError, match="opset 18"):
        to_onnx(model, tmp_path / "b.onnx", opset=21)
    images = RNG.random((4, 8, 8, 3), np.float32)
    with pytest.raises(InputError, match="need rules of ours for every layer"):
        to_onnx(model, tmp_path / "c.onnx", quantize=Quantization("int8", corrections=("bias",)), calibration=images)
    card = to_onnx(model, tmp_path / "d.onnx", quantize="int8", calibration=images)
    assert card.operators["QuantizeLinear"] == 1
    assert card.quantization["corrections"] == []  # not even those that are int8's own


def test_int8_of_tf2onnx_s_file_shares_a_kernel_and_keeps_tensorrt_s_rules(
    some_images: np.ndarray, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    conv = layers.Conv2D(3, 3, padding="same")
    x = layers.GlobalAveragePooling2D()(conv(keras.ops.sin(conv(image))))
    dense = layers.Dense(5, bias_initializer="ones")  # of a fixed batch a Gemm, whose kernel stands the other way
    model = keras.Model(image, dense(x))
    card = to_onnx(model, tmp_path / "a.onnx", quantize="int8", calibration=some_images)
    assert card.conversion["by"] == "tf2onnx"
    assert check_qdq(onnx.load(tmp_path / "a.onnx")) == []
    assert card.operators["Gemm"] == 1
    assert card.operators["DequantizeLinear"] == 5  # three inputs, two kernels
    (expected,), (answers,) = (
        answers_of(model, [some_images]),
        OnnxRuntime((tmp_path / "a.onnx").read_bytes())(some_images),
    )
    assert (compare(expected, answers).sqnr_db or 0) > 25


def test_a_file_that_answers_otherwise_is_not_written(
    resnet: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES, "Add", lambda call: call.last("Sub", list(call.inputs)))
    with pytest.raises(InputError, match=r"away from Keras.*; nothing is written: give calibration images"):
        to_onnx(resnet, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def two_inputs(first_width: int = 4, second_width: int = 4) -> keras.Model:
    """Whose graph Keras walks in the other order: it lists what is as deep backwards."""
    keras.utils.set_random_seed(0)
    first, second = keras.Input((4, first_width, 2), name="first"), keras.Input((4, second_width, 2), name="second")
    parts = [layers.GlobalAveragePooling2D()(layers.Conv2D(2, 1)(x)) for x in (first, second)]
    return keras.Model([first, second], layers.Dense(3)(layers.Concatenate()(parts)), name="two")


@pytest.mark.parametrize("widths", [(4, 4), (4, 6)])
def test_several_inputs_keep_their_order(tmp_path: Path, widths: tuple[int, int]) -> None:
    model = two_inputs(*widths)
    card = to_onnx(model, tmp_path / "a.onnx", batch=4)
    assert [given["name"] for given in card.inputs] == ["first", "second"]
    images = [RNG.standard_normal((4, 4, width, 2)).astype(np.float32) for width in widths]
    (answers,) = OnnxRuntime((tmp_path / "a.onnx").read_bytes())(*images)
    np.testing.assert_allclose(answers, answers_of(model, images)[0], atol=1e-5)
    with pytest.raises(InputError, match="has 2 inputs, and calibration images serve one"):
        to_onnx(model, tmp_path / "b.onnx", quantize="int8", calibration=images[0])


def test_a_network_of_mixed_precision_is_compared_in_float32(tmp_path: Path) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        image = keras.Input((6, 6, 3))
        model = keras.Model(image, layers.Dense(4, dtype="float32")(layers.Flatten()(layers.Conv2D(4, 3)(image))))
    finally:
        keras.config.set_dtype_policy("float32")
    card = to_onnx(model, tmp_path / "a.onnx")
    assert card.verification is not None
    assert card.verification["parity"]["largest_difference"] <= 1e-5


def test_inputs_of_another_shape_are_refused_in_a_sentence(tmp_path: Path) -> None:
    to_onnx(two_inputs(), tmp_path / "a.onnx")
    with pytest.raises(InputError, match="ONNX Runtime cannot run the file"):
        OnnxRuntime((tmp_path / "a.onnx").read_bytes())(*[np.zeros((1, 3, 3, 2), np.float32)] * 2)


def test_a_sequential_model_is_exported(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten()])
    assert to_onnx(model, tmp_path / "a.onnx").conversion["by"] == "emitter"


def test_outputs_that_would_coincide_are_two_and_one_twice_is_refused(tmp_path: Path) -> None:
    image = keras.Input((4, 4, 2))
    x = layers.Conv2D(2, 1, name="conv")(image)
    card = to_onnx(keras.Model(image, [x, layers.Dropout(0.5, name="dropped")(x)]), tmp_path / "a.onnx")
    assert [output["name"] for output in card.outputs] == ["conv", "dropped"]
    with pytest.raises(InputError, match="returns one tensor twice"):
        to_onnx(keras.Model(image, [x, x]), tmp_path / "b.onnx")


def test_a_pass_that_raises_is_left_out_and_stands_in_the_card(
    resnet: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raising(graph: Graph, declined: object) -> Graph:
        raise KeyError("oops")

    faulty = [replace(each, run=raising) if each.name == "recognise-shuffle" else each for each in conversion.PASSES]
    monkeypatch.setattr(conversion, "PASSES", faulty)
    card = to_onnx(resnet, tmp_path / "a.onnx")
    assert card.conversion["refused"] == [
        {"pass": "recognise-shuffle", "outcome": "undone", "fault": "KeyError: 'oops'"}
    ]
    assert "fold-batch-norm" in card.conversion["lowering"]


@pytest.mark.parametrize("scheme", ["float32", "float16", "int8"])
def test_parity_is_asked_of_the_images_given_however_few(resnet: keras.Model, tmp_path: Path, scheme: str) -> None:
    asked: list[np.ndarray] = []

    class Watching(OnnxRuntime):
        def __call__(self, *inputs: np.ndarray, channels_last: bool = False) -> list[np.ndarray]:
            asked.append(inputs[0])
            return super().__call__(*inputs, channels_last=channels_last)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "OnnxRuntime", Watching)
        card = to_onnx(resnet, tmp_path / "a.onnx", quantize=scheme, calibration=NOISE[:3], batch=2)
    np.testing.assert_array_equal(asked[0], NOISE[[0, 1, 2, 0]])
    assert (card.quantization["calibration"] is not None) == (scheme == "int8")


def test_the_command_line_hands_calibration_on_to_a_float_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Calibration | None] = []

    def watching(shapes: list[tuple[int, ...]], count: int, data: Calibration | None) -> list[np.ndarray]:
        given.append(data)
        return images_of(shapes, count, data)

    monkeypatch.setattr(conversion, "images_of", watching)
    options = ["--to", "onnx", "--calibration", "random:4", "-q", "--json", "-o", str(tmp_path)]
    app(["resnet20", "--weights", "random", *options], standalone_mode=False)
    assert [None if data is None else len(data) for data in given] == [4]


def test_one_batch_is_compared_where_that_is_many(resnet: keras.Model, tmp_path: Path) -> None:
    card = to_onnx(resnet, tmp_path / "a.onnx", batch=8)
    assert card.verification is not None
    assert card.verification["parity"]["images"] == 8


def test_calibration_that_fills_no_batch_of_a_fixed_file_is_refused() -> None:
    image = keras.Input((4, 4, 3), name="image")
    model = float32(keras.Model(image, layers.Conv2D(2, 1)(image)), batch=8)
    with pytest.raises(InputError, match="4 calibration images fill no batch of 8"):
        ranges_of(model, ["image"], Calibration(NOISE[:, :4, :4], "noise"))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: layers.Conv2D(4, 1, activation=doubled)(x),
        lambda x: layers.Dense(4, activation=doubled)(x),
        lambda x: layers.DepthwiseConv2D(3, activation=doubled)(x),
        lambda x: layers.Conv2DTranspose(4, 3, activation=doubled)(x),
        lambda x: layers.Activation(doubled)(x),
        lambda x: 1.0 / (x * x + 1.0),
        lambda x: x / np.arange(1.0, 17.0, dtype=np.float32).reshape(1, 4, 4, 1),
        lambda x: layers.Normalization(axis=1, mean=np.arange(4.0), variance=np.ones(4))(x),
        lambda x: layers.Normalization(axis=(1, 2), mean=np.zeros((4, 4)), variance=np.ones((4, 4)))(x),
        lambda x: layers.Rescaling(np.arange(1.0, 17.0).reshape(4, 4, 1))(x),
        lambda x: layers.Concatenate(axis=0)([x, x]),
    ],
)
def test_what_our_rules_cannot_say_is_no_rule_s(function: Callable[[keras.KerasTensor], keras.KerasTensor]) -> None:
    image = keras.Input((4, 4, 3))
    assert without_rule(lower(from_keras(keras.Model(image, function(image)))))


def doubled(x: keras.KerasTensor) -> keras.KerasTensor:
    return 2 * x


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"quantize": "int8"}, "int8 needs calibration images"),
        ({"quantize": "int2"}, "choose one of float32, float16"),
        ({"quantize": "int16"}, "choose one of float32, float16, int8, int4"),
        ({"quantize": Quantization("int8", per_tensor=True), "calibration": NOISE}, "per_tensor is for .tflite files"),
        ({"quantize": Quantization("int8", keep_in="int16"), "calibration": NOISE}, "keeps layers in float32"),
        ({"quantize": Quantization("int8", keep=("nobody",)), "calibration": NOISE}, "no layer is named so"),
        ({"quantize": Quantization("int4", corrections=("bias",))}, "look at calibration images"),
        ({"opset": 12}, "choose one of 13"),
        ({"opset": 0}, "opset=0: choose one of 13"),
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
