"""The graph is the model as a value."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_cnnzoo import InputError
from keras_cnnzoo.export.graph import Graph, Node, from_keras


def test_nodes_come_in_an_order_in_which_they_can_run(shufflenet: keras.Model) -> None:
    seen = set[str]()
    for node in from_keras(shufflenet).nodes.values():
        assert {reference.partition(":")[0] for reference in node.inputs} <= seen
        seen.add(node.name)


def test_weights_and_shapes_are_those_of_the_model(resnet: keras.Model) -> None:
    graph = from_keras(resnet)
    np.testing.assert_array_equal(graph.nodes["conv1"].weights[0], resnet.get_layer("conv1").get_weights()[0])
    assert graph.nodes["layer2_0_add"].shape == (16, 16, 32)
    assert graph.outputs == ("linear",)


def test_the_second_output_of_a_layer_has_a_name_of_its_own(shufflenet: keras.Model) -> None:
    graph = from_keras(shufflenet)
    split = graph.nodes["stage2_1_split"]
    assert len(split.shapes) == 2
    readers = [node.name for node in graph.nodes.values() if f"{split.name}:1" in node.inputs]
    assert readers == ["stage2_1_branch2_0"]


def test_later_calls_and_nested_layers_are_told_apart() -> None:
    inner_image = keras.Input((4, 4, 2))
    inner = keras.Model(inner_image, layers.Conv2D(2, 1, name="conv")(inner_image), name="inner")
    image = keras.Input((4, 4, 2), name="image")
    graph = from_keras(keras.Model(image, inner(inner(image))))
    assert [n for n in graph.nodes if "conv" in n] == ["inner/conv", "inner/conv@1"]


def test_operations_are_spelled_as_the_layers_that_do_the_same() -> None:
    image = keras.Input((4, 4, 2))
    x = ops.mean(image[..., :1] * 2.0 - 3.0, (1, 2), keepdims=True)
    graph = from_keras(keras.Model(image, ops.relu6(ops.reshape(x, (-1, 1)))))
    nodes = list(graph.nodes.values())[1:]
    assert [n.op for n in nodes] == [
        "Slice", "Rescaling", "Rescaling", "GlobalAveragePooling2D", "Reshape", "Activation"
    ]  # fmt: skip
    assert [(n.config["scale"], n.config["offset"]) for n in nodes[1:3]] == [(2.0, 0.0), (1.0, -3.0)]
    assert nodes[0].config == {"begin": [0, 0, 0], "size": [4, 4, 1]}


def test_an_operation_that_no_layer_does_keeps_its_module_and_its_attributes() -> None:
    image = keras.Input((4, 4, 2))
    *_, node = from_keras(keras.Model(image, ops.cumsum(image, axis=1))).nodes.values()
    assert (node.op, node.config["axis"]) == ("keras.src.ops.numpy.Cumsum", 1)


class Scaled(layers.Layer):
    """Not of Keras' own: a variable, a sublayer, and a dropout that inference drops."""

    def build(self, shape: tuple[int, ...]) -> None:
        self.factor = self.add_weight(shape=(shape[-1],), initializer="random_normal")
        self.conv = layers.Conv2D(2, 1, name="conv")
        self.drop = layers.Dropout(0.5, name="drop")

    def call(self, inputs: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        return self.drop(self.conv(inputs) * self.factor, training=training)


def test_another_s_layer_is_opened_into_what_it_calls() -> None:
    image = keras.Input((4, 4, 2))
    layer = Scaled(name="odd")
    graph = from_keras(keras.Model(image, layer(image)))
    assert [(n.name.split("/")[0], n.op) for n in list(graph.nodes.values())[1:]] == [
        ("odd", "Conv2D"), ("odd", "Rescaling"), ("odd", "Dropout")
    ]  # fmt: skip
    rescaling = next(n for n in graph.nodes.values() if n.op == "Rescaling")
    np.testing.assert_allclose(rescaling.config["scale"], layer.get_weights()[0])


def test_another_s_layer_may_read_one_tensor_twice() -> None:
    class Difference(layers.Layer):
        def call(self, first: keras.KerasTensor, second: keras.KerasTensor) -> keras.KerasTensor:
            return first * 2.0 - second

    image = keras.Input((4, 4, 2), name="image")
    *_, scaled, difference = from_keras(keras.Model(image, Difference(name="odd")(image, image))).nodes.values()
    assert (scaled.op, scaled.inputs) == ("Rescaling", ("image",))
    assert (difference.op, difference.inputs) == ("Subtract", (scaled.name, "image"))


def test_another_s_layer_that_computes_outside_keras_stays_closed() -> None:
    class Outside(layers.Layer):
        def call(self, inputs: keras.KerasTensor) -> np.ndarray:
            return np.flip(np.asarray(inputs), 1)

        def compute_output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
            return shape

    image = keras.Input((4, 4, 2))
    *_, node = from_keras(keras.Model(image, Outside()(image))).nodes.values()
    assert node.op.endswith("Outside")


def test_inputs_stand_first_and_in_the_model_s_order() -> None:
    first, second = keras.Input((4, 4, 2), name="first"), keras.Input((4, 4, 3), name="second")
    x = layers.Concatenate()([layers.Conv2D(2, 1)(first), layers.Conv2D(2, 1)(second)])
    for inputs in ([first, second], [second, first]):
        graph = from_keras(keras.Model(inputs, x))
        assert [node.name for node in graph.inputs] == [tensor.name for tensor in inputs]
        assert [node.op for node in graph.nodes.values()][:2] == ["InputLayer", "InputLayer"]


def test_an_elu_keeps_its_alpha_and_a_maximum_its_least_answer() -> None:
    image = keras.Input((4, 4, 2))
    *_, elu = from_keras(keras.Model(image, ops.elu(image, alpha=0.5))).nodes.values()
    assert (elu.op, elu.config) == ("ELU", {"alpha": 0.5})
    *_, largest = from_keras(keras.Model(image, ops.max(image, (1, 2), initial=0.0))).nodes.values()
    assert largest.op == "keras.src.ops.numpy.Max"


def test_a_constant_that_is_concatenated_is_not_lost() -> None:
    image = keras.Input((2, 2, 2), batch_size=1)
    joined = ops.concatenate([image, np.zeros((1, 2, 2, 1), np.float32)], axis=-1)
    *_, node = from_keras(keras.Model(image, joined)).nodes.values()
    assert node.op == "keras.src.ops.numpy.Concatenate"


def test_arrays_in_a_configuration_are_lists() -> None:
    image = keras.Input((4, 4, 2))
    *_, node = from_keras(keras.Model(image, layers.Rescaling(np.array([2.0, 3.0]), np.ones(2))(image))).nodes.values()
    assert (node.config["scale"], node.config["offset"]) == ([2.0, 3.0], [1.0, 1.0])


def test_a_layer_that_reads_channels_first_is_no_layer_that_a_pass_knows() -> None:
    image = keras.Input((4, 4, 2))
    *_, node = from_keras(
        keras.Model(image, layers.MaxPooling2D(2, data_format="channels_first")(image))
    ).nodes.values()
    assert node.op.startswith("keras.src.")
    assert node.op.endswith(".MaxPooling2D")


def test_a_sequential_model_is_a_graph_too_once_its_input_is_known() -> None:
    conv = layers.Conv2D(2, 1, name="conv")
    model = keras.Sequential([conv, layers.ReLU(name="relu")], name="chain")
    with pytest.raises(InputError, match="begin it with"):
        from_keras(model)
    model.build((None, 4, 4, 3))
    graph = from_keras(model)
    assert [node.op for node in graph.nodes.values()] == ["InputLayer", "Conv2D", "ReLU"]
    assert (graph.name, graph.outputs) == ("chain", ("relu",))


def test_bypass_rewires_readers_and_outputs() -> None:
    nodes = {n.name: n for n in (Node("a", "InputLayer", {}), Node("b", "Identity", {}, ("a",)))}
    graph = Graph("g", nodes, ("b",)).bypass("b")
    assert graph.outputs == ("a",)
    assert list(graph.nodes) == ["a"]


def test_insert_after_puts_a_node_before_all_readers() -> None:
    nodes = {n.name: n for n in (Node("a", "InputLayer", {}), Node("b", "X", {}, ("a",)), Node("c", "X", {}, ("a",)))}
    graph = Graph("g", nodes, ("b", "c", "a")).insert_after("a", Node("new", "Y", {}, ("a",)))
    assert [graph.nodes[name].inputs for name in ("b", "c")] == [("new",), ("new",)]
    assert graph.outputs == ("b", "c", "new")
    assert list(graph.nodes) == ["a", "new", "b", "c"]


def test_a_subclassed_model_is_refused_in_a_sentence() -> None:
    class Own(keras.Model):
        pass

    with pytest.raises(InputError, match="not a functional model"):
        from_keras(Own(name="own"))


def test_an_unknown_size_is_refused_with_the_way_out() -> None:
    image = keras.Input((None, None, 3))
    with pytest.raises(InputError, match="--set input_shape"):
        from_keras(keras.Model(image, layers.Conv2D(2, 1)(image)))
