"""ShuffleNet against figure 2 of its paper, written in torch, and version 2 against torchvision's."""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import keras_cnnzoo as zoo

LOGITS = {"classifier_activation": None}


@pytest.mark.parametrize(("groups", "width"), [(3, 0.5), (1, 0.25)])
def test_torch_weights_give_the_papers_logits(groups: int, width: float, assert_torch_parity: Callable) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    first = {1: 144, 3: 240}[groups]
    reference = figure_2(int(24 * width), int(first * width), groups)
    assert_torch_parity(partial(zoo.ShuffleNetV1, groups=groups, width=width, **LOGITS), reference, 64)


def test_torchvision_weights_of_version_2_give_torchvision_logits(assert_torch_parity: Callable) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    name = "shufflenet_v2_x0_5"
    assert_torch_parity(partial(zoo.create, name, **LOGITS), models.get_model(name), 64)


def figure_2(stem: int, first: int, groups: int) -> Any:
    """The paper's network with pytorchcv's module names."""
    import torch
    from torch import nn
    from torch.nn.functional import relu

    class Unit(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int, grouped: bool) -> None:
            super().__init__()
            middle, added = outputs // 4, outputs if stride == 1 else outputs - inputs
            self.compress_conv1 = nn.Conv2d(inputs, middle, 1, groups=groups if grouped else 1, bias=False)
            self.compress_bn1 = nn.BatchNorm2d(middle)
            self.dw_conv2 = nn.Conv2d(middle, middle, 3, stride, 1, groups=middle, bias=False)
            self.dw_bn2 = nn.BatchNorm2d(middle)
            self.expand_conv3 = nn.Conv2d(middle, added, 1, groups=groups, bias=False)
            self.expand_bn3 = nn.BatchNorm2d(added)
            self.shuffle = nn.ChannelShuffle(groups)
            self.pool = nn.AvgPool2d(3, 2, 1) if stride == 2 else None

        def forward(self, x: Any) -> Any:
            y = self.shuffle(relu(self.compress_bn1(self.compress_conv1(x))))
            y = self.expand_bn3(self.expand_conv3(self.dw_bn2(self.dw_conv2(y))))
            return relu(x + y if self.pool is None else torch.cat((y, self.pool(x)), 1))

    parts = OrderedDict()
    parts["init_block"] = nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(3, stem, 3, 2, 1, bias=False),
            bn=nn.BatchNorm2d(stem),
            activ=nn.ReLU(),
            pool=nn.MaxPool2d(3, 2, 1),
        )
    )
    inputs = stem
    for stage, depth in enumerate((4, 8, 4), start=1):
        units = OrderedDict()
        for index in range(1, depth + 1):
            units[f"unit{index}"] = Unit(inputs, first, 2 if index == 1 else 1, (stage, index) != (1, 1))
            inputs = first
        parts[f"stage{stage}"] = nn.Sequential(units)
        first *= 2
    parts["final_pool"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(OrderedDict(features=nn.Sequential(parts), output=nn.Linear(inputs, 1000)))


@pytest.mark.parametrize(("size", "small_input", "sides"), [(224, False, (56, 28, 14, 7)), (32, True, (32, 16, 8, 4))])
@pytest.mark.usefixtures("zero_kernels")
def test_end_points(size: int, small_input: bool, sides: tuple[int, ...]) -> None:
    model = zoo.ShuffleNetV1(input_shape=(size, size, 3), small_input=small_input)
    names = ["stem", *(f"features_stage{stage}" for stage in (1, 2, 3))]
    shapes = [model.get_layer(name).output.shape[1:] for name in names]
    assert shapes == [(side, side, c) for side, c in zip(sides, (24, 240, 480, 960), strict=True)]


def test_every_1x1_convolution_but_the_first_has_groups() -> None:
    model = zoo.ShuffleNetV1(input_shape=(32, 32, 3), groups=8)
    convs = [layer for layer in model.layers if "_conv1" in layer.name or "_conv3" in layer.name]
    assert [conv.name for conv in convs if conv.groups == 1] == ["features_stage1_unit1_compress_conv1"]
    assert {conv.groups for conv in convs} == {1, 8}


def test_without_shuffle_nothing_but_the_shuffles_is_missing() -> None:
    layers = {layer.name for layer in zoo.ShuffleNetV1(input_shape=(32, 32, 3)).layers}
    without = {layer.name for layer in zoo.ShuffleNetV1(input_shape=(32, 32, 3), shuffle=False).layers}
    assert without < layers
    assert {name.rpartition("unit")[2][2:] for name in layers - without} == {"c_shuffle"}
    assert len(layers - without) == 16


@pytest.mark.parametrize(
    ("options", "words"),
    [({"groups": 5}, "groups=5"), ({"groups": 4, "width": 0.5}, "width=0.5"), ({"width": 0.01}, "width=0.01")],
    ids=str,
)
def test_groups_that_do_not_divide_the_channels_are_refused(options: dict, words: str) -> None:
    with pytest.raises(zoo.InputError, match=words):
        zoo.ShuffleNetV1(**options)
