"""Each pass finds its pattern, leaves what only looks like it and says why, and is exact."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnnzoo import InputError
from keras_cnnzoo.export.emit import RULES, emit
from keras_cnnzoo.export.graph import Graph, from_keras
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.lowering import lower
from keras_cnnzoo.export.lowering.average_pool import average_pool
from keras_cnnzoo.export.lowering.batch_norm import fold_batch_norm
from keras_cnnzoo.export.lowering.channel_order import channel_order
from keras_cnnzoo.export.lowering.early_pool import early_pool
from keras_cnnzoo.export.lowering.guard import lower_under
from keras_cnnzoo.export.lowering.hard_swish import hard_swish, seen_ranges
from keras_cnnzoo.export.lowering.identity import remove_identities
from keras_cnnzoo.export.lowering.late_shuffle import late_shuffle
from keras_cnnzoo.export.lowering.nest_concats import nest_concats
from keras_cnnzoo.export.lowering.parity import Parity
from keras_cnnzoo.export.lowering.passes import CANONICAL, PASSES, Pass, choose, costs, expected_step, this_target
from keras_cnnzoo.export.lowering.patterns import FUSING
from keras_cnnzoo.export.lowering.recognise_shuffle import recognise_shuffle
from keras_cnnzoo.export.lowering.regular_pool import regular_pool
from keras_cnnzoo.export.lowering.relu_by_depthwise import relu_by_depthwise
from keras_cnnzoo.export.lowering.relu_to_producers import relu_to_producers
from keras_cnnzoo.export.lowering.same_padding import same_padding
from keras_cnnzoo.export.lowering.subsample import subsample
from keras_cnnzoo.export.lowering.wide_groups import wide_groups
from keras_cnnzoo.export.pixels import reads_pixels
from keras_cnnzoo.export.rebuild import to_keras
from keras_cnnzoo.layers import AdaptiveAverage2D, ChannelShuffle, ChannelSplit, GroupedConv2D
from keras_cnnzoo.preprocessing import PRESETS

SHAPE = (8, 8, 6)
IMAGES = np.random.default_rng(0).standard_normal((4, *SHAPE), np.float32)


def model_of(function: Callable[[Any], Any]) -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input(SHAPE, name="image")
    model = keras.Model(image, function(image))
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape) * np.where(w < 0, -1, 1) for w in model.get_weights()])
    return model


def rewritten(run: Any, function: Callable[[Any], Any]) -> tuple[list[str], dict[str, str]]:
    """Operations after a pass that changes no answer, and what it left."""
    model, left = model_of(function), dict[str, str]()
    graph = lower(from_keras(model), [p for p in CANONICAL if p.name == "separate-activations"])
    after = run(graph, left.__setitem__)
    expected, answers = np.asarray(model(IMAGES)), np.asarray(to_keras(after)(IMAGES))
    assert np.abs(expected - answers).max() <= 1e-5 * np.abs(expected).max()
    return [node.op for node in after.nodes.values() if node.op != "InputLayer"], left


def conv(filters: int = 6, kernel: int = 1, **options: Any) -> layers.Layer:
    return layers.Conv2D(filters, kernel, padding=options.pop("padding", "same"), **options)


def test_a_relu_goes_before_the_concatenation_into_each_convolution() -> None:
    ops, _ = rewritten(relu_to_producers, lambda x: layers.ReLU()(layers.Concatenate()([conv()(x), conv(2, 3)(x)])))
    assert ops == ["Conv2D", "Conv2D", "Activation", "Activation", "Concatenate"]


def test_what_is_never_negative_gets_no_relu() -> None:
    def pooled(x: Any) -> Any:
        y = layers.AveragePooling2D(1)(layers.ReLU()(x))
        return layers.ReLU()(layers.Concatenate()([y, conv()(x)]))

    assert rewritten(relu_to_producers, pooled)[0].count("Activation") == 2


def test_a_relu_stays_where_the_concatenation_is_read_without_it_or_two_would_stand_alone() -> None:
    def read_twice(x: Any) -> Any:
        y = layers.Concatenate()([conv()(x), conv()(x)])
        return layers.Add()([y, layers.ReLU()(y)])

    assert "read without" in str(rewritten(relu_to_producers, read_twice)[1])
    bare = rewritten(
        relu_to_producers, lambda x: layers.ReLU()(layers.Concatenate()([x, layers.Permute((2, 1, 3))(x)]))
    )
    assert "stand alone" in str(bare[1])
    assert bare[0][-1] == "Activation"


def test_a_relu_that_stands_alone_gets_a_depthwise_convolution_to_fuse_into() -> None:
    assert rewritten(relu_by_depthwise, layers.ReLU(6.0))[0] == ["DepthwiseConv2D", "Activation"]
    assert rewritten(relu_by_depthwise, lambda x: layers.ReLU()(conv()(x)))[0] == ["Conv2D", "Activation"]
    assert (
        rewritten(relu_by_depthwise, lambda x: layers.ReLU()(layers.ReLU(6.0)(conv()(x))))[0].count("Activation") == 1
    )
    assert "vector" in str(rewritten(relu_by_depthwise, lambda x: layers.ReLU()(layers.Flatten()(x)))[1])


def test_a_shuffle_moves_behind_pad_depthwise_and_its_activation() -> None:
    def unit(x: Any) -> Any:
        x = layers.ZeroPadding2D(1)(ChannelShuffle(3)(x))
        return conv(5)(layers.ReLU()(layers.DepthwiseConv2D(3, 2)(x)))

    assert rewritten(late_shuffle, unit)[0] == [
        "ZeroPadding2D",
        "DepthwiseConv2D",
        "Activation",
        "ChannelShuffle",
        "Conv2D",
    ]


def test_a_shuffle_that_no_depthwise_convolution_follows_stays() -> None:
    ops, left = rewritten(late_shuffle, lambda x: conv()(ChannelShuffle(2)(x)))
    assert ops == ["ChannelShuffle", "Conv2D"]
    assert "no depthwise" in str(left)


def units(x: Any, count: int = 6, end: Callable[[Any], Any] = lambda x: conv(4)(x)) -> Any:
    x = ChannelShuffle(2)(layers.Concatenate()([conv(6, activation="relu")(x), conv(6, 3, activation="relu")(x)]))
    for _ in range(count):
        kept, y = ChannelSplit()(x)
        y = layers.DepthwiseConv2D(3, padding="same")(conv(6, activation="relu")(y))
        x = ChannelShuffle(2)(layers.Concatenate()([kept, conv(6, activation="relu")(y)]))
    return end(x)


def test_shuffles_and_splits_vanish_from_shufflenet_v2_units() -> None:
    ops, left = rewritten(channel_order, units)
    assert not {"ChannelShuffle", "ChannelSplit"} & set(ops)
    assert not left


def halves_by_slices(x: Any) -> tuple[Any, Any]:
    return x[..., :6], x[:, :, :, 6:]


def halves_by_split(x: Any) -> tuple[Any, Any]:
    first, second = keras.ops.split(x, [5], axis=-1)
    return second, first


@pytest.mark.parametrize("halves", [halves_by_slices, halves_by_split])
def test_slices_and_unequal_splits_of_channels_vanish_too(halves: Callable[[Any], tuple[Any, Any]]) -> None:
    def network(x: Any) -> Any:
        x = layers.Concatenate()([conv(6, activation="relu")(x), conv(6, 3, activation="relu")(x)])
        for _ in range(3):
            kept, y = halves(ChannelShuffle(3)(x))
            x = layers.Concatenate()([kept, conv(12 - kept.shape[-1], 3, activation="relu")(y)])
        return conv(4)(x)

    ops, left = rewritten(channel_order, network)
    assert set(ops) == {"Conv2D", "Activation", "Concatenate"}
    assert not left


def test_a_slice_that_cuts_the_map_stays() -> None:
    ops, _ = rewritten(channel_order, lambda x: conv(4)(conv(6, 3)(x)[:, 1:, :, :4]))
    assert ops == ["Conv2D", "Slice", "Conv2D"]


def test_routed_channels_pass_a_depthwise_convolution_and_a_global_pool_to_the_dense_layer() -> None:
    def head(x: Any) -> Any:
        return layers.Dense(3)(layers.GlobalAveragePooling2D()(layers.DepthwiseConv2D(3, strides=2)(x)))

    assert "ChannelShuffle" not in rewritten(channel_order, lambda x: units(x, 2, head))[0]


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda x: x, "output"),
        (lambda x: layers.Dense(2)(layers.Flatten()(x)), "cannot give up"),
        (GroupedConv2D(4, 1, groups=2), "cannot give up"),
    ],
)
def test_shuffles_stay_where_the_order_of_the_channels_is_seen(end: Any, reason: str) -> None:
    ops, left = rewritten(channel_order, lambda x: units(x, 1, end))
    assert ops.count("ChannelShuffle") == 2
    assert reason in str(left)


def test_an_average_pool_swaps_with_the_linear_1x1_convolution_before_it() -> None:
    assert rewritten(early_pool, lambda x: layers.AveragePooling2D(2)(conv(3)(x)))[0] == ["AveragePooling2D", "Conv2D"]
    with_relu = rewritten(early_pool, lambda x: layers.AveragePooling2D(2)(conv(3, activation="relu")(x)))
    assert with_relu[0][0] == "Conv2D"
    assert rewritten(early_pool, lambda x: layers.AveragePooling2D(2)(conv(3, 3)(x)))[0][0] == "Conv2D"


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_an_average_pool_is_a_depthwise_convolution_borders_included(stride: int, padding: str) -> None:
    ops, _ = rewritten(average_pool, layers.AveragePooling2D(3, stride, padding))
    assert ops == (["DepthwiseConv2D", "MapScale"] if padding == "same" else ["DepthwiseConv2D"])


def test_an_average_pool_over_the_whole_map_is_a_mean() -> None:
    assert rewritten(average_pool, layers.AveragePooling2D(8))[0] == ["GlobalAveragePooling2D"]


def test_a_subsampling_pool_is_a_depthwise_convolution() -> None:
    assert rewritten(subsample, layers.MaxPooling2D(1, 2))[0] == ["DepthwiseConv2D"]
    assert rewritten(subsample, layers.MaxPooling2D(2, 2))[0] == ["MaxPooling2D"]


def test_narrow_groups_merge_bit_by_bit_and_wide_ones_stay() -> None:
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 32))
    model = keras.Model(image, GroupedConv2D(32, 3, padding="same", groups=8)(image))
    graph = wide_groups(from_keras(model))
    (node,) = (n for n in graph.nodes.values() if n.op == "Conv2D")
    assert node.config["groups"] == 2
    assert node.weights[0].shape == (3, 3, 16, 32)
    images = np.random.default_rng(0).standard_normal((2, 8, 8, 32), np.float32)
    np.testing.assert_allclose(LiteRT(emit(graph))(images)[0], np.asarray(model(images)), atol=1e-6)
    wide = from_keras(keras.Model(image, GroupedConv2D(32, 3, groups=4)(image)))
    assert wide_groups(wide) == wide


@pytest.mark.parametrize("count", [6, 9, 14, 30])
def test_concatenations_have_at_most_five_inputs(count: int) -> None:
    model = model_of(lambda x: layers.Concatenate()([conv(1 + i % 3)(x) for i in range(count)]))
    graph = nest_concats(from_keras(model))
    sizes = [len(n.inputs) for n in graph.nodes.values() if n.op == "Concatenate"]
    assert max(sizes) <= 5
    np.testing.assert_array_equal(np.asarray(to_keras(graph)(IMAGES)), np.asarray(model(IMAGES)))


def test_concatenated_rows_nest_too() -> None:
    model = model_of(lambda x: layers.Concatenate(1)([conv(4)(x) for _ in range(7)]))
    graph = nest_concats(from_keras(model))
    assert max(len(n.inputs) for n in graph.nodes.values() if n.op == "Concatenate") <= 5
    np.testing.assert_array_equal(np.asarray(to_keras(graph)(IMAGES)), np.asarray(model(IMAGES)))


@pytest.mark.parametrize(
    ("pool", "ops"),
    [
        (AdaptiveAverage2D(4), ["AveragePooling2D"]),
        (layers.AdaptiveMaxPooling2D((2, 8)), ["MaxPooling2D"]),
        (AdaptiveAverage2D(8), ["AveragePooling2D"]),
        (AdaptiveAverage2D(3), ["AdaptiveAverage2D"]),
    ],
)
def test_an_adaptive_pool_of_equal_windows_is_a_pool(pool: layers.Layer, ops: list[str]) -> None:
    assert rewritten(regular_pool, pool)[0] == ops


def test_an_adaptive_pool_of_any_size_is_one_delegate_partition() -> None:
    for size in (7, 8, 4):
        model = model_of(lambda x, size=size: AdaptiveAverage2D(size)(conv()(x)))
        assert LiteRT(emit(lower(from_keras(model), PASSES))).delegation() == (1, {}), size


def hs(x: Any) -> Any:
    return layers.Activation("hard_swish", name="hs")(x)


def test_a_sixth_goes_through_a_gate_and_a_pad_into_the_convolutions() -> None:
    def unit(x: Any) -> Any:
        x = hs(conv()(x))
        gate = layers.Dense(6, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
        return layers.DepthwiseConv2D(3, 2)(layers.ZeroPadding2D(1)(layers.Multiply()([x, gate])))

    ops, _ = rewritten(hard_swish, unit)
    assert ops.count("Rescaling") == 1  # x + 3
    assert ops.count("Multiply") == 2


def test_a_sixth_that_an_addition_or_an_output_reads_is_a_factor_of_its_own() -> None:
    assert rewritten(hard_swish, hs)[0].count("Rescaling") == 2
    assert rewritten(hard_swish, lambda x: conv()(layers.Add()([x, hs(x)])))[0].count("Rescaling") == 2
    assert rewritten(hard_swish, lambda x: conv()(layers.Multiply()([hs(x), layers.ReLU()(hs2(x))])))[0]


def hs2(x: Any) -> Any:
    return layers.Activation("hard_swish", name="hs2")(x)


@pytest.mark.parametrize("run", [lambda graph: graph, hard_swish])
def test_what_a_hard_swish_reads_begins_at_minus_three(run: Callable[[Graph], Graph]) -> None:
    graph = run(from_keras(model_of(lambda x: conv(4, name="last")(hs(conv(name="first")(x))))))
    others = {"hs/shifted": (0.0, 6.0), "hs": (-1.0, 9.0)}
    for low, high, cut in (
        (-9.0, 7.3, (-3.0, 7.3)),
        (-0.2, 0.1, (-0.2, 0.1)),
        (-9.0, -4.0, (-3.0, 0.0)),
        (0.0, 1e-6, (0.0, 6 / 256)),
    ):
        assert seen_ranges(graph, {"first": (low, high), **others}) == {"first": cut, **others}


def test_what_another_reads_too_keeps_its_range() -> None:
    def network(x: Any) -> Any:
        x = conv(name="first")(x)
        return layers.Add()([x, hs(x)])

    def through_the_sum(x: Any) -> Any:
        x = conv(name="first")(x)
        shifted = x + 3.0
        return layers.Add()([layers.Multiply()([x, layers.ReLU(6.0)(shifted)]), shifted])

    named = [p for p in CANONICAL if p.name == "separate-activations"]
    for graph in (
        from_keras(model_of(network)),
        hard_swish(from_keras(model_of(network))),
        lower(from_keras(model_of(through_the_sum)), named),
    ):
        assert seen_ranges(graph, {"first": (-9.0, 9.0)}) == {"first": (-9.0, 9.0)}


def test_a_hard_sigmoid_shares_its_scale_too_since_it_sees_nothing_beyond_three() -> None:
    graph = from_keras(model_of(lambda x: layers.Activation("hard_sigmoid", name="gate")(conv(name="first")(x))))
    ranges = seen_ranges(graph, {"first": (-0.001, 0.001), "gate/shifted": (2.999, 3.001)})
    assert ranges["first"] == pytest.approx((-3.0, 255 * 3 / 127 - 3))
    assert ranges["gate/shifted"] == pytest.approx((0.0, 255 * 3 / 127))


def test_padding_that_same_would_compute_is_same() -> None:
    def padded(pads: Any, **options: Any) -> list[str]:
        return rewritten(same_padding, lambda x: conv(4, 3, padding="valid", **options)(layers.ZeroPadding2D(pads)(x)))[
            0
        ]

    assert padded(1) == ["Conv2D"]
    assert padded(2, dilation_rate=2) == ["Conv2D"]
    assert padded(((0, 1), (0, 1)), strides=2) == ["Conv2D"]
    assert padded(1, strides=2) == ["ZeroPadding2D", "Conv2D"]
    assert padded(((1, 1), (0, 2))) == ["ZeroPadding2D", "Conv2D"]


@pytest.mark.parametrize(
    ("function", "left"),
    [
        (lambda x: layers.BatchNormalization()(layers.Concatenate()([conv(3)(x), conv(4)(x)])), 0),
        (lambda x: conv(4, 1)(layers.BatchNormalization()(x)), 0),
        (lambda x: conv(4, 3, padding="valid")(layers.BatchNormalization()(x)), 0),
        (lambda x: conv(4, 3)(layers.BatchNormalization()(x)), 1),  # a padded zero is not shifted
        (lambda x: conv(4, 3)(layers.Rescaling(0.5)(x)), 0),  # a scale alone passes
        (lambda x: conv(4, 3)(layers.Rescaling(0.5, 1.0)(x)), 1),
        (lambda x: conv(4, 3, padding="valid")(layers.ZeroPadding2D(1)(layers.Rescaling(2.0)(x))), 0),
        (lambda x: layers.Dense(3)(layers.BatchNormalization()(layers.GlobalAveragePooling2D()(x))), 0),
        (lambda x: layers.BatchNormalization()(layers.Conv2DTranspose(4, 3, 2)(x)), 0),
        (lambda x: GroupedConv2D(4, 1, groups=2)(layers.Rescaling(2.0, 1.0)(x)), 0),
        (lambda x: GroupedConv2D(4, 1, groups=2)(layers.BatchNormalization()(x)), 1),
        (lambda x: conv(4)(layers.Normalization(mean=[1.0] * 6, variance=[2.0] * 6)(x)), 0),
        (lambda x: layers.BatchNormalization()(layers.ZeroPadding2D(1)(conv(4)(x))), 1),
        (lambda x: layers.BatchNormalization()(layers.Rescaling(2.0, 1.0)(layers.ReLU()(x))), 1),
    ],
)
def test_scales_and_shifts_fold_exactly_where_they_can(function: Callable[[Any], Any], left: int) -> None:
    ops, _ = rewritten(fold_batch_norm, function)
    assert sum(op in ("BatchNormalization", "Rescaling", "Normalization") for op in ops) == left


def test_a_scale_that_groups_stop_is_told_as_such() -> None:
    left = rewritten(fold_batch_norm, lambda x: GroupedConv2D(4, 1, groups=2)(layers.BatchNormalization()(x)))[1]
    assert "a reader has groups" in str(left)


def test_a_shuffle_written_out_is_recognised() -> None:
    def shuffled(x: Any) -> Any:
        return layers.Reshape(SHAPE)(layers.Permute((1, 2, 4, 3))(layers.Reshape((8, 8, 3, 2))(x)))

    assert rewritten(recognise_shuffle, shuffled)[0] == ["ChannelShuffle"]

    def over_pixels(x: Any) -> Any:  # the same triple, but of half the pixels and twice the channels
        return layers.Reshape(SHAPE)(layers.Permute((1, 2, 4, 3))(layers.Reshape((8, 4, 4, 3))(x)))

    def of_a_vector(x: Any) -> Any:
        rows = layers.Permute((1, 2, 4, 3))(layers.Reshape((8, 8, 3, 2))(layers.Flatten()(x)))
        return layers.Reshape((384,))(rows)

    for function in (over_pixels, of_a_vector):
        assert "ChannelShuffle" not in rewritten(recognise_shuffle, function)[0]
    other = rewritten(recognise_shuffle, lambda x: layers.Reshape(SHAPE)(layers.Permute((2, 1, 3))(x)))
    assert other[0] == ["Permute", "Reshape"]


@pytest.mark.parametrize("preset", ["torch", "tf", "caffe", "none"])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_network_that_reads_pixels_answers_alike_at_the_border_too(preset: str, padding: str) -> None:
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    model = keras.Model(image, layers.Conv2D(4, 3, 2, padding, name="conv")(image))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype(np.float32)
    reading, left = reads_pixels(model, PRESETS[preset])
    expected = np.asarray(model(PRESETS[preset](pixels)))
    graph = lower(from_keras(reading))
    answers = LiteRT(emit(graph))(left(pixels))[0]
    assert np.abs(answers - expected).max() <= 1e-5 * np.abs(expected).max()
    assert "conv" in graph.nodes
    shifted_border = padding == "same" and preset not in ("none", "caffe")
    if preset != "caffe":  # whose channels are turned round by a convolution of their own
        assert ("DepthwiseConv2D" in {n.op for n in graph.nodes.values()}) == shifted_border


def test_double_reshapes_and_pads_merge_and_joins_of_one_go() -> None:
    reshaped = rewritten(
        remove_identities, lambda x: layers.Reshape((4, 96))(layers.Reshape((48, 8))(layers.Flatten()(x)))
    )
    assert reshaped[0] == ["Reshape"]
    padded = rewritten(remove_identities, lambda x: layers.ZeroPadding2D(((0, 2), (1, 0)))(layers.ZeroPadding2D(1)(x)))
    assert padded[0] == ["ZeroPadding2D"]
    assert rewritten(remove_identities, lambda x: layers.Add()([layers.Reshape(SHAPE)(x), x]))[0] == ["Add"]
    assert rewritten(remove_identities, layers.MaxPooling2D(1, 1))[0] == []


def test_what_is_said_to_fuse_is_what_the_emitter_fuses() -> None:
    from keras_cnnzoo.export.contents import operators

    made = {
        "Conv2D": conv(),
        "Conv2DTranspose": layers.Conv2DTranspose(3, 3),
        "DepthwiseConv2D": layers.DepthwiseConv2D(3),
        "Dense": layers.Dense(3),
        "LayerNormalization": layers.LayerNormalization(center=False, scale=False),
        "MaxPooling2D": layers.MaxPooling2D(2),
        "AveragePooling2D": layers.AveragePooling2D(2),
        "Add": lambda x: layers.Add()([x, conv()(x)]),
        "Multiply": lambda x: layers.Multiply()([x, conv()(x)]),
        "Rescaling": layers.Rescaling(1.0, 3.0),
        "Subtract": lambda x: layers.Subtract()([x, conv()(x)]),
        "Average": lambda x: layers.Average()([x, conv()(x)]),
        "keras.src.ops.numpy.Divide": lambda x: keras.ops.divide(x, keras.ops.square(x) + 1.0),
        "keras.src.ops.numpy.TrueDivide": lambda x: x / (keras.ops.square(x) + 1.0),
        "MapScale": layers.AveragePooling2D(3, 1, "same"),  # which average-pool makes of it
    }
    assert set(made) == FUSING
    chosen = [p for p in PASSES if p.name in ("separate-activations", "average-pool", "relu-by-depthwise")]
    for name, layer in made.items():
        graph = lower(from_keras(model_of(lambda x, layer=layer: layers.ReLU()(layer(x)))), chosen)
        assert name in {node.op for node in graph.nodes.values()} or name == "AveragePooling2D"
        assert not any(node.endswith("/carrier") for node in graph.nodes), name
        assert "RELU" not in {op.name for op in operators(emit(graph))}, name


@pytest.mark.parametrize(
    ("run", "pool"),
    [
        (average_pool, layers.AveragePooling2D(3, (2, 1))),
        (average_pool, layers.AveragePooling2D(3, (1, 2), "same")),
        (subsample, layers.MaxPooling2D(1, (2, 1))),
    ],
)
def test_a_pool_of_unequal_strides_stays_since_no_depthwise_convolution_has_them(run: Any, pool: Any) -> None:
    ops, left = rewritten(run, pool)
    assert ops == [type(pool).__name__]
    assert "strides" in left[pool.name]


def test_a_relu_behind_the_first_half_of_a_split_has_the_half_s_shape() -> None:
    def network(x: Any) -> Any:
        first, second = ChannelSplit(name="split")(layers.Add()([x, conv(6)(x)]))
        return layers.ReLU()(layers.Concatenate()([first, conv(3)(second)]))

    model = model_of(network)
    graph = relu_to_producers(lower(from_keras(model), CANONICAL[:5]))
    (standing,) = (node for node in graph.nodes.values() if node.inputs == ("split",))
    assert standing.shapes == ((8, 8, 3),)
    np.testing.assert_allclose(np.asarray(to_keras(graph)(IMAGES)), np.asarray(model(IMAGES)), atol=1e-5)


@keras.saving.register_keras_serializable("tests")
def doubled(x: keras.KerasTensor) -> keras.KerasTensor:
    return 2 * x


@pytest.mark.parametrize("function", ["log_softmax", "sparsemax", doubled])
def test_an_activation_that_looks_at_several_channels_keeps_their_order(function: Any) -> None:
    def network(x: Any) -> Any:
        x = layers.Activation(function)(layers.Conv2D(12, 1)(x))
        kept, worked = ChannelSplit()(ChannelShuffle(2)(x))
        return layers.Concatenate()([conv(2)(kept), conv(2)(worked)])

    ops, left = rewritten(channel_order, network)
    assert "ChannelShuffle" in ops
    assert left


def test_a_shuffle_that_two_read_is_told_as_such() -> None:
    def network(x: Any) -> Any:
        x = ChannelShuffle(3, name="shuffle")(x)
        return layers.Add()([layers.DepthwiseConv2D(3, padding="same")(x), x])

    assert rewritten(late_shuffle, network)[1] == {"shuffle": "it is read more than once"}


def broken(graph: Graph, declined: Any) -> Graph:
    """A pass that doubles the first kernel."""
    for node in graph.nodes.values():
        if node.op == "Conv2D":
            kernel, *others = node.weights
            from dataclasses import replace

            return graph.update(replace(node, weights=(2 * kernel, *others)))
    return graph


def raising(graph: Graph, declined: Any) -> Graph:
    raise KeyError("oops")


def test_a_pass_that_changes_answers_or_raises_is_undone_and_named_and_the_others_stay() -> None:
    model = model_of(lambda x: layers.BatchNormalization()(layers.Dropout(0.1)(conv()(x))))
    wrong = Pass("wrong", broken, "to be caught"), Pass("raising", raising, "to be caught")
    lowered = lower_under(from_keras(model), (*wrong, *PASSES), Parity.of(model))
    assert [step.name for step in lowered.undone] == ["wrong", "raising"]
    assert "differ" in (lowered.undone[0].fault or "")
    assert "oops" in (lowered.undone[1].fault or "")
    assert "fold-batch-norm" in lowered.passes
    assert Parity.of(model)(lowered.graph, lowered.graph) is None


def test_no_pass_is_blamed_for_a_rule_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "ELU", lambda call: call.operator("TANH", call.inputs))
    model = model_of(lambda x: layers.ELU()(layers.BatchNormalization()(conv()(x))))
    lowered = lower_under(from_keras(model), PASSES, Parity.of(model))
    assert not lowered.undone
    assert "fold-batch-norm" in lowered.passes
    assert "differ" in (lowered.fault or "")


@pytest.mark.parametrize(("error", "undone"), [(2e-4, False), (2e-2, True)])
def test_what_a_network_rounds_by_itself_undoes_no_pass(error: float, undone: bool) -> None:
    model = model_of(lambda x: layers.BatchNormalization()(conv()(x)))
    check = Parity.of(model)
    check.expected = [expected + error * np.abs(expected).max() for expected in check.expected]
    lowered = lower_under(from_keras(model), PASSES, check)
    assert not lowered.undone
    assert (lowered.fault is not None) == undone


def test_outputs_by_name_are_compared_in_the_order_of_their_names() -> None:
    model = model_of(lambda x: {"logits": conv(4)(x), "features": layers.BatchNormalization()(conv(3)(x))})
    lowered = lower_under(from_keras(model), PASSES, Parity.of(model))
    assert "fold-batch-norm" in lowered.passes
    assert not lowered.undone
    assert lowered.fault is None


def of_two(function: Callable[[Any, Any], Any]) -> keras.Model:
    keras.utils.set_random_seed(0)
    first, second = keras.Input(SHAPE, name="first"), keras.Input(SHAPE, name="second")
    return keras.Model([first, second], function(first, second))


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: layers.Concatenate()([conv(2)(a), conv(3)(b)]),
        lambda a, b: conv(2)(a) / (keras.ops.square(conv(2)(b)) + 1.0),
        lambda a, b: keras.ops.matmul(a, keras.ops.transpose(b, (0, 1, 3, 2))),
        lambda a, b: layers.MultiHeadAttention(2, 3)(layers.Reshape((64, 6))(a), layers.Reshape((64, 6))(b)),
    ],
    ids=["concatenation", "division", "product", "attention"],
)
def test_a_network_of_two_inputs_is_lowered_in_its_order(function: Callable[[Any, Any], Any]) -> None:
    from keras_cnnzoo import export

    model = of_two(function)
    lowered = export.lower(model)
    assert [tensor.name for tensor in lowered.inputs] == ["first", "second"]
    np.testing.assert_allclose(
        np.asarray(lowered([IMAGES, IMAGES[::-1]])), np.asarray(model([IMAGES, IMAGES[::-1]])), atol=1e-4
    )


def test_a_lowered_network_that_answers_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from keras_cnnzoo import export

    monkeypatch.setitem(RULES, "ELU", lambda call: call.operator("TANH", call.inputs))
    with pytest.raises(InputError, match="answers otherwise"):
        export.lower(model_of(lambda x: layers.ELU()(conv()(x))))


def test_inputs_by_name_and_mixed_precision_do_not_disturb_the_comparison() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        first, second = keras.Input(SHAPE, name="b"), keras.Input(SHAPE, name="a")
        x = layers.BatchNormalization()(layers.Add()([conv(4)(first), conv(4)(second)]))
        model = keras.Model({"b": first, "a": second}, layers.Activation("linear", dtype="float32")(x))
    finally:
        keras.config.set_dtype_policy("float32")
    wrong = Pass("wrong", broken, "to be caught")
    lowered = lower_under(from_keras(model), (wrong, *PASSES), Parity.of(model))
    assert [step.name for step in lowered.undone] == ["wrong"]
    assert "normalize-by-depthwise" in lowered.passes
    assert [node.name for node in lowered.graph.inputs] == ["a", "b"]
    assert lowered.fault is None


def test_a_pass_that_is_wrong_is_undone_in_a_network_of_two_inputs_too() -> None:
    model = of_two(lambda a, b: layers.Add()([conv(2)(a), conv(2)(b)]))
    lowered = lower_under(from_keras(model), [Pass("wrong", broken, "to be caught")], Parity.of(model))
    assert [step.name for step in lowered.undone] == ["wrong"]


def test_a_layer_that_cannot_be_rebuilt_is_refused_in_a_sentence_and_blames_no_pass() -> None:
    from keras_cnnzoo import export

    model = model_of(lambda x: layers.BatchNormalization()(conv(2)(x)) ** 2)
    with pytest.raises(InputError, match="cannot be called anew"):
        export.lower(model)
    assert not lower_under(from_keras(model), PASSES, Parity.of(model)).undone


def test_names_choose_passes_in_their_own_order() -> None:
    chosen = choose("wide-groups,early-pool", "int8")
    assert [p.name for p in chosen if not p.canonical] == ["early-pool", "wide-groups"]
    assert choose("none") == CANONICAL
    assert "hard-swish" in {p.name for p in choose("auto", "int8")}
    assert {"hard-swish", "relu-by-depthwise"} <= {p.name for p in choose("auto", "int16")}  # float operators there
    assert choose("auto", "int4") == choose("auto", "int8")  # by the activations
    assert "hard-swish" not in {p.name for p in choose("auto", "float32")}
    assert "hard-swish" in {p.name for p in choose("auto,hard-swish", "float32")}
    assert "relu-to-producers" in {p.name for p in choose("auto", "int8")}


@pytest.mark.parametrize("spec", ["fast", "none,early-pool", "", "fold-batch-norm"])
def test_a_choice_that_is_none_is_refused_with_the_names(spec: str) -> None:
    with pytest.raises(InputError, match=r"--lower"):
        choose(spec)


def test_auto_takes_no_pass_that_a_machine_measured_loses_by() -> None:
    for scheme in ("float32", "int8"):
        names = {p.name for p in choose("auto", scheme)}  # type: ignore[arg-type]
        for table in costs().values():
            for name, measured in table[scheme].items():
                assert name not in names or measured["gain"] >= 0.98
    with pytest.raises(InputError, match="known are"):
        choose("auto", "int8", "abacus")
    for spec in ("none", "early-pool"):
        with pytest.raises(InputError, match="only auto goes by costs"):
            choose(spec, "int8", "this")
    assert this_target()


def test_a_table_of_one_s_own_decides_what_pays_and_what_it_lacks_goes_by_the_others(tmp_path: Path) -> None:
    table = tmp_path / "costs.toml"
    rows = "early-pool = { gain = 0.9 }\nwide-pixels = { gain = 1.2 }\n"
    table.write_text("".join(f"[here.{scheme}]\n{rows}" for scheme in ("float32", "int8")))
    everywhere, here = (
        {p.name for p in choose("auto", "int8", machine) if not p.canonical} for machine in (None, str(table))
    )
    assert "early-pool" in everywhere
    assert here == everywhere - {"early-pool"} | {"wide-pixels"}


@pytest.mark.parametrize("content", ["x = ", "[here.int8]\nearly-pool = 3", "[here.float32]", None])
def test_what_is_no_table_of_costs_is_refused_in_a_sentence(tmp_path: Path, content: str | None) -> None:
    table = tmp_path / "costs.toml"
    if content is not None:
        table.write_text(content)
    with pytest.raises(InputError, match=r"--costs-of .*costs\.toml: (no table of|No such file)"):
        choose("auto", "int8", str(table))


@pytest.mark.parametrize(
    ("gains", "taken"), [((1.3, 0.99), True), ((1.3, 0.97), False), ((1.0, 0.99), False), ((), False), ((1.01,), True)]
)
def test_a_pass_pays_if_it_gains_over_all_machines_and_loses_on_none(
    monkeypatch: pytest.MonkeyPatch, gains: tuple[float, ...], taken: bool
) -> None:
    table = {f"machine {i}": {"int8": {"early-pool": {"gain": gain}}} for i, gain in enumerate(gains)}
    monkeypatch.setattr("keras_cnnzoo.export.lowering.passes.costs", lambda: table)
    assert ("early-pool" in {p.name for p in choose("auto", "int8")}) == taken


def test_what_is_expected_is_a_pass_s_step_on_the_slowest_machine_and_its_gain_where_no_step_was_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = {"a": {"gain": 1.1, "step": 1.5}, "b": {"gain": 1.2}, "c": {"gain": 1.3, "step": 1.9}}
    table = {name: {"int8": {"early-pool": row}} for name, row in rows.items()}
    monkeypatch.setattr("keras_cnnzoo.export.lowering.passes.costs", lambda: table)
    assert [expected_step("early-pool", "int8", name) for name in rows] == [1.5, 1.2, 1.9]
    assert expected_step("early-pool", "int8") == 1.2
    assert expected_step("subsample", "int8") is None


def test_the_lowered_network_is_a_keras_model_that_saves_and_answers_alike(
    shufflenet: keras.Model, some_images: np.ndarray, tmp_path: Any
) -> None:
    from keras_cnnzoo import export

    lowered = export.lower(shufflenet)
    lowered.save(tmp_path / "lowered.keras")
    again = keras.saving.load_model(tmp_path / "lowered.keras")
    expected = np.asarray(shufflenet(some_images[:8]))
    assert np.abs(np.asarray(again(some_images[:8])) - expected).max() <= 1e-5 * np.abs(expected).max()
    assert not any(isinstance(layer, ChannelShuffle | ChannelSplit) for layer in lowered.layers)
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in lowered.layers)
    assert lowered.input_shape == shufflenet.input_shape
