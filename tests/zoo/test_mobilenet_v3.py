"""MobileNetV3 against its references."""

from collections.abc import Callable
from functools import partial

import keras
import pytest

import keras_cnnzoo as zoo

LOGITS = {"classifier_activation": None}


@pytest.mark.parametrize("name", ["mobilenet_v3_large", "mobilenet_v3_small"])
def test_torchvision_weights_give_torchvision_logits(name: str, assert_torch_parity: Callable) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    assert_torch_parity(partial(zoo.create, name, **LOGITS), models.get_model(name), 64)


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ("Small", {"width": 0.75}),
        ("Small", {"minimalistic": True}),
        pytest.param("Large", {"width": 0.75}, marks=pytest.mark.slow),
        pytest.param("Large", {"minimalistic": True}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_the_keras_variant_is_keras_applications_function(
    size: str, options: dict, assert_keras_parity: Callable
) -> None:
    theirs = {"alpha" if option == "width" else option: value for option, value in options.items()}
    reference = getattr(keras.applications, f"MobileNetV3{size}")(
        (100, 100, 3), weights=None, include_preprocessing=False, **theirs, **LOGITS
    )
    build = getattr(zoo, f"MobileNetV3{size}")
    assert_keras_parity(build(input_shape=(100, 100, 3), variant="keras", **options, **LOGITS), reference)


@pytest.mark.parametrize(
    ("name", "size", "small_input", "shapes"),
    [
        ("large", 224, False, ((112, 16), (112, 16), (56, 24), (28, 40), (14, 80), (14, 112), (7, 160))),
        ("large", 32, True, ((32, 16), (32, 16), (16, 24), (8, 40), (4, 80), (4, 112), (2, 160))),
        ("small", 224, False, ((112, 16), (56, 16), (28, 24), (14, 40), (14, 48), (7, 96))),
        ("small", 32, True, ((32, 16), (16, 16), (8, 24), (4, 40), (4, 48), (2, 96))),
    ],
)
@pytest.mark.usefixtures("zero_kernels")
def test_end_points(name: str, size: int, small_input: bool, shapes: tuple[tuple[int, int], ...]) -> None:
    model = zoo.create(f"mobilenet_v3_{name}", input_shape=(size, size, 3), small_input=small_input)
    names = ["stem", *(f"stage{stage}" for stage in range(1, len(shapes)))]
    assert [model.get_layer(n).output.shape[1:] for n in names] == [(side, side, c) for side, c in shapes]


def test_activations_are_the_tables_own_unless_one_is_given() -> None:
    def activations(**options: str | bool) -> set[str]:
        model = zoo.MobileNetV3Small(input_shape=(32, 32, 3), **options, **LOGITS)
        layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Activation)]
        return {layer.activation.__name__ for layer in layers}

    assert activations() == {"relu", "hard_silu", "hard_sigmoid"}
    assert activations(minimalistic=True) == {"relu"}
    assert activations(minimalistic=True, activation="elu") == {"elu"}


def test_the_minimalistic_network_has_3x3_kernels_and_no_squeeze_and_excitation() -> None:
    for options, kernels, squeezes in (({}, {3, 5}, 9), ({"minimalistic": True}, {3}, 0)):
        model = zoo.MobileNetV3Small(input_shape=(32, 32, 3), **options)
        depthwise = [layer for layer in model.layers if isinstance(layer, keras.layers.DepthwiseConv2D)]
        assert {layer.kernel_size[0] for layer in depthwise} == kernels
        assert len([layer for layer in model.layers if layer.name.endswith("_fc1")]) == squeezes


def test_drop_path_grows_with_depth_to_the_rate_given() -> None:
    model = zoo.MobileNetV3Small(input_shape=(32, 32, 3), drop_path=0.2)
    assert model.get_layer("features_3_block_drop_path").rate == pytest.approx(0.04)
    assert model.get_layer("features_11_block_drop_path").rate == pytest.approx(0.2)
