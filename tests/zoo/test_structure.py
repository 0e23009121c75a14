"""Blocks are found by the graph alone, in any functional model."""

from collections.abc import Callable

import keras
import pytest
from keras import layers

import keras_cnnzoo as zoo
from keras_cnnzoo.structure import Block, stages


def test_residual_units_and_their_branches() -> None:
    stem, *rest, head = stages(zoo.ResNet50())
    assert stem.blocks == (Block((("7×7, 64 / 2", "max 3×3 / 2"),)),)
    assert [[block.count for block in stage.blocks] for stage in rest] == [[1, 2], [1, 3], [1, 5], [1, 2]]
    assert rest[0].blocks[1] == Block(((), ("1×1, 64", "3×3, 64", "1×1, 256")), "+", 2)
    assert head.blocks == (Block((("average", "dense, 1000"),)),)


def test_a_shuffle_is_drawn_with_the_unit_before_it_and_a_split_with_the_one_behind() -> None:
    stage = stages(zoo.ShuffleNetV2())[2]
    down, repeated = stage.blocks
    assert (down.merge, repeated.merge, repeated.count) == ("concat, shuffle", "concat, shuffle", 7)
    assert repeated.branches == (("split",), ("1×1, 116", "3×3 depthwise", "1×1, 116"))


def test_stages_add_up_to_the_network() -> None:
    model = zoo.ShuffleNetV2(width=0.5)
    assert sum(stage.cost.macs for stage in stages(model)) == zoo.complexity(model).macs


def test_a_model_of_somebody_else_s_is_one_stage() -> None:
    image = keras.Input((8, 8, 4))
    x = layers.Conv2D(4, 3, padding="same")(image)
    x = layers.Add()([x, layers.DepthwiseConv2D(3, padding="same")(x)])
    (only,) = stages(keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x))))
    assert only.blocks == (
        Block((("3×3, 4",),)),
        Block(((), ("3×3 depthwise",)), "+"),
        Block((("average", "dense, 3"),)),
    )


def test_a_model_of_unknown_size_is_refused_in_a_sentence() -> None:
    with pytest.raises(zoo.InputError, match="input_shape of numbers"):
        stages(zoo.ResNet18(input_shape=(None, None, 3)))


@pytest.mark.parametrize(
    ("build", "size"), [(zoo.GoogLeNet, 64), (zoo.InceptionV3, 128)], ids=["googlenet", "inception_v3"]
)
def test_auxiliary_heads_are_refused_in_a_sentence(build: Callable[..., keras.Model], size: int) -> None:
    with pytest.raises(zoo.InputError, match=r"leave auxiliary heads out \(aux_heads=false\)"):
        stages(build(aux_heads=True, input_shape=(size, size, 3)))


def test_channels_that_stand_first_are_no_side_of_the_map() -> None:
    image = keras.Input((3, 10, 8))
    for layer, macs, words in (
        (layers.Conv2D(4, 3, data_format="channels_first"), 8 * 6 * 27 * 4, "3×3, 4"),
        (layers.SeparableConv2D(4, 3, data_format="channels_first"), 8 * 6 * (27 + 12), "3×3, 4"),
        (layers.Conv2DTranspose(4, 3, data_format="channels_first"), 10 * 8 * 27 * 4, None),
    ):
        model = keras.Model(image, layer(image))
        assert zoo.complexity(model).macs == macs
        if words:
            assert stages(model)[0].blocks == (Block(((words,),)),)


def test_nested_models_and_convolutions_of_other_ranks_are_counted() -> None:
    image = keras.Input((8, 8, 3))
    inner = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, padding="same")])
    nested = keras.Model(image, keras.layers.Conv2D(2, 1)(inner(image)))
    assert zoo.complexity(nested).macs == 64 * (27 * 4 + 4 * 2)
    assert zoo.complexity(keras.Sequential([inner, keras.layers.Conv2D(2, 1)])).macs == zoo.complexity(nested).macs
    line, cube = keras.Input((10, 3)), keras.Input((5, 5, 5, 2))
    assert zoo.complexity(keras.Model(line, keras.layers.Conv1D(4, 3)(line))).macs == 8 * 9 * 4
    assert zoo.complexity(keras.Model(line, keras.layers.SeparableConv1D(4, 3)(line))).macs == 8 * (9 + 12)
    assert zoo.complexity(keras.Model(cube, keras.layers.Conv3D(4, 3)(cube))).macs == 27 * 54 * 4
    assert zoo.complexity(keras.Model(cube, keras.layers.Conv3DTranspose(4, 2)(cube))).macs == 125 * 16 * 4


def test_a_block_inside_a_branch_is_drawn_inside_it() -> None:
    image = keras.Input((8, 8, 4))
    x = layers.Conv2D(8, 1)(image)
    gate = layers.Conv2D(8, 1, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Conv2D(4, 1)(layers.Multiply()([x, gate]))
    (only,) = stages(keras.Model(image, layers.Add()([image, x])))
    gated = Block(((), ("average", "1×1, 8")), "×")
    assert only.blocks == (Block(((), ("1×1, 8", gated, "1×1, 4")), "+"),)


def test_branches_inside_a_branch_stand_side_by_side() -> None:
    image = keras.Input((8, 8, 4))
    narrow, wide = layers.Conv2D(2, 1)(image), layers.Conv2D(2, 3, padding="same")(layers.Conv2D(2, 1)(image))
    x = layers.Conv2D(4, 1)(layers.Concatenate()([narrow, wide]))
    (only,) = stages(keras.Model(image, layers.Add()([image, x])))
    inner = Block((("1×1, 2",), ("1×1, 2", "3×3, 2")), "concat")
    assert only.blocks == (Block(((), (inner, "1×1, 4")), "+"),)
