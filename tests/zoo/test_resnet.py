"""ResNet, its second version and wide residual networks against their references."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest

import keras_cnnzoo as zoo

LOGITS = {"classifier_activation": None}


@pytest.mark.parametrize("name", ["resnet18", "resnet50", pytest.param("wide_resnet50_2", marks=pytest.mark.slow)])
def test_torchvision_weights_give_torchvision_logits(name: str, assert_torch_parity: Callable) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    assert_torch_parity(partial(zoo.create, name, **LOGITS), models.get_model(name), 96)


@pytest.mark.parametrize(("name", "reference"), [("resnet18_v2", "resnetv2_18"), ("resnet50_v2", "resnetv2_50")])
def test_timm_weights_of_version_2_give_timm_logits(name: str, reference: str, assert_torch_parity: Callable) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    assert_torch_parity(partial(zoo.create, name, **LOGITS), timm.create_model(reference), 96)


def test_a_wide_residual_network_is_the_reference_implementations(assert_torch_parity: Callable) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    assert_torch_parity(partial(zoo.create, "wrn28_10", **LOGITS), wide_residual_network(4, 10), 8)


def wide_residual_network(depth: int, width: int) -> Any:
    """The paper's network in torch, modules named as in xternalz/WideResNet-pytorch."""
    from torch import nn

    class Unit(nn.Module):
        def __init__(self, channels: int, filters: int, stride: int) -> None:
            super().__init__()
            self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(filters)
            self.conv1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
            self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
            if channels != filters:
                self.convShortcut = nn.Conv2d(channels, filters, 1, stride, bias=False)

        def forward(self, x: Any) -> Any:
            active = self.bn1(x).relu()
            branch = self.conv2(self.bn2(self.conv1(active)).relu())
            return branch + (self.convShortcut(active) if hasattr(self, "convShortcut") else x)

    class Block(nn.Module):
        def __init__(self, channels: int, filters: int, stride: int) -> None:
            super().__init__()
            self.layer = nn.Sequential(
                Unit(channels, filters, stride), *(Unit(filters, filters, 1) for _ in range(depth - 1))
            )

        def forward(self, x: Any) -> Any:
            return self.layer(x)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
            self.block1, self.block2 = Block(16, 16 * width, 1), Block(16 * width, 32 * width, 2)
            self.block3 = Block(32 * width, 64 * width, 2)
            self.bn1, self.fc = nn.BatchNorm2d(64 * width), nn.Linear(64 * width, 10)

        def forward(self, x: Any) -> Any:
            x = self.block3(self.block2(self.block1(self.conv1(x))))
            return self.fc(self.bn1(x).relu().mean((2, 3)))

    return Network()


@pytest.mark.parametrize("name", ["resnet50", "resnet50_v2"])
@pytest.mark.usefixtures("zero_kernels")
def test_the_keras_variant_s_norms_are_keras_applications(name: str) -> None:
    model = zoo.create(name, variant="keras", input_shape=(32, 32, 3))
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {(norm.epsilon, norm.momentum) for norm in norms} == {(1.001e-5, 0.99)}


def test_keras_applications_has_no_form_of_the_basic_networks() -> None:
    with pytest.raises(zoo.InputError, match="ResNet50, 101 and 152"):
        zoo.ResNet18(variant="keras")


