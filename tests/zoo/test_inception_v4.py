"""Inception v4 against its reference."""

from collections.abc import Callable, Iterator
from functools import partial

import keras
import pytest

import keras_cnnzoo as zoo


@pytest.fixture
def float64() -> Iterator[None]:
    """Random weights make this network amplify float32's rounding, torch's and ours, beyond the parity rule."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(policy)


@pytest.mark.usefixtures("float64")
def test_timm_weights_give_timm_logits(assert_torch_parity: Callable) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    module = timm.create_model("inception_v4").double()
    forward = module.forward
    module.forward = lambda images: forward(images.double())
    assert_torch_parity(partial(zoo.InceptionV4, classifier_activation=None), module, 75)


@pytest.mark.parametrize(
    ("options", "sides"),
    [
        ({}, (71, 35, 17, 8)),
        ({"input_shape": (160, 160, 3)}, (36, 17, 8, 3)),
        ({"small_input": True}, (32, 32, 15, 7)),
        ({"small_input": True, "input_shape": (7, 7, 3), "padding": "torch"}, (7, 7, 3, 1)),
    ],
)
@pytest.mark.usefixtures("zero_kernels")
def test_end_points(options: dict, sides: tuple[int, ...]) -> None:
    model = zoo.InceptionV4(**options)
    widths = {"stem": 192, "features_9": 384, "features_17": 1024, "features_21": 1536}
    shapes = [model.get_layer(stage).output.shape[1:] for stage in widths]
    assert shapes == [(side, side, width) for side, width in zip(sides, widths.values(), strict=True)]
    padded = any(layer.name == "features_6_branch3_1_avg_pad" for layer in model.layers)
    assert padded == (options.get("padding") == "torch")
