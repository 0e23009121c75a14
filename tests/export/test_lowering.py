"""Each pass finds its pattern, leaves what only looks like it, and changes no answer (test_emit.py runs the files)."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnnzoo.export import Card, tflite, to_tflite
from keras_cnnzoo.export.cli.card_table import card_table
from keras_cnnzoo.export.emit import RULES, emit
from keras_cnnzoo.export.graph import Graph, from_keras
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.lowering import lower
from keras_cnnzoo.export.lowering.activation import separate_activations
from keras_cnnzoo.export.lowering.batch_norm import fold_batch_norm, normalize_by_depthwise
from keras_cnnzoo.export.lowering.identity import IDLE, remove_identities
from keras_cnnzoo.export.lowering.passes import CANONICAL, PASSES, Pass
from keras_cnnzoo.export.lowering.shortcut import shortcut_by_convolution
from keras_cnnzoo.layers import ChannelPad

RNG = np.random.default_rng(0)


def graph_of(function, shape=(6, 6, 4)) -> Graph:
    image = keras.Input(shape, name="image")
    return from_keras(keras.Model(image, function(image)))


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes.values()]


def test_identities_dropout_and_linear_activations_go() -> None:
    graph = graph_of(lambda x: layers.Activation("linear")(layers.Dropout(0.5)(layers.Identity()(x))))
    assert ops(remove_identities(graph)) == ["InputLayer"]
    assert remove_identities(graph).outputs == ("image",)


def test_an_activation_inside_a_layer_becomes_a_node_behind_it() -> None:
    graph = separate_activations(graph_of(layers.Conv2D(4, 1, activation="relu", name="conv")))
    assert ops(graph) == ["InputLayer", "Conv2D", "Activation"]
    assert graph.outputs == ("conv/relu",)


def test_a_layer_given_as_an_activation_becomes_a_node_too() -> None:
    sloped = separate_activations(graph_of(layers.Conv2D(4, 1, activation=layers.LeakyReLU(0.1), name="conv")))
    assert ops(sloped) == ["InputLayer", "Conv2D", "LeakyReLU"]
    assert sloped.nodes["conv/LeakyReLU"].config["negative_slope"] == pytest.approx(0.1)
    clamped = separate_activations(graph_of(layers.Activation(layers.ReLU(6.0))))
    assert [node.config["activation"] for node in clamped.nodes.values() if node.op == "Activation"] == ["relu6"]


def doubled(x: keras.KerasTensor) -> keras.KerasTensor:
    return 2 * x


def test_a_function_of_one_s_own_and_the_activation_of_a_cell_stay_where_they_are() -> None:
    own = separate_activations(graph_of(layers.Dense(4, activation=doubled)))
    assert ops(own) == ["InputLayer", "Dense"]
    cell = separate_activations(graph_of(layers.LSTM(3, name="cell"), shape=(6, 4)))
    assert ops(cell) == ["InputLayer", "LSTM"]
    assert cell.nodes["cell"].config["activation"] == "tanh"


@pytest.mark.parametrize("name", sorted(IDLE))
def test_what_is_dropped_does_nothing_at_inference(name: str) -> None:
    needed = {"RandomTranslation": (0.5, 0.5), "RandomPosterization": (4,)}
    asked = inspect.signature(getattr(layers, name)).parameters.values()
    one = any(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in asked)
    layer = getattr(layers, name)(*needed.get(name, (0.5,) if one else ()))
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layer(image))
    pixels = RNG.uniform(-20, 300, (2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(model(pixels, training=False)), pixels)
    assert ops(remove_identities(from_keras(model))) == ["InputLayer"]


def test_outputs_that_would_coincide_stay_two() -> None:
    image = keras.Input((6, 6, 4))
    x = layers.Conv2D(4, 1)(image)
    model = keras.Model(image, [x, layers.Dropout(0.5)(x)])
    graph = remove_identities(from_keras(model))
    assert len(set(graph.outputs)) == 2
    images = RNG.standard_normal((1, 6, 6, 4), np.float32)
    one, other = LiteRT(emit(graph))(images)
    np.testing.assert_array_equal(one, other)


def test_a_relu_with_a_slope_is_left_alone() -> None:
    assert "ReLU" in ops(separate_activations(graph_of(layers.ReLU(negative_slope=0.1))))
    assert "Activation" in ops(separate_activations(graph_of(layers.ReLU(6.0))))


def test_batch_norm_folds_into_the_convolution_that_it_alone_reads() -> None:
    folded = fold_batch_norm(graph_of(lambda x: layers.BatchNormalization()(layers.Conv2D(4, 3)(x))))
    assert ops(folded) == ["InputLayer", "Conv2D"]


def test_batch_norm_stays_where_the_convolution_has_another_reader_or_an_activation() -> None:
    def two_readers(x):
        y = layers.Conv2D(4, 1)(x)
        return layers.Add()([y, layers.BatchNormalization()(y)])

    assert "BatchNormalization" in ops(fold_batch_norm(graph_of(two_readers)))
    nonlinear = graph_of(lambda x: layers.BatchNormalization()(layers.Conv2D(4, 1, activation="relu")(x)))
    assert "BatchNormalization" in ops(fold_batch_norm(nonlinear))


def test_batch_norm_over_another_axis_is_left_alone() -> None:
    graph = graph_of(lambda x: layers.BatchNormalization(axis=1)(layers.Conv2D(4, 1)(x)))
    assert "BatchNormalization" in ops(normalize_by_depthwise(fold_batch_norm(graph)))


def test_a_normalization_of_several_axes_is_none_of_the_channels() -> None:
    statistics = {"mean": np.zeros((6, 6)), "variance": np.ones((6, 6))}
    graph = graph_of(lambda x: layers.Normalization(axis=(1, 2), **statistics)(layers.Conv2D(4, 1)(x)))
    assert ops(normalize_by_depthwise(fold_batch_norm(graph))) == ops(graph)


def test_a_rescaling_of_arrays_folds_and_one_of_a_map_does_not() -> None:
    by_channel = graph_of(lambda x: layers.Rescaling(np.arange(1.0, 5.0), np.ones(4))(layers.Conv2D(4, 1)(x)))
    assert ops(fold_batch_norm(by_channel)) == ["InputLayer", "Conv2D"]
    by_pixel = graph_of(lambda x: layers.Rescaling(np.ones((6, 6, 1)))(layers.Conv2D(4, 1)(x)))
    assert ops(fold_batch_norm(by_pixel)) == ops(by_pixel)


def test_batch_norm_that_nothing_takes_is_one_depthwise_convolution() -> None:
    graph = normalize_by_depthwise(graph_of(layers.BatchNormalization()))
    assert ops(graph) == ["InputLayer", "DepthwiseConv2D"]


def test_a_subsampling_shortcut_is_one_convolution_by_zeros_and_ones() -> None:
    graph = shortcut_by_convolution(graph_of(lambda x: ChannelPad(1, 3)(layers.MaxPooling2D(1, 2)(x))))
    assert ops(graph) == ["InputLayer", "Conv2D"]
    (convolution,) = (node for node in graph.nodes.values() if node.op == "Conv2D")
    kernel = convolution.weights[0]
    assert set(np.unique(kernel)) == {0.0, 1.0}
    assert kernel.sum() == 4


def test_a_real_max_pool_before_a_channel_pad_is_left_alone() -> None:
    graph = graph_of(lambda x: ChannelPad(1, 3)(layers.MaxPooling2D(2, 2)(x)))
    assert ops(shortcut_by_convolution(graph)) == ops(graph)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: keras.ops.elu(layers.Conv2D(4, 3)(x), alpha=0.5),
        lambda x: layers.LayerNormalization(rms_scaling=True)(layers.Conv2D(4, 3)(x)),
        lambda x: layers.Rescaling(np.arange(1.0, 5.0), np.ones(4))(layers.ReLU()(x)),
        lambda x: layers.Conv2D(4, 3, activation=layers.LeakyReLU(0.1))(x),
    ],
    ids=["elu of alpha", "rms", "arrays", "layer as activation"],
)
@pytest.mark.filterwarnings("ignore:You passed `rms_scaling")
def test_what_once_was_lost_in_a_file_is_in_it(function: Callable[[Any], Any], tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    image = keras.Input((6, 6, 4), name="image")
    model = keras.Model(image, layers.Dense(3)(layers.Flatten()(function(image))))
    to_tflite(model, tmp_path / "m.tflite")
    images = RNG.standard_normal((4, 6, 6, 4), np.float32)
    expected, answers = np.asarray(model(images)), LiteRT((tmp_path / "m.tflite").read_bytes())(images)[0]
    assert np.abs(expected - answers).max() <= 1e-5 * np.abs(expected).max()


def test_a_batch_of_maps_by_vectors_is_multiplied_image_by_image() -> None:
    image = keras.Input((8, 6, 4), name="image")
    model = keras.Model(image, layers.Multiply()([image, layers.GlobalAveragePooling2D()(image)]))
    images = RNG.standard_normal((6, 8, 6, 4), np.float32)
    for batch in (1, 6):
        answers = LiteRT(emit(lower(from_keras(model)), batch=batch))(images)[0]
        np.testing.assert_allclose(answers, np.asarray(model(images)), atol=1e-6)


def test_a_sequential_model_is_exported(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten()])
    card = to_tflite(model, tmp_path / "m.tflite")
    assert card.conversion["by"] == "emitter"
    images = RNG.standard_normal((2, 6, 6, 3), np.float32)
    answers = LiteRT((tmp_path / "m.tflite").read_bytes())(images)[0]
    np.testing.assert_allclose(answers, np.asarray(model(images)), atol=1e-5)


def test_a_rule_that_is_wrong_is_not_believed_and_the_card_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def mistaken(call: Any) -> None:
        call.operator("TANH", call.inputs)

    monkeypatch.setitem(RULES, "ELU", mistaken)
    image = keras.Input((6, 6, 4), name="image")
    model = keras.Model(image, layers.Dense(3)(layers.Flatten()(layers.ELU()(layers.Conv2D(4, 3)(image)))))
    card = to_tflite(model, tmp_path / "m.tflite")
    assert card.conversion["by"] == "TFLiteConverter"
    assert "outputs differ by" in card.conversion["reason"]
    images = RNG.standard_normal((2, 6, 6, 4), np.float32)
    answers = LiteRT((tmp_path / "m.tflite").read_bytes())(images)[0]
    np.testing.assert_allclose(answers, np.asarray(model(images)), atol=1e-5)


def test_a_pass_that_was_taken_back_stands_in_the_card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def raising(graph: Graph, declined: Any) -> Graph:
        raise KeyError("oops")

    monkeypatch.setattr(tflite, "choose", lambda *given: (*CANONICAL, Pass("faulty", raising, "to be caught")))
    image = keras.Input((6, 6, 4), name="image")
    card = to_tflite(keras.Model(image, layers.Conv2D(4, 3, activation="relu")(image)), tmp_path / "m.tflite")
    assert card.conversion["refused"] == [{"pass": "faulty", "outcome": "undone", "fault": "KeyError: 'oops'"}]
    assert "separate-activations" in card.conversion["lowering"]
    assert Card.read(tmp_path / "m.tflite.json") == card
    assert "not by faulty" in list(card_table(card, tmp_path).columns[0].cells)


def test_a_graph_is_a_value_that_passes_do_not_change(shufflenet: keras.Model) -> None:
    graph = from_keras(shufflenet)
    before = {name: [w.copy() for w in node.weights] for name, node in graph.nodes.items()}
    lower(graph, PASSES)
    assert list(graph.nodes) == list(before)
    for name, weights in before.items():
        assert all(np.array_equal(a, b) for a, b in zip(graph.nodes[name].weights, weights, strict=True))
