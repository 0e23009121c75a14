"""ResNet against its references."""

from collections.abc import Callable
from functools import partial

import pytest

import keras_cnnzoo as zoo

LOGITS = {"classifier_activation": None}


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_torchvision_weights_give_torchvision_logits(name: str, assert_torch_parity: Callable) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    assert_torch_parity(partial(zoo.create, name, **LOGITS), models.get_model(name), 96)


@pytest.mark.parametrize(
    ("size", "shapes"),
    [
        (224, {"stem": (56, 56, 64), "layer1": (56, 56, 256), "layer2": (28, 28, 512), "layer4": (7, 7, 2048)}),
        (160, {"stem": (40, 40, 64), "layer1": (40, 40, 256), "layer2": (20, 20, 512), "layer4": (5, 5, 2048)}),
    ],
)
def test_resnet50_end_points(size: int, shapes: dict[str, tuple[int, ...]]) -> None:
    model = zoo.ResNet50(input_shape=(size, size, 3))
    assert {name: model.get_layer(name).output.shape[1:] for name in shapes} == shapes
