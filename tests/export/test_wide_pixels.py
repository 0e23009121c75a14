"""A stem that reads pixels in blocks answers as before, to the bit in int8, and is left where rows do not fall so."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnnzoo.export.calibration import Calibration
from keras_cnnzoo.export.graph import Graph, from_keras
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.lowering import lower
from keras_cnnzoo.export.lowering.passes import CANONICAL, PASSES, choose
from keras_cnnzoo.export.lowering.wide_pixels import wide_pixels
from keras_cnnzoo.export.rebuild import to_keras
from keras_cnnzoo.export.tflite import emitted


def stem(
    kernel: int,
    stride: int,
    pads: Any,
    shape: tuple[int, int, int] = (17, 24, 3),
    activation: str = "linear",
    filters: int = 5,
) -> keras.Model:
    """A convolution over an image; `pads` is "same", "valid", or what is padded before a "valid" one."""
    keras.utils.set_random_seed(kernel)
    image = keras.Input(shape, name="image")
    named = isinstance(pads, str)
    x = image if named else layers.ZeroPadding2D(pads)(image)
    x = layers.Conv2D(filters, kernel, stride, pads if named else "valid", bias_initializer="normal", name="stem")(x)
    x = layers.ReLU(name="relu")(x) if activation == "relu" else x
    return keras.Model(image, layers.Conv2D(3, 1, name="after")(x))


def images_of(model: keras.Model, count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, *model.input_shape[1:]), np.float32)


def operations(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes.values()]


def assert_same(model: keras.Model, graph: Graph) -> None:
    images = images_of(model)
    expected, answers = np.asarray(model(images)), np.asarray(to_keras(graph)(images))
    assert np.abs(expected - answers).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("pads", ["same", "valid", 1, 3, ((0, 1), (0, 1)), ((1, 2), (2, 1)), ((0, 0), (5, 0))], ids=str)
@pytest.mark.parametrize(("kernel", "stride"), [(1, 2), (2, 2), (3, 2), (5, 2), (7, 2), (11, 4), (6, 3), (3, 5)])
def test_answers_stay_or_the_stem_does(kernel: int, stride: int, pads: Any, channels: int) -> None:
    left = dict[str, str]()
    model = stem(kernel, stride, pads, (17, 25 if stride == 5 else 24, channels), "relu")
    graph = from_keras(model)
    after = wide_pixels(graph, left.__setitem__)
    assert (after == graph) == bool(left)
    if not left:
        assert operations(after)[:2] == ["InputLayer", "Reshape"]
        assert after.nodes["stem"].config["strides"] == (stride, 1)
    assert_same(model, after)


def test_a_stem_of_stride_2_reads_four_pixels_at_a_time_and_the_relu_still_fuses() -> None:
    model = stem(3, 2, ((0, 1), (0, 1)), (16, 24, 3), "relu")
    after = wide_pixels(lower(from_keras(model), CANONICAL))
    assert operations(after) == ["InputLayer", "Reshape", "Conv2D", "Activation", "Reshape", "Conv2D"]
    assert after.nodes["stem"].weights[0].shape == (3, 2, 12, 10)
    assert after.nodes["stem"].config["padding"] == "same"
    assert_same(model, after)


@pytest.mark.parametrize(
    ("pads", "width", "reason"),
    [
        ("same", 22, "rows of 22 pixels, 11 outputs"),
        ("valid", 24, "rows of 24 pixels, 11 outputs"),
        (((0, 0), (0, 9)), 24, ""),
    ],
)
def test_rows_that_are_no_blocks_are_left_and_said(pads: Any, width: int, reason: str) -> None:
    left = dict[str, str]()
    graph = from_keras(stem(3, 2, pads, (16, width, 3)))
    after = wide_pixels(graph, left.__setitem__)
    assert (after == graph) == bool(reason)
    assert reason in left.get("stem", "")


@pytest.mark.parametrize(("stride", "channels"), [(1, 3), (2, 5)])
def test_what_fills_a_vector_or_has_no_stride_is_not_looked_at(stride: int, channels: int) -> None:
    graph, left = from_keras(stem(3, stride, "same", (16, 24, channels))), dict[str, str]()
    assert wide_pixels(graph, left.__setitem__) == graph
    assert not left


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_int8_answers_are_the_same_bits_where_kernels_are_rounded_to_nearest(activation: str) -> None:
    model = stem(3, 2, 1, (32, 32, 3), activation, filters=8)
    images, graph = images_of(model, 20), lower(from_keras(model), CANONICAL)
    wide = wide_pixels(graph)
    assert wide != graph
    files = [LiteRT(emitted(each, "int8", Calibration(images, "noise"), learned={})) for each in (graph, wide)]
    answers = [file(images)[0] for file in files]
    assert np.ptp(answers[0]) > 0
    np.testing.assert_array_equal(*answers)


def test_auto_takes_it_for_a_machine_on_which_it_was_measured_alone() -> None:
    assert "wide-pixels" not in {p.name for p in choose("auto", "int8")}
    assert "wide-pixels" in {p.name for p in choose("auto", "int8", "x86_64 AMX")}
    assert "wide-pixels" in {p.name for p in PASSES}
