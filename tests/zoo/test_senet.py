"""Squeeze-and-excitation networks against timm's ports of the authors' release."""

from collections.abc import Callable
from functools import partial

import keras
import pytest

import keras_cnnzoo as zoo
from keras_cnnzoo.families.senet import deep_stem
from keras_cnnzoo.kit import Kit

LOGITS = {"classifier_activation": None}


@pytest.mark.parametrize(
    "name",
    [
        "seresnet18",
        "seresnet50",
        "seresnext50_32x4d",
        pytest.param("senet154", marks=pytest.mark.slow),
    ],
)
def test_timm_weights_give_timm_logits(name: str, assert_torch_parity: Callable) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    assert_torch_parity(partial(zoo.create, name, **LOGITS), timm.create_model(f"legacy_{name}"), 80)


@pytest.mark.parametrize(
    ("name", "size", "shapes"),
    [
        ("seresnet50", 224, {"stem": (56, 56, 64), "layer1": (56, 56, 256), "layer4": (7, 7, 2048)}),
        ("seresnet18", 160, {"stem": (40, 40, 64), "layer2": (20, 20, 128), "layer4": (5, 5, 512)}),
        ("seresnet20", 32, {"stem": (32, 32, 16), "layer1": (32, 32, 16), "layer3": (8, 8, 64)}),
        ("seresnext50_32x4d", 64, {"stem": (16, 16, 64), "layer3": (4, 4, 1024)}),
    ],
)
@pytest.mark.usefixtures("zero_kernels")
def test_end_points(name: str, size: int, shapes: dict[str, tuple[int, ...]]) -> None:
    model = zoo.create(name, input_shape=(size, size, 3))
    assert {end: model.get_layer(end).output.shape[1:] for end in shapes} == shapes


def test_senet154_has_its_deep_stem_its_wide_projections_and_its_dropout() -> None:
    model = zoo.SENet154(input_shape=(64, 64, 3))
    shapes = {"layer0_conv1": (32, 32, 64), "layer0_conv3": (32, 32, 128), "stem": (16, 16, 128)}
    assert {end: model.get_layer(end).output.shape[1:] for end in shapes} == shapes
    kernels = [model.get_layer(f"layer{stage}_0_downsample_0").kernel_size for stage in (1, 2, 3, 4)]
    assert kernels == [(1, 1), (3, 3), (3, 3), (3, 3)]
    grouped = model.get_layer("layer2_0_conv2")
    assert (grouped.groups, grouped.input.shape[-1], grouped.filters) == (64, 256, 512)
    assert model.get_layer("last_linear_dropout").rate == 0.2
    small = deep_stem(Kit(), keras.Input((32, 32, 3)), small_input=True)
    assert small.shape == (None, 32, 32, 128)


def test_a_small_input_keeps_its_size_through_the_stem() -> None:
    model = zoo.SEResNet18(small_input=True)
    shapes = {"stem": (32, 32, 64), "layer1": (32, 32, 64), "layer4": (4, 4, 512)}
    assert {end: model.get_layer(end).output.shape[1:] for end in shapes} == shapes


@pytest.mark.parametrize("ratio", [4, 16])
def test_the_gate_s_reduction_is_the_one_asked_for(ratio: int) -> None:
    model = zoo.SEResNet18(se_ratio=ratio, input_shape=(64, 64, 3))
    assert model.get_layer("layer3_1_se_module_fc1").filters == 256 // ratio
    assert model.get_layer("layer3_1_se_module_fc2").filters == 256


def test_without_gates_the_cifar_network_is_the_residual_one() -> None:
    gates = 3 * sum(2 * c * (c // 16) + c // 16 + c for c in (16, 32, 64))
    assert zoo.SEResNet20().count_params() - zoo.ResNet20(shortcut="B").count_params() == gates


def test_the_gate_scales_the_branch_before_the_addition() -> None:
    model = zoo.SEResNet20()
    sources = [tensor._keras_history.operation.name for tensor in model.get_layer("layer2_1_add").input]
    assert "layer2_1_se_scale" in sources
    scaled = [tensor._keras_history.operation.name for tensor in model.get_layer("layer2_1_se_scale").input]
    assert scaled == ["layer2_1_bn2", "layer2_1_se_gate"]
