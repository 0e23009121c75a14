"""MobileNet against its references."""

from collections.abc import Callable
from functools import partial

import keras
import pytest

import keras_cnnzoo as zoo

LOGITS = {"classifier_activation": None}


def test_timm_weights_give_timm_logits(assert_torch_parity: Callable) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    assert_torch_parity(partial(zoo.MobileNetV1, **LOGITS), timm.create_model("mobilenetv1_100"), 64)


@pytest.mark.parametrize("size", [96, 100])  # at 100 the strided units read 25, 13 and 7 rows
def test_the_keras_variant_is_keras_applications_function(size: int, assert_keras_parity: Callable) -> None:
    shape = (size, size, 3)
    reference = keras.applications.MobileNet(shape, 0.25, weights=None, classifier_activation=None)
    assert_keras_parity(zoo.MobileNetV1(input_shape=shape, width=0.25, variant="keras", **LOGITS), reference)


@pytest.mark.parametrize(
    ("size", "small_input", "sides"), [(224, False, (112, 112, 56, 28, 14, 7)), (32, True, (32, 32, 16, 8, 4, 2))]
)
@pytest.mark.usefixtures("zero_kernels")
def test_end_points(size: int, small_input: bool, sides: tuple[int, ...]) -> None:
    model = zoo.MobileNetV1(input_shape=(size, size, 3), width=0.5, small_input=small_input)
    names = ["stem", *(f"blocks_{stage}" for stage in range(5))]
    shapes = [model.get_layer(name).output.shape[1:] for name in names]
    assert shapes == [(s, s, c) for s, c in zip(sides, (16, 32, 64, 128, 256, 512), strict=True)]


@pytest.mark.parametrize("width", [0, float("inf"), float("nan")])
def test_a_width_of_nothing_or_without_end_is_refused(width: float) -> None:
    with pytest.raises(zoo.InputError, match=f"width={width}: expected a finite number above 0"):
        zoo.MobileNetV1(width=width)


def test_padding_given_replaces_the_keras_variants_own() -> None:
    model = zoo.MobileNetV1(input_shape=(100, 100, 3), width=0.25, variant="keras", padding="same")
    assert model.get_layer("blocks_3").output.shape[1:3] == (7, 7)
    model = zoo.MobileNetV1(input_shape=(100, 100, 3), width=0.25, variant="keras")
    assert model.get_layer("blocks_3").output.shape[1:3] == (6, 6)
