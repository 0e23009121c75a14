"""ResNeXt against its references."""

import re
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

import keras_cnnzoo as zoo
from keras_cnnzoo.layers import GroupedConv2D

LOGITS = {"classifier_activation": None}


@pytest.mark.parametrize("name", ["resnext50_32x4d", pytest.param("resnext101_64x4d", marks=pytest.mark.slow)])
def test_torchvision_weights_give_torchvision_logits(name: str, assert_torch_parity: Callable) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    assert_torch_parity(partial(zoo.create, name, **LOGITS), models.get_model(name), 96)


def test_timm_weights_of_a_gated_network_give_timm_logits(assert_torch_parity: Callable) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    build = partial(zoo.create, "resnext50_32x4d", se_ratio=16, **LOGITS)
    assert_torch_parity(build, timm.create_model("seresnext50_32x4d"), 64)


@pytest.mark.parametrize(
    ("name", "size", "shapes"),
    [
        ("resnext50_32x4d", 224, {"stem": (56, 56, 64), "layer1": (56, 56, 256), "layer4": (7, 7, 2048)}),
        ("resnext50_32x4d", 160, {"stem": (40, 40, 64), "layer2": (20, 20, 512), "layer3": (10, 10, 1024)}),
        ("resnext29_8x64d", 32, {"stem": (32, 32, 64), "layer1": (32, 32, 256), "layer3": (8, 8, 1024)}),
    ],
)
@pytest.mark.usefixtures("zero_kernels")
def test_end_points(name: str, size: int, shapes: dict[str, tuple[int, ...]]) -> None:
    model = zoo.create(name, input_shape=(size, size, 3))
    assert {end: model.get_layer(end).output.shape[1:] for end in shapes} == shapes


def test_a_small_input_keeps_its_size_through_the_stem() -> None:
    model = zoo.ResNeXt50_32x4d(small_input=True)
    shapes = {"stem": (32, 32, 64), "layer1": (32, 32, 256), "layer4": (4, 4, 2048)}
    assert {end: model.get_layer(end).output.shape[1:] for end in shapes} == shapes


@pytest.mark.parametrize(("cardinality", "width"), [(1, 64), (2, 40), (8, 14), (32, 4)])
def test_cardinality_and_width_trade_at_the_paper_s_complexity(cardinality: int, width: int) -> None:
    """Table 2: a conv2 template of cardinality C and width d has some 70 k parameters at each of the pairs."""
    model = zoo.ResNeXt50_32x4d(cardinality=cardinality, width=width, input_shape=(64, 64, 3))
    convs = [model.get_layer(f"layer1_1_conv{i}") for i in (1, 2, 3)]
    assert [conv.groups for conv in convs] == [1, cardinality, 1]
    assert convs[1].filters == cardinality * width
    assert 68_000 < sum(int(np.prod(conv.kernel.shape)) for conv in convs) < 72_000


def test_the_grouped_convolutions_are_the_zoo_s_own() -> None:
    model = zoo.ResNeXt29_8x64d(cardinality=2, width=8)
    grouped = [layer.name for layer in model.layers if isinstance(layer, GroupedConv2D)]
    assert grouped == [f"layer{stage}_{index}_conv2" for stage in (1, 2, 3) for index in range(3)]


@pytest.mark.parametrize("wrong", [{"cardinality": 0}, {"width": 0}, {"se_ratio": -1}], ids=str)
def test_a_count_below_one_is_refused(wrong: dict) -> None:
    (option, value) = next(iter(wrong.items()))
    with pytest.raises(zoo.InputError, match=re.escape(f"{option}={value}")):
        zoo.ResNeXt50_32x4d(**wrong)
