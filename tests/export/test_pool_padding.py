"""A max pool that pads itself answers as before, and is left alone where it would not."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnnzoo.export.graph import Graph, from_keras
from keras_cnnzoo.export.lowering import lower
from keras_cnnzoo.export.lowering.passes import CANONICAL
from keras_cnnzoo.export.lowering.pool_padding import pool_padding
from keras_cnnzoo.export.rebuild import to_keras

Behind = Callable[[Any], Any]


def network(
    side: int = 16, pads: Any = 1, pool: tuple[int, int] = (3, 2), behind: Behind | None = None, **conv: Any
) -> keras.Model:
    """Convolution, ReLU, padding, max pool, and what comes behind."""
    keras.utils.set_random_seed(0)
    image = keras.Input((side, side + 4, 3), name="image")
    options = {"kernel_size": 3, "strides": 1, "padding": "same", "bias_initializer": "normal"} | conv
    x = layers.ReLU(name="relu")(layers.Conv2D(6, name="stem", **options)(image))
    x = layers.MaxPooling2D(*pool, name="pool")(layers.ZeroPadding2D(pads, name="pad")(x))
    return keras.Model(image, layers.Conv2D(4, 1, name="last")(behind(x) if behind else x))


def padded(stride: int, pads: Any = 1, name: str = "next") -> Behind:
    """A padding and a convolution of 3x3."""
    return lambda x: layers.Conv2D(5, 3, stride, name=name)(layers.ZeroPadding2D(pads, name=f"{name}_pad")(x))


def assert_same(model: keras.Model, graph: Graph) -> None:
    images = np.random.default_rng(0).standard_normal((2, *model.input_shape[1:]), np.float32)
    for expected, answers in zip(*(keras.tree.flatten(m(images)) for m in (model, to_keras(graph))), strict=True):
        assert np.abs(np.asarray(expected) - np.asarray(answers)).max() <= 1e-5 * np.abs(np.asarray(expected)).max()
    rebuilt = {layer.name: tuple(layer.output.shape[1:]) for layer in to_keras(graph).layers}
    assert {node.name.replace("/", "_"): node.shape for node in graph.nodes.values()} == rebuilt


def lowered(model: keras.Model) -> tuple[Graph, dict[str, str]]:
    left: dict[str, str] = {}
    return pool_padding(lower(from_keras(model), CANONICAL), left.__setitem__), left


def operations(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes.values()]


@pytest.mark.parametrize(
    "pads", [1, ((0, 1), (0, 1)), ((1, 0), (1, 0)), ((1, 2), (1, 1)), 2, ((0, 1), (1, 0))], ids=str
)
@pytest.mark.parametrize("pool", [(2, 2), (3, 1), (3, 2), (3, 3), (5, 2)], ids=str)
@pytest.mark.parametrize("side", [15, 16, 17, 18])
def test_answers_stay_or_the_padding_does(side: int, pool: tuple[int, int], pads: Any) -> None:
    model = network(side, pads, pool)
    graph, left = lowered(model)
    assert ("ZeroPadding2D" in operations(graph)) <= (bool(left) or "stem/around" in graph.nodes)
    assert_same(model, graph)


@pytest.mark.parametrize(
    "conv",
    [
        {"strides": 2},
        {"strides": 2, "kernel_size": 5},
        {"padding": "valid"},
        {"strides": 3, "padding": "valid", "kernel_size": 4},
        {"kernel_size": 1},
        {"dilation_rate": 2},
        {"groups": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("side", [29, 30, 31, 32])
def test_any_convolution_makes_a_row_and_a_column_more(side: int, conv: dict[str, Any]) -> None:
    model = network(side, **conv)
    graph, left = lowered(model)
    assert left == {}
    assert graph.producer(graph.nodes["pool"].inputs[0]).op != "ZeroPadding2D"
    assert_same(model, graph)


def test_of_an_odd_map_the_pool_alone_changes() -> None:
    graph, _ = lowered(network(17))
    assert operations(graph) == ["InputLayer", "Conv2D", "Activation", "MaxPooling2D", "Conv2D"]
    assert graph.nodes["stem"].shape == (17, 21, 6)


def test_of_an_even_map_the_convolution_makes_one_row_more_and_the_pool_s_last_is_cropped() -> None:
    graph, _ = lowered(network(16))
    assert graph.nodes["stem"].shape == (17, 21, 6)
    assert graph.nodes["pool/whole"].shape == (9, 11, 6)
    assert graph.nodes["pool"].op == "Cropping2D"
    assert graph.nodes["pool"].shape == (8, 10, 6)


def two_ways(one: Behind, other: Behind) -> Behind:
    return lambda x: layers.Concatenate()([one(x), other(x)])


def through_pointwise(behind: Behind) -> Behind:
    return lambda x: behind(layers.ReLU(name="clamp")(layers.Conv2D(7, 1, name="pointwise")(x)))


LEFT_OUT: dict[str, Behind] = {
    "stride 2": padded(2),
    "1x1, then stride 2": through_pointwise(padded(2)),
    "two ways": two_ways(padded(2), through_pointwise(padded(2, name="other"))),
    "2x2 of stride 2": lambda x: layers.Conv2D(5, 2, 2, "valid")(x),
    "normalised, two ways": lambda x: two_ways(padded(2), padded(2, name="other"))(layers.BatchNormalization()(x)),
}
CROPPED: dict[str, Behind] = {
    "1x1 of stride 2": lambda x: layers.Conv2D(5, 1, 2, "valid")(x),
    "stride 1": padded(1),
    "padded below alone": padded(2, ((0, 1), (0, 1))),
    "1x1, then stride 1": through_pointwise(padded(1)),
    "one way of two": two_ways(padded(2), lambda x: layers.Conv2D(5, 3, 2, "same")(x)),
    "reshape": lambda x: layers.Reshape((4, 20, 6))(x),
}


@pytest.mark.parametrize("behind", LEFT_OUT | CROPPED)
def test_the_crop_goes_where_all_its_readers_leave_the_last_row_out(behind: str) -> None:
    model = network(16, behind=(LEFT_OUT | CROPPED)[behind])
    graph, left = lowered(model)
    assert left == {}
    assert ("Cropping2D" in operations(graph)) == (behind in CROPPED)
    assert_same(model, graph)


def test_an_output_of_the_model_is_cropped_and_keeps_its_name() -> None:
    model = network(16, behind=padded(2))
    model = keras.Model(model.inputs, [model.get_layer("pool").output, model.output])
    graph, _ = lowered(model)
    assert graph.nodes[graph.outputs[0]].op == "Cropping2D"
    assert_same(model, graph)


@pytest.mark.parametrize("activation", ["sigmoid", "softplus", "tanh"])
def test_what_is_never_negative_needs_no_relu(activation: str) -> None:
    image = keras.Input((17, 17, 3))
    x = layers.Activation(activation)(layers.Conv2D(6, 3, padding="same")(image))
    model = keras.Model(image, layers.MaxPooling2D(3, 2, name="pool")(layers.ZeroPadding2D(1, name="pad")(x)))
    graph, left = lowered(model)
    assert ("pad" in graph.nodes) == (activation == "tanh") == ("pool" in left)
    assert_same(model, graph)


def without_relu() -> keras.Model:
    image = keras.Input((16, 16, 3))
    x = layers.ZeroPadding2D(1, name="pad")(layers.Conv2D(6, 3, padding="same", name="stem")(image))
    return keras.Model(image, layers.MaxPooling2D(3, 2, name="pool")(x))


def read_twice() -> keras.Model:
    model = network(16)
    return keras.Model(model.inputs, [model.output, model.get_layer("relu").output])


def of_images() -> keras.Model:
    image = keras.Input((16, 16, 3))
    return keras.Model(image, layers.MaxPooling2D(3, 2, name="pool")(layers.ZeroPadding2D(1)(layers.ReLU()(image))))


STAYS: dict[str, tuple[Callable[[], keras.Model], str]] = {
    "negative values": (without_relu, "may be negative"),
    "read twice": (read_twice, "no convolution makes what it reads, and for it alone"),
    "no convolution": (of_images, "no convolution makes what it reads"),
    "too much padding": (lambda: network(16, 2), "no map a little larger is padded by ((2, 2), (2, 2))"),
}


@pytest.mark.parametrize("case", STAYS)
def test_what_stays_is_told_with_its_reason(case: str) -> None:
    make, reason = STAYS[case]
    graph = lower(from_keras(make()), CANONICAL)
    left: dict[str, str] = {}
    assert pool_padding(graph, left.__setitem__) == graph
    assert reason in left["pool"]
