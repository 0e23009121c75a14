"""SqueezeNet against its references."""

from collections.abc import Callable
from functools import partial

import keras
import numpy as np
import pytest

import keras_cnnzoo as zoo

LOGITS = {"classifier_activation": None}


@pytest.mark.parametrize("size", [96, 75])  # maps that hang over the edge of the ceil mode's windows, and others
@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_torchvision_weights_give_torchvision_logits(name: str, size: int, assert_torch_parity: Callable) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    assert_torch_parity(partial(zoo.create, name, **LOGITS), models.get_model(name), size)


@pytest.mark.parametrize(
    ("options", "sides"),
    [
        ({}, (109, 54, 27, 13)),
        ({"input_shape": (21, 21, 3)}, (8, 4, 2, 1)),
        ({"padding": "same"}, (112, 56, 28, 14)),
        ({"small_input": True}, (32, 16, 8, 4)),
    ],
    ids=str,
)
@pytest.mark.usefixtures("zero_kernels")
def test_squeezenet1_0_end_points(options: dict, sides: tuple[int, ...]) -> None:
    model = zoo.SqueezeNet1_0(**options)
    shapes = [model.get_layer(stage).output.shape[1:] for stage in ("stem", "stage1", "stage2", "stage3")]
    assert shapes == [(side, side, channels) for side, channels in zip(sides, (96, 256, 512, 512), strict=True)]


@pytest.mark.parametrize(
    ("bypass", "added", "projected"),
    [
        ("none", [], []),
        ("simple", [3, 5, 7, 9], []),
        ("complex", [2, 3, 4, 5, 6, 7, 8, 9], [2, 4, 6, 8]),
    ],
)
def test_bypasses_go_around_the_fire_modules_of_figure_2(bypass: str, added: list[int], projected: list[int]) -> None:
    model = zoo.SqueezeNet1_0(bypass=bypass, input_shape=(32, 32, 3))
    fires = [layer.name.removesuffix("_concat") for layer in model.layers if layer.name.endswith("_concat")]
    numbers = {fire: number for number, fire in enumerate(fires, start=2)}  # the paper counts from fire2 on

    def numbered(suffix: str) -> list[int]:
        found = (layer.name for layer in model.layers if layer.name.endswith(suffix))
        return sorted(numbers[name.removesuffix(suffix)] for name in found)

    assert (numbered("_add"), numbered("_bypass")) == (added, projected)


@pytest.mark.parametrize("side", [8, 9])  # windows that hang over the edge, and none
def test_maxima_behind_a_complex_bypass_may_be_negative(side: int) -> None:
    model = zoo.SqueezeNet1_0(bypass="complex", input_shape=(2 * (2 * side + 1) + 5,) * 2 + (3,))
    before, pool = model.get_layer("stage1").output, model.get_layer("features_6").output
    maps = -np.random.default_rng(0).uniform(1, 2, (1, *before.shape[1:])).astype(np.float32)
    assert before.shape[1] == side
    whole = np.pad(maps, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=-np.inf)
    expected = np.lib.stride_tricks.sliding_window_view(whole, (3, 3), (1, 2))[:, ::2, ::2].max((-2, -1))
    np.testing.assert_array_equal(np.asarray(keras.Model(before, pool)(maps)), expected)


def test_the_classifier_is_a_convolution() -> None:
    model = zoo.SqueezeNet1_1(classes=10)
    assert isinstance(model.get_layer("classifier_1"), keras.layers.Conv2D)
    assert model.get_layer("classifier_1").output.shape == (None, 13, 13, 10)
    assert not any(isinstance(layer, keras.layers.Dense) for layer in model.layers)
