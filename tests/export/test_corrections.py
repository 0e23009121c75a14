"""Equalisation keeps the function; bias correction and AdaRound bring the answers nearer to float."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnnzoo.export.calibration import Calibration, Ranges, min_max
from keras_cnnzoo.export.contents import parse
from keras_cnnzoo.export.corrections import Means, biases, choose_kernels, equalise, peaks, sequence
from keras_cnnzoo.export.corrections.equalisation import pairs
from keras_cnnzoo.export.corrections.moments import Moments, moments
from keras_cnnzoo.export.corrections.rounding import Objective, adaround, best_scale
from keras_cnnzoo.export.corrections.sequence import window_of
from keras_cnnzoo.export.emit import emit
from keras_cnnzoo.export.graph import Graph, from_keras
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.kernels import float_kernels, integer_kernel, largest_scale, nearest, with_kernel
from keras_cnnzoo.export.layerwise import Layerwise
from keras_cnnzoo.export.lowering import lower
from keras_cnnzoo.export.lowering.passes import PASSES
from keras_cnnzoo.export.pipeline import in_scheme
from keras_cnnzoo.export.quantize import quantize
from keras_cnnzoo.export.schemes import Correction, Quantization
from keras_cnnzoo.export.tflite import silent
from keras_cnnzoo.export.verify import compare


def sqnr(expected: np.ndarray, answers: np.ndarray) -> float:
    return compare(expected, answers).sqnr_db or np.inf


@pytest.fixture(scope="module")
def uneven(some_images: np.ndarray) -> keras.Model:
    """Convolution, depthwise and pointwise with channels that differ a hundredfold, ReLU and ReLU6 between them."""
    keras.utils.set_random_seed(3)
    image = keras.Input((32, 32, 3), name="image")
    x = layers.Conv2D(16, 3, strides=2, padding="same", name="first")(image)
    x = layers.ReLU(6.0, name="cap")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.Conv2D(24, 1, name="pointwise")(x)
    x = layers.MaxPooling2D()(layers.ReLU()(x))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(16, 3, groups=2, activation="relu", name="grouped")(x))
    model = keras.Model(image, layers.Dense(10, name="dense")(x))
    rng = np.random.default_rng(0)
    for name in ("first", "depthwise", "pointwise", "grouped"):
        kernel, bias = model.get_layer(name).get_weights()
        factor = 10.0 ** rng.uniform(-1, 1, bias.shape)
        shaped = factor[:, None] if name == "depthwise" else factor
        model.get_layer(name).set_weights([kernel * shaped, 0.05 * factor * rng.standard_normal(bias.shape)])
    return model


@pytest.fixture(scope="module")
def graph(uneven: keras.Model) -> Graph:
    return lower(from_keras(uneven))


@pytest.fixture(scope="module")
def data(some_images: np.ndarray) -> Calibration:
    return Calibration(some_images, "test")


@pytest.fixture(scope="module")
def ranges(graph: Graph, data: Calibration) -> Ranges:
    return min_max(graph, data)


def test_a_layer_of_too_many_inputs_for_second_moments_gets_the_bias_alone(
    graph: Graph, ranges: Ranges, data: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequence, "LARGEST", 20)  # the grouped convolution has 108
    whole = emit(graph)
    found = choose_kernels(whole, ranges, data.inputs[:8], Quantization("int4"))
    plain = {name: nearest(rows, largest_scale(rows, 4, False), 4) for name, (rows, _) in float_kernels(whole).items()}
    assert (found["pointwise"].integers != plain["pointwise"]).any()
    assert (found["grouped"].integers == plain["grouped"]).all()
    _, bias = float_kernels(whole)["grouped"]
    assert not np.allclose(found["grouped"].bias, bias)


def test_the_pairs_are_the_convolutions_with_relu_pools_and_nothing_else_between(graph: Graph) -> None:
    assert [(pair.first, pair.second, pair.capped) for pair in pairs(graph)] == [
        ("first", "depthwise", "cap"),
        ("depthwise", "pointwise", None),
        ("pointwise", "grouped", None),
        ("grouped", "dense", None),
    ]


def test_equalisation_keeps_the_function_and_evens_the_channels(graph: Graph, data: Calibration) -> None:
    even = equalise(graph, peaks(graph, data))
    before, after = (LiteRT(emit(g, batch=20))(data.inputs)[0] for g in (graph, even))
    assert np.ptp(before, axis=0).max() > 0.1 * np.abs(before).max()
    assert np.abs(before - after).max() <= 1e-5 * np.abs(before).max()

    def spread(g: Graph) -> float:
        largest = np.abs(g.nodes["depthwise"].weights[0]).max(axis=(0, 1, 3))
        return float(largest.max() / largest.min())

    assert spread(even) < 0.3 * spread(graph)


def test_a_wrong_factor_is_seen(graph: Graph, data: Calibration) -> None:
    even = equalise(graph, peaks(graph, data))
    kernel, bias = even.nodes["depthwise"].weights
    broken = even.update(replace(even.nodes["depthwise"], weights=(np.roll(kernel, 1, axis=2), bias)))
    before, after = (LiteRT(emit(g, batch=20))(data.inputs)[0] for g in (graph, broken))
    assert np.abs(before - after).max() > 1e-2 * np.abs(before).max()


def test_channels_behind_a_relu6_stay_where_its_peak_is_not_known(graph: Graph) -> None:
    assert np.array_equal(equalise(graph).nodes["first"].weights[0], graph.nodes["first"].weights[0])


def test_a_channel_that_reaches_six_keeps_its_size(graph: Graph) -> None:
    seen = np.full(16, 1.0)
    seen[3] = 6.0
    even = equalise(graph, {"cap": seen})
    before, after = (g.nodes["first"].weights[0] for g in (graph, even))
    assert np.array_equal(before[..., 3], after[..., 3])
    assert not np.allclose(before[..., 4], after[..., 4])


def test_per_tensor_int8_lives_by_equalisation(graph: Graph, data: Calibration, ranges: Ranges) -> None:
    options = Quantization("int8", per_tensor=True)
    even = equalise(graph, peaks(graph, data))
    expected = LiteRT(emit(graph))(data.inputs)[0]
    plain = sqnr(expected, LiteRT(quantize(emit(graph), options, ranges))(data.inputs)[0])
    mended = sqnr(expected, LiteRT(quantize(emit(even), options, min_max(even, data)))(data.inputs)[0])
    assert mended > plain + 3


@pytest.mark.parametrize(
    ("corrections", "gain"), [(("bias",), 0.5), (("adaround",), 1.0), (("clipping", "bias", "adaround"), 3.0)]
)
def test_each_correction_of_int4_brings_the_answers_nearer(
    graph: Graph, data: Calibration, ranges: Ranges, corrections: tuple[Correction, ...], gain: float
) -> None:
    whole = emit(graph)
    expected = LiteRT(whole)(data.inputs)[0]
    options = Quantization("int4", corrections=corrections)
    plain = quantize(whole, options, ranges)
    mended = quantize(whole, options, ranges, kernels=choose_kernels(whole, ranges, data.inputs, options))
    assert sqnr(expected, LiteRT(mended)(data.inputs)[0]) > sqnr(expected, LiteRT(plain)(data.inputs)[0]) + gain


def test_without_corrections_the_kernels_are_the_nearest(graph: Graph, data: Calibration, ranges: Ranges) -> None:
    whole = emit(graph)
    options = Quantization("int4", corrections=())
    plain = quantize(whole, options, ranges)
    same = quantize(whole, options, ranges, kernels=choose_kernels(whole, ranges, data.inputs[:2], options))
    answers = [LiteRT(content)(data.inputs)[0] for content in (plain, same)]
    assert np.array_equal(*answers)


def test_int8_s_own_bias_correction_keeps_the_kernels_and_brings_the_answers_nearer(
    graph: Graph, data: Calibration
) -> None:
    plain, mended = (
        in_scheme(graph, Quantization("int8", corrections=mends), data, 1, silent)[0] for mends in ((), None)
    )
    expected = LiteRT(emit(graph))(data.inputs)[0]
    before, after = (LiteRT(content)(data.inputs)[0] for content in (plain, mended))
    assert sqnr(expected, after) > sqnr(expected, before) + 2
    assert np.abs((after - expected).mean(0)).max() < 0.5 * np.abs((before - expected).mean(0)).max()
    one, other = (
        [integer_kernel(model, operator, kind) for _, kind, operator in with_kernel(model)]
        for model in map(parse, (plain, mended))
    )
    assert all(np.array_equal(a, b) for pair in zip(one, other, strict=True) for a, b in zip(*pair, strict=True))


def test_the_same_biases_are_written_for_any_batch(graph: Graph, data: Calibration) -> None:
    answers = [LiteRT(in_scheme(graph, Quantization("int8"), data, n, silent)[0])(data.inputs)[0] for n in (1, 4)]
    assert np.array_equal(*answers)


@pytest.mark.parametrize(
    ("limits", "outputs", "mean", "missing"),
    [
        (biases.EVERYWHERE, [0, 2, 4, 6], 3.5, 0.5),
        ((0.0, np.inf), [0, 0, 4, 6], 3.0, 1.0),  # half of it moves with the bias
        ((0.0, np.inf), [-9, -3, 4, 6], 3.0, 1.0),  # the activation stands apart
        ((0.0, 6.0), [0, 9, 6, 4], 4.25, 1.0),
        ((0.0, np.inf), [0] * 99 + [4], 2.0, 0.0),  # too few of it
    ],
)
def test_a_bias_grows_by_what_the_mean_misses_over_what_moves(
    limits: tuple[float, float], outputs: list[int], mean: float, missing: float
) -> None:
    rows = np.array(outputs)[:, None]
    assert biases.missing(np.array([mean]), limits, rows) == pytest.approx([missing])
    detail = {"dtype": np.dtype(np.int8), "quantization": (0.5, -3)}
    found = biases._missing_of_integers(np.array([mean]), limits, (2 * rows - 3).astype(np.int8), detail)
    assert found == pytest.approx([missing])


def test_a_fused_relu_moves_with_the_bias_only_above_the_lowest_integer() -> None:
    detail = {"dtype": np.dtype(np.int8), "quantization": (1.0, -128)}
    outputs = np.array([-128, -128, -124, -122], np.int8)[:, None]
    assert biases._missing_of_integers(np.array([3.0]), biases.EVERYWHERE, outputs, detail) == pytest.approx([1.0])


def test_means_are_of_images_at_equal_distances_and_of_what_an_activation_sees(
    graph: Graph, data: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(biases, "BIAS_IMAGES", 5)
    means = Means(graph, len(data))
    assert len(means.places) == 5
    assert set(np.diff(means.places)) == {len(data) // 5}
    values = np.random.default_rng(0).standard_normal((len(data), 3, 3, 2)).astype(np.float32)
    for name in ("first", "dense"):
        for start in range(0, len(data), 3):
            means.see(name, values[start : start + 3])
    chosen = values[means.places]
    assert np.allclose(means.of("dense"), chosen.mean((0, 1, 2)), atol=1e-6)
    assert np.allclose(means.of("first"), chosen.clip(0, 6).mean((0, 1, 2)), atol=1e-6)


@pytest.mark.parametrize(
    ("activation", "limits"),
    [("relu", (0, np.inf)), ("hard_silu", (0, np.inf)), ("silu", (0, np.inf)), ("hard_sigmoid", (-3, 3))],
)
def test_what_an_activation_reads_is_looked_at_where_it_is_steep(activation: str, limits: tuple[float, float]) -> None:
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="alone")(image)
    x = layers.Activation(activation)(x)
    y = layers.Conv2D(4, 1, name="shared")(x)
    model = keras.Model(image, layers.Add()([layers.Activation(activation)(y), layers.ReLU()(y)]))
    for g in (lower(from_keras(model)), lower(from_keras(model), PASSES)):
        means = Means(g, 1)
        assert means.limits("alone") == limits
        assert means.limits("shared") == biases.EVERYWHERE


def test_layer_by_layer_the_file_answers_as_in_one(graph: Graph, data: Calibration, ranges: Ranges) -> None:
    content = quantize(emit(graph), "int8", ranges)
    file, steps = LiteRT(content), Layerwise(content)
    scale, zero_point = file.input["quantization"]
    values = {"image": np.clip(np.round(data.inputs / scale) + zero_point, -128, 127).astype(np.int8)}
    for step in steps.steps:
        values |= steps.run(step, values)
    scale, zero_point = file.outputs[0]["quantization"]
    assert np.allclose(file(data.inputs)[0], (values["dense"] - float(zero_point)) * scale, atol=1e-6)


def test_moments_are_those_of_the_patches_that_a_convolution_reads(graph: Graph, data: Calibration) -> None:
    """The mean output of a convolution follows from the mean patch, whatever stride and padding."""
    whole = Layerwise(emit(graph))
    values = {"image": data.inputs}
    for step in whole.steps[:4]:
        before, values = values, values | whole.run(step, values)
        if step.kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            kernel = whole.tensor(step.operator.inputs[1])
            x = before[step.inputs[0]]
            seen = moments(window_of(step, tuple(kernel.shape), x.shape), x, x)
            node = graph.nodes[step.name]
            rows = np.moveaxis(node.weights[0].reshape(*node.weights[0].shape[:2], -1, node.shape[-1]), 3, 0)
            rows = rows.reshape(node.shape[-1], -1)
            step.operator.builtinOptions.fusedActivationFunction = 0
            outputs = whole.run(step, before)[step.name].reshape(-1, node.shape[-1]).mean(0)
            means = np.einsum("goi,gi->go", rows.reshape(len(seen.mean), -1, rows.shape[1]), seen.mean).reshape(-1)
            assert np.allclose(means + node.weights[1], outputs, atol=1e-4)


@pytest.mark.parametrize("per_tensor", [False, True])
def test_adaround_errs_less_than_nearest_and_never_more_in_any_channel(per_tensor: bool) -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((8, 20)).astype(np.float32)
    mixing = rng.standard_normal((20, 20))
    square = (mixing @ mixing.T / 20)[None]
    objective = Objective.of(rows, Moments(np.zeros((1, 20)), np.zeros((1, 20)), square, square))
    scale = largest_scale(rows, 4, per_tensor)
    exact = objective.error(rows)
    plain = objective.error(nearest(rows, scale, 4) * scale[:, None]) - exact
    integers = adaround(rows, scale, objective, 4)
    mended = objective.error(integers * scale[:, None]) - exact
    assert (mended <= plain + 1e-5).all()
    assert mended.sum() < 0.5 * plain.sum()
    assert np.abs(integers - rows / scale[:, None]).max() <= 1.001


def test_the_best_scale_clips_one_outlier_at_four_bits() -> None:
    rng = np.random.default_rng(0)
    rows = rng.uniform(-1, 1, (1, 200)).astype(np.float32)
    rows[0, 0] = 1.6
    objective = Objective.of(rows, Moments(np.zeros((1, 200)), np.zeros((1, 200)), *[np.eye(200)[None]] * 2))
    assert 0.9 / 7 < best_scale(rows, objective, 4, False)[0] < 1.5 / 7
