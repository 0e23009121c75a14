"""DenseNet against its references."""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import pytest

import keras_cnnzoo as zoo

LOGITS = {"classifier_activation": None}


def test_torchvision_weights_give_torchvision_logits(assert_torch_parity: Callable) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    reference = models.DenseNet(8, (6, 12, 24, 16), num_init_features=16)
    assert_torch_parity(partial(zoo.DenseNet121, growth_rate=8, **LOGITS), reference, 64)


def test_the_cifar_network_is_torchvisions_behind_a_3x3_stem(assert_torch_parity: Callable) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    assert_torch_parity(partial(zoo.DenseNetBC, depth=40, **LOGITS), cifar_reference(models), 32)


def cifar_reference(models: Any) -> Any:
    """torchvision's network as gpleiss/efficient_densenet_pytorch has it: no norm, ReLU and pool in the stem."""
    from torch.nn import Conv2d, Sequential

    network = models.DenseNet(12, (6, 6, 6), num_init_features=24, num_classes=10)
    parts = OrderedDict(network.features.named_children())
    parts["conv0"] = Conv2d(3, 24, 3, padding=1, bias=False)
    parts["norm_final"] = parts.pop("norm5")
    network.features = Sequential(OrderedDict((k, m) for k, m in parts.items() if not k.endswith("0") or k == "conv0"))
    return network


def test_the_keras_variant_has_keras_applications_epsilon() -> None:
    for variant, epsilon in (("keras", 1.001e-5), ("torch", 1e-5)):
        model = zoo.DenseNet121(input_shape=(32, 32, 3), variant=variant)
        norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
        assert {norm.epsilon for norm in norms} == {epsilon}


@pytest.mark.parametrize("size", [224, 64])
@pytest.mark.usefixtures("zero_kernels")
def test_densenet121_end_points(size: int) -> None:
    model = zoo.DenseNet121(input_shape=(size, size, 3))
    expected = {"stem": (4, 64), "stage1": (4, 256), "stage2": (8, 512), "stage3": (16, 1024), "stage4": (32, 1024)}
    for name, (stride, channels) in expected.items():
        assert model.get_layer(name).output.shape[1:] == (size // stride, size // stride, channels)


@pytest.mark.parametrize("size", [32, 48])
@pytest.mark.usefixtures("zero_kernels")
def test_cifar_end_points(size: int) -> None:
    model = zoo.DenseNetBC(input_shape=(size, size, 3), depth=40)
    expected = {"stem": (1, 24), "stage1": (1, 96), "stage2": (2, 120), "stage3": (4, 132)}
    for name, (stride, channels) in expected.items():
        assert model.get_layer(name).output.shape[1:] == (size // stride, size // stride, channels)


def test_drop_rate_drops_what_each_layer_adds() -> None:
    model = zoo.DenseNetBC(depth=40, drop_rate=0.2)
    drops = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert len(drops) == 18
    assert {(drop.rate, drop.output.shape[-1]) for drop in drops} == {(0.2, 12)}


@pytest.mark.parametrize(("option", "value"), [("depth", 41), ("depth", 4), ("depth", 40.0), ("growth_rate", 0)])
def test_what_no_dense_network_has_is_refused(option: str, value: float) -> None:
    with pytest.raises(zoo.InputError, match=f"{option}={value}"):
        zoo.DenseNetBC(**{option: value})
