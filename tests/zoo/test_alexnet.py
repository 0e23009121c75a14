"""AlexNet against its references."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_cnnzoo as zoo
from keras_cnnzoo.layers import AdaptiveAverage2D, LocalResponseNorm

LOGITS = {"classifier_activation": None}
RNG = np.random.default_rng(0)


# the last map is 2x2 (averaged "up" to 6x6) and 6x6
@pytest.mark.parametrize("size", [96, pytest.param(224, marks=pytest.mark.slow)])
def test_torchvision_weights_give_torchvision_logits(size: int, assert_torch_parity: Callable) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    assert_torch_parity(partial(zoo.create, "alexnet", **LOGITS), models.alexnet(), size)


@pytest.mark.parametrize("groups", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_the_papers_form_equals_its_torch_modules(groups: int, assert_torch_parity: Callable) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    nn = torch.nn
    norm = partial(nn.LocalResponseNorm, 5, alpha=5e-4, k=2.0)  # torch divides alpha by 5
    module = nn.Module()
    module.features = nn.Sequential(
        *(nn.Conv2d(3, 96, 11, 4), nn.ReLU(), norm(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(96, 256, 5, padding=2, groups=groups), nn.ReLU(), norm(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 384, 3, padding=1, groups=groups), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1, groups=groups), nn.ReLU(), nn.MaxPool2d(3, 2)),
    )
    module.classifier = nn.Sequential(
        *(nn.Dropout(), nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU()),
        nn.Linear(4096, 1000),
    )
    module.forward = lambda x: module.classifier(module.features(x).flatten(1))
    assert_torch_parity(partial(zoo.AlexNet, variant="paper", groups=groups, **LOGITS), module, 227)


@pytest.mark.parametrize(
    ("options", "shapes"),
    [
        ({}, {"stage1": (27, 27, 64), "stage2": (13, 13, 192), "stage3": (6, 6, 256)}),
        ({"input_shape": (160, 128, 3)}, {"stage1": (19, 15, 64), "stage2": (9, 7, 192), "stage3": (4, 3, 256)}),
        ({"padding": "same"}, {"stage1": (27, 27, 64), "stage2": (13, 13, 192), "stage3": (6, 6, 256)}),
        ({"variant": "paper"}, {"stage1": (27, 27, 96), "stage2": (13, 13, 256), "stage3": (6, 6, 256)}),
        ({"small_input": True}, {"stage1": (4, 4, 64), "stage2": (2, 2, 192), "stage3": (1, 1, 256)}),
    ],
    ids=str,
)
@pytest.mark.usefixtures("zero_kernels")
def test_end_points(options: dict, shapes: dict[str, tuple[int, ...]]) -> None:
    model = zoo.AlexNet(**options)
    assert {name: model.get_layer(name).output.shape[1:] for name in shapes} == shapes


def test_only_a_map_that_is_not_6x6_is_averaged() -> None:
    def averages(size: int | None) -> bool:
        model = zoo.AlexNet(input_shape=(size, size, 3))
        return any(isinstance(layer, AdaptiveAverage2D) for layer in model.layers)

    assert (averages(224), averages(192), averages(None)) == (False, True, True)


def test_an_unknown_size_answers_as_the_known_one() -> None:
    known = zoo.AlexNet(input_shape=(160, 96, 3), classes=7)
    unknown = zoo.AlexNet(input_shape=(None, None, 3), classes=7)
    unknown.set_weights(known.get_weights())
    image = RNG.standard_normal((2, 160, 96, 3)).astype("float32")
    np.testing.assert_allclose(unknown.predict(image, verbose=0), known.predict(image, verbose=0), atol=1e-6)


def test_a_normalisation_takes_the_place_of_the_local_one() -> None:
    def kinds(norm: str) -> list[str]:
        layers = zoo.AlexNet(variant="paper", norm=norm).layers
        return [type(layer).__name__ for layer in layers if "Norm" in type(layer).__name__]

    assert kinds("none") == ["LocalResponseNorm"] * 2
    assert kinds("batch") == ["BatchNormalization"] * 5


def test_the_small_network_has_one_dense_layer() -> None:
    model = zoo.AlexNet(small_input=True, classes=10)
    assert [layer.name for layer in model.layers if isinstance(layer, keras.layers.Dense)] == ["classifier"]
    assert model.count_params() == 2_472_266  # bearpaw/pytorch-classification's "2.47 M"


def test_local_response_normalisation_is_the_papers_formula(tmp_path: Path) -> None:
    x = RNG.normal(0, 30, (2, 3, 4, 7)).astype("float32")
    n, k, alpha, beta = 3, 1.5, 2e-3, 0.6
    expected = np.empty_like(x)
    for i in range(7):
        near = x[..., max(0, i - n // 2) : i + n // 2 + 1]
        expected[..., i] = x[..., i] / (k + alpha * (near**2).sum(-1)) ** beta
    model = keras.Sequential([keras.Input((3, 4, 7)), LocalResponseNorm(n, k, alpha, beta)])
    model.save(tmp_path / "norm.keras")
    for network in (model, keras.saving.load_model(tmp_path / "norm.keras")):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(network(x)), expected, rtol=1e-5)


@pytest.mark.parametrize("size", [(1, 2), (5, 7), (13, 14), (12, 24)])
def test_adaptive_average_is_torchs(size: tuple[int, int], tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x = RNG.standard_normal((2, *size, 3)).astype("float32")
    expected = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(x).permute(0, 3, 1, 2), 6)
    model = keras.Sequential([keras.Input((None, None, 3)), AdaptiveAverage2D(6)])
    model.save(tmp_path / "average.keras")
    for network in (model, keras.saving.load_model(tmp_path / "average.keras")):
        actual = keras.ops.convert_to_numpy(network(x))
        np.testing.assert_allclose(actual, expected.permute(0, 2, 3, 1).numpy(), atol=1e-6)
