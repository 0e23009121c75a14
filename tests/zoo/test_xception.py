"""Xception against its references."""

import inspect
from collections.abc import Callable
from functools import partial

import pytest

import keras_cnnzoo as zoo

LOGITS = {"classifier_activation": None}


def test_timm_weights_give_timm_logits_in_the_torch_variant(assert_torch_parity: Callable) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    module = timm.create_model("legacy_xception")
    assert_torch_parity(partial(zoo.Xception, variant="torch", **LOGITS), module, 96)  # even maps: the paddings differ


def test_the_default_is_the_keras_variant() -> None:
    assert inspect.signature(zoo.Xception).parameters["variant"].default == "keras"


@pytest.mark.parametrize(
    ("options", "sides"),
    [
        ({}, (147, 74, 37, 19, 10)),
        ({"input_shape": (160, 160, 3)}, (77, 39, 20, 10, 5)),
        ({"small_input": True}, (32, 16, 8, 4, 2)),
    ],
)
@pytest.mark.usefixtures("zero_kernels")
def test_end_points(options: dict, sides: tuple[int, ...]) -> None:
    model = zoo.Xception(**options)
    widths = {"stem": 64, "block1": 128, "block2": 256, "block11": 728, "exit": 2048}
    shapes = [model.get_layer(stage).output.shape[1:] for stage in widths]
    assert shapes == [(side, side, width) for side, width in zip(sides, widths.values(), strict=True)]