@pytest.mark.parametrize(
    ("size", "shapes"),
    [
        (224, {"stem": (56, 56, 64), "layer1": (56, 56, 256), "layer2": (28, 28, 512), "layer4": (7, 7, 2048)}),
        (160, {"stem": (40, 40, 64), "layer1": (40, 40, 256), "layer2": (20, 20, 512), "layer4": (5, 5, 2048)}),
    ],
)
@pytest.mark.usefixtures("zero_kernels")
def test_resnet50_end_points(size: int, shapes: dict[str, tuple[int, ...]]) -> None:
    model = zoo.ResNet50(input_shape=(size, size, 3))
    assert shapes_of(model, *shapes) == shapes


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("resnet20", {"stem": (32, 32, 16), "layer1": (32, 32, 16), "layer2": (16, 16, 32), "layer3": (8, 8, 64)}),
        ("plain20", {"stem": (32, 32, 16), "layer1": (32, 32, 16), "layer2": (16, 16, 32), "layer3": (8, 8, 64)}),
        ("preresnet164", {"stem": (32, 32, 16), "layer1": (32, 32, 64), "layer3": (8, 8, 256)}),
        ("wrn28_10", {"stem": (32, 32, 16), "block1": (32, 32, 160), "block2": (16, 16, 320), "block3": (8, 8, 640)}),
    ],
)
@pytest.mark.usefixtures("zero_kernels")
def test_cifar_end_points(name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    assert shapes_of(zoo.create(name), *shapes) == shapes


def shapes_of(model: keras.Model, *names: str) -> dict[str, tuple[int, ...]]:
    return {name: model.get_layer(name).output.shape[1:] for name in names}


def test_a_small_input_keeps_its_size_through_the_stem() -> None:
    model = zoo.ResNet18V2(small_input=True)
    shapes = {"stem": (32, 32, 64), "stages_0": (32, 32, 64), "stages_3": (4, 4, 512)}
    assert shapes_of(model, *shapes) == shapes
    assert model.get_layer("stem_conv").kernel_size == (3, 3)


# https://arxiv.org/abs/1603.05027, figure 4 (a) to (e): a unit, and what stands before the first and behind the last
FIGURE_4 = {
    "original": ("conv norm act", "conv norm act conv norm add act", ""),
    "bn_after_add": ("conv norm act", "conv norm act conv add norm act", ""),
    "relu_before_add": ("conv norm act", "conv norm act conv norm act add", ""),
    "relu_only_preact": ("conv norm", "act conv norm act conv norm add", "act"),
    "full_preact": ("conv", "norm act conv norm act conv add", "norm act"),
}


@pytest.mark.parametrize("residual", FIGURE_4)
def test_a_unit_stands_in_the_order_of_the_papers_figure(residual: str) -> None:
    model = zoo.ResNet20(residual=residual)
    kinds = {"Conv2D": "conv", "BatchNormalization": "norm", "Activation": "act", "Add": "add"}
    names = [layer.name for layer in model.layers]

    def sequence(layers: list[keras.Layer]) -> str:
        return " ".join(kinds[type(layer).__name__] for layer in layers if type(layer).__name__ in kinds)

    stem = model.layers[: names.index("stem")]
    unit = [layer for layer in model.layers if layer.name.startswith("layer1_1_")]
    last = max(i for i, name in enumerate(names) if name.startswith("layer3_2_"))
    assert (sequence(stem), sequence(unit), sequence(model.layers[last + 1 :])) == FIGURE_4[residual]


def test_shortcuts_differ_in_their_parameters() -> None:
    count = {kind: zoo.ResNet20(shortcut=kind).count_params() for kind in ("none", "A", "B", "C")}
    projections = (16 * 32 + 4 * 32) + (32 * 64 + 4 * 64)
    identities = 3 * (16**2 + 4 * 16) + 2 * (32**2 + 4 * 32) + 2 * (64**2 + 4 * 64)
    assert count["A"] == count["none"]
    assert count["B"] - count["A"] == projections
    assert count["C"] - count["B"] == identities


def test_a_plain_network_adds_nothing() -> None:
    kinds = {type(layer).__name__ for layer in zoo.Plain20().layers}
    assert not kinds & {"Add", "ChannelPad", "MaxPooling2D"}


def test_a_preactivated_projection_reads_the_activated_map_and_an_identity_the_entering_one() -> None:
    model = zoo.PreResNet110()
    assert source(model.get_layer("layer2_0_shortcut_0")) == "layer2_0_relu1"
    assert "layer1" in source(model.get_layer("layer2_0_bn1"))
    assert "layer2_0_add" in [source(model.get_layer("layer2_1_add"), i) for i in (0, 1)]


def source(layer: keras.Layer, index: int = 0) -> str:
    inputs = layer.input if isinstance(layer.input, list) else [layer.input]
    return inputs[index]._keras_history.operation.name


@pytest.mark.parametrize(("stride_on", "strides"), [("3x3", [1, 2, 1]), ("1x1", [2, 1, 1])])
def test_the_stride_stands_on_the_convolution_asked_for(stride_on: str, strides: list[int]) -> None:
    model = zoo.ResNet50(stride_on=stride_on, input_shape=(64, 64, 3))
    assert [model.get_layer(f"layer2_0_conv{i}").strides[0] for i in (1, 2, 3)] == strides


def test_a_gate_adds_its_two_dense_layers_to_each_unit() -> None:
    gates = 2 * sum(2 * c * (c // 16) + c // 16 + c for c in (64, 128, 256, 512))
    shape = (64, 64, 3)
    plain, gated = (zoo.ResNet18(input_shape=shape, se_ratio=ratio).count_params() for ratio in (None, 16))
    assert gated - plain == gates


def test_stochastic_depth_grows_linearly_with_depth() -> None:
    model = zoo.ResNet20(drop_path=0.9)
    rates = [layer.rate for layer in model.layers if layer.name.endswith("_drop_path")]
    np.testing.assert_allclose(rates, np.arange(1, 10) / 10)
    assert not [layer for layer in zoo.ResNet20().layers if isinstance(layer, keras.layers.Dropout)]


def test_dropout_stands_between_the_convolutions_of_a_wide_unit_and_before_the_classifier_of_the_others() -> None:
    wide = zoo.WideResNet28_10(dropout=0.3)
    assert source(wide.get_layer("block2_layer_1_conv2")) == "block2_layer_1_dropout"
    assert wide.get_layer("block2_layer_1_dropout").rate == 0.3
    deep = zoo.ResNet18(dropout=0.3, input_shape=(64, 64, 3))
    assert source(deep.get_layer("fc")) == "fc_dropout"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"residual": "sideways"}, "residual='sideways'"),
        ({"shortcut": "D"}, "shortcut='D'"),
        ({"se_ratio": 0}, "se_ratio=0"),
        ({"se_ratio": 2.5}, "se_ratio=2.5"),
        ({"drop_path": 1.0}, "drop_path=1.0"),
        ({"drop_path": 0.1, "shortcut": "none"}, "shortcut='none' has none"),
        ({"variant": "tf"}, "variant='tf'"),
        ({"stride_on": "5x5"}, "stride_on='5x5'"),
    ],
    ids=str,
)
def test_an_unknown_option_is_refused(wrong: dict, words: str) -> None:
    with pytest.raises(zoo.InputError, match=re.escape(words)):
        zoo.ResNet50(**wrong)


