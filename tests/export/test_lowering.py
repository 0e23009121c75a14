"""Each pass finds its pattern, leaves what only looks like it, and changes no answer (test_emit.py runs the files)."""

import keras
import numpy as np
from keras import layers

from keras_cnnzoo.export.emit import emit
from keras_cnnzoo.export.graph import Graph, from_keras
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.lowering import lower
from keras_cnnzoo.export.lowering.activation import separate_activations
from keras_cnnzoo.export.lowering.batch_norm import fold_batch_norm, normalize_by_depthwise
from keras_cnnzoo.export.lowering.identity import remove_identities
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


def test_all_passes_together_change_no_answer(resnet: keras.Model, some_images: np.ndarray) -> None:
    expected = np.asarray(resnet(some_images[:8]))
    answers = LiteRT(emit(lower(from_keras(resnet))))(some_images[:8])[0]
    assert np.abs(expected - answers).max() <= 1e-4 * np.abs(expected).max()


def test_a_graph_is_a_value_that_passes_do_not_change(resnet: keras.Model) -> None:
    graph = from_keras(resnet)
    before = {name: [w.copy() for w in node.weights] for name, node in graph.nodes.items()}
    lower(graph)
    assert list(graph.nodes) == list(before)
    for name, weights in before.items():
        assert all(np.array_equal(a, b) for a, b in zip(graph.nodes[name].weights, weights, strict=True))
