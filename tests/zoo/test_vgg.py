"""VGG against its references."""

from collections.abc import Callable
from functools import partial

import keras
import pytest

import keras_cnnzoo as zoo

LOGITS = {"classifier_activation": None}


@pytest.mark.parametrize("name", [pytest.param("vgg11", marks=pytest.mark.slow), "vgg11_bn"])
def test_torchvision_weights_give_torchvision_logits(name: str, assert_torch_parity: Callable) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    assert_torch_parity(partial(zoo.create, name, **LOGITS), models.get_model(name), 64)


@pytest.mark.parametrize("norm", ["batch", "sync_batch"])
def test_batch_normalisation_makes_it_torchvision_s_other_network(norm: str) -> None:
    assert zoo.VGG11(norm=norm, include_top=False).name == "vgg11_bn"


@pytest.mark.slow
def test_torchvision_weights_give_torchvision_logits_at_the_default_size(assert_torch_parity: Callable) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    assert_torch_parity(partial(zoo.create, "vgg16", **LOGITS), models.vgg16(), 224)


@pytest.mark.parametrize("name", ["VGG16", pytest.param("VGG19", marks=pytest.mark.slow)])
def test_the_keras_form_is_keras_applications_network(name: str, assert_keras_parity: Callable) -> None:
    shape = (64, 64, 3)
    reference = getattr(keras.applications, name)(weights=None, input_shape=shape, **LOGITS)
    assert_keras_parity(getattr(zoo, name)(variant="keras", input_shape=shape, **LOGITS), reference)


def test_the_keras_form_needs_a_size_for_its_dense_layers() -> None:
    with pytest.raises(zoo.InputError, match="give a height and width"):
        zoo.VGG11(variant="keras", input_shape=(None, None, 3))
    assert zoo.VGG11(variant="keras", input_shape=(None, None, 3), include_top=False).output.shape[-1] == 512


@pytest.mark.parametrize("size", [224, 100])
@pytest.mark.usefixtures("zero_kernels")
def test_vgg13_end_points(size: int) -> None:
    model = zoo.VGG13(input_shape=(size, size, 3), include_top=False)
    shapes = [model.get_layer(f"stage{stage}").output.shape[1:] for stage in (1, 2, 3, 4, 5)]
    channels = (64, 128, 256, 512, 512)
    assert shapes == [(size >> i, size >> i, count) for i, count in enumerate(channels, start=1)]


@pytest.mark.parametrize(("name", "weighted"), [("VGG11", 11), ("VGG13", 13), ("VGG16", 16), ("VGG19", 19)])
def test_the_number_counts_the_layers_with_weights(name: str, weighted: int) -> None:
    model = getattr(zoo, name)(small_input=True)
    dense = sum(isinstance(layer, keras.layers.Dense) for layer in model.layers)
    convolutions = sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers)
    assert (convolutions + 3, dense) == (weighted, 1)  # three dense layers, of which the small network keeps one


def test_dropout_follows_the_hidden_layers() -> None:
    def dropped(**options: object) -> list[str]:
        model = zoo.VGG11(input_shape=(32, 32, 3), **options)
        return [layer.name for layer in model.layers if isinstance(layer, keras.layers.Dropout)]

    assert dropped() == ["classifier_2", "classifier_5"]
    assert dropped(variant="keras") == dropped(small_input=True) == dropped(dropout=0.0) == []


def test_a_normalised_convolution_keeps_its_bias() -> None:
    convolutions = [
        layer for layer in zoo.VGG11(small_input=True, norm="batch").layers if isinstance(layer, keras.layers.Conv2D)
    ]
    assert len(convolutions) == 8
    assert all(layer.use_bias for layer in convolutions)