@pytest.mark.parametrize("stride_on", ["1x1", "5x5"])
def test_basic_units_have_no_choice_of_what_carries_the_stride(stride_on: str) -> None:
    with pytest.raises(zoo.InputError, match=f"stride_on='{stride_on}': resnet18's units are of 3x3"):
        zoo.ResNet18(stride_on=stride_on)
    assert zoo.ResNet18(stride_on="3x3", input_shape=(32, 32, 3)).count_params() > 0


@pytest.mark.parametrize("residual", FIGURE_4)
def test_every_variable_learns_in_one_step(residual: str, assert_learns: Callable) -> None:
    model = zoo.ResNet20(residual=residual, input_shape=(16, 16, 3))
    assert_learns(model)


def test_a_gated_preactivated_network_learns(assert_learns: Callable) -> None:
    assert_learns(zoo.ResNet18V2(small_input=True, se_ratio=16, drop_path=0.1, input_shape=(16, 16, 3), classes=10))


def test_a_cifar_network_of_any_depth_and_width_is_the_table_s_where_they_agree() -> None:
    deep, table = zoo.create("resnet20", depth=56, width=16), zoo.create("resnet56")
    assert [w.shape for w in deep.weights] == [w.shape for w in table.weights]
    thin = zoo.create("plain20", depth=8, width=4, input_shape=(8, 8, 3))
    kernels = [(3, 3, 3, 4), *[(3, 3, 4, 4)] * 2, (3, 3, 4, 8), (3, 3, 8, 8), (3, 3, 8, 16), (3, 3, 16, 16)]
    assert [tuple(layer.kernel.shape) for layer in thin.layers if "conv" in layer.name and layer.weights] == kernels
    assert zoo.create("preresnet164", depth=11, input_shape=(8, 8, 3)).count_params() > 0
    with pytest.raises(zoo.InputError, match=r"depth=16: expected 6n \+ 2"):
        zoo.create("resnet20", depth=16)
    for option, value in (("width", 0), ("width", 16.5), ("depth", 20.0)):
        with pytest.raises(zoo.InputError, match=f"{option}={value}: expected a count"):
            zoo.create("resnet20", **{option: value})
