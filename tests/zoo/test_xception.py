"""Xception against its references."""

import re
from collections.abc import Callable
from functools import partial

import keras
import pytest

import keras_cnnzoo as zoo

LOGITS = {"classifier_activation": None}


def test_timm_weights_give_timm_logits_in_the_torch_variant(assert_torch_parity: Callable) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    module = timm.create_model("legacy_xception")
    assert_torch_parity(partial(zoo.Xception, variant="torch", **LOGITS), module, 96)  # even maps: the paddings differ


def test_default_computes_keras_applications_function(assert_keras_parity: Callable) -> None:
    shape = (96, 96, 3)
    reference = keras.applications.Xception(weights=None, input_shape=shape, **LOGITS)
    assert_keras_parity(zoo.Xception(input_shape=shape, **LOGITS), reference, partial(keras_name, reference))


def keras_name(reference: keras.Model, name: str) -> str:
    """What keras.applications calls our layer; its projections have numbers only."""
    if name == "fc":
        return "predictions"
    if skip := re.fullmatch(r"block(\d+)_skip(bn)?", name):
        kind = keras.layers.BatchNormalization if skip[2] else keras.layers.Conv2D
        nameless = [layer.name for layer in reference.layers if type(layer) is kind and "block" not in layer.name]
        return nameless[("1", "2", "3", "12").index(skip[1])]
    if unit := re.fullmatch(r"block(\d+)_rep_(\d+)(_conv1|_pointwise)?", name):
        number = (int(unit[2]) + (1 if unit[1] == "1" else 0) - 1) // 3 + 1
        stem = f"block{int(unit[1]) + 1}_sepconv{number}"
        return stem + {"_conv1": "_depthwise", "_pointwise": "_pointwise", None: "_bn"}[unit[3]]
    kind, number, part = re.fullmatch(r"(conv|bn)(\d)(_conv1|_pointwise)?", name).groups()
    stem = f"block1_conv{number}" if int(number) < 3 else f"block14_sepconv{int(number) - 2}"
    return stem + ("_bn" if kind == "bn" else (part or "").replace("_conv1", "_depthwise"))


@pytest.mark.parametrize(
    ("options", "sides"),
    [
        ({}, (147, 74, 37, 19, 10)),
        ({"input_shape": (160, 160, 3)}, (77, 39, 20, 10, 5)),
        ({"small_input": True}, (32, 16, 8, 4, 2)),
    ],
)
def test_end_points(options: dict, sides: tuple[int, ...]) -> None:
    model = zoo.Xception(**options)
    widths = {"stem": 64, "block1": 128, "block2": 256, "block11": 728, "exit": 2048}
    shapes = [model.get_layer(stage).output.shape[1:] for stage in widths]
    assert shapes == [(side, side, width) for side, width in zip(sides, widths.values(), strict=True)]
