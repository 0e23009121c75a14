"""MobileNetV2 against its references."""

from collections.abc import Callable
from functools import partial

import keras
import pytest

import keras_cnnzoo as zoo

LOGITS = {"classifier_activation": None}
NAMES = ["stem", *(f"stage{stage}" for stage in range(1, 8))]


@pytest.mark.parametrize("width", [0.35, pytest.param(1.4, marks=pytest.mark.slow)])
def test_torchvision_weights_give_torchvision_logits(width: float, assert_torch_parity: Callable) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    assert_torch_parity(partial(zoo.MobileNetV2, width=width, **LOGITS), models.MobileNetV2(width_mult=width), 64)


def test_the_keras_variant_is_keras_applications_function(assert_keras_parity: Callable) -> None:
    shape = (100, 100, 3)
    reference = keras.applications.MobileNetV2(shape, 0.35, weights=None, classifier_activation=None)
    assert_keras_parity(zoo.MobileNetV2(input_shape=shape, width=0.35, variant="keras", **LOGITS), reference)


@pytest.mark.parametrize(
    ("size", "small_input", "sides"),
    [(224, False, (112, 112, 56, 28, 14, 14, 7, 7)), (32, True, (32, 32, 32, 16, 8, 8, 4, 4))],
)
@pytest.mark.usefixtures("zero_kernels")
def test_end_points(size: int, small_input: bool, sides: tuple[int, ...]) -> None:
    model = zoo.MobileNetV2(input_shape=(size, size, 3), small_input=small_input)
    shapes = [model.get_layer(name).output.shape[1:] for name in NAMES]
    assert shapes == [(s, s, c) for s, c in zip(sides, (32, 16, 24, 32, 64, 96, 160, 320), strict=True)]
    assert model.get_layer("features_18_2").output.shape[1:] == (sides[-1], sides[-1], 1280)


def test_features_of_small_inputs_have_one_map_a_stride() -> None:
    model = zoo.MobileNetV2(small_input=True, features=True)
    assert [output.shape[1:] for output in model.outputs] == [(32, 32, 24), (16, 16, 32), (8, 8, 96), (4, 4, 320)]


def test_se_ratio_squeezes_the_expanded_channels_of_every_unit() -> None:
    model = zoo.MobileNetV2(input_shape=(32, 32, 3), width=0.35, se_ratio=4)
    squeezes = [layer for layer in model.layers if layer.name.endswith("_fc1")]
    assert len(squeezes) == 17
    assert model.get_layer("features_17_conv_2_fc1").kernel.shape == (1, 1, 336, 88)  # 84, to a multiple of 8


def test_drop_path_grows_with_depth_over_the_units_that_add() -> None:
    model = zoo.MobileNetV2(input_shape=(32, 32, 3), width=0.35, drop_path=0.16)
    rates = {layer.name: layer.rate for layer in model.layers if layer.name.endswith("drop_path")}
    assert len(rates) == len([layer for layer in model.layers if isinstance(layer, keras.layers.Add)])
    assert rates["features_3_conv_drop_path"] == pytest.approx(0.02)
    assert rates["features_16_conv_drop_path"] == pytest.approx(0.15)
