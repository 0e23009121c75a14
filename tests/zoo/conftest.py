"""What the zoo's tests share: the families, one small network of each, and the parity rule as fixtures."""

import gc
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_cnnzoo import create, load_weights
from keras_cnnzoo.registry import VARIANTS

TOLERANCE, VARIATION = 1e-4, 0.1  # of the largest logit
PASSES, BATCH = 2, 8
# one network of each family, the cheapest; of resnet's one with shortcuts
FAMILIES = {
    v.module: v.name for v in sorted(VARIANTS.values(), key=lambda v: -v.macs) if not v.name.startswith("plain")
}
NAMES = sorted(FAMILIES.values())

SLOW, NIGHTLY = 1e9, 2e9  # multiply-accumulates at the default size, of which on a sweep has these marks


def by_cost(name: str) -> Any:
    """A network as a parameter, marked by what building and running it takes."""
    macs = VARIANTS[name].macs
    return pytest.param(name, marks=pytest.mark.nightly if macs > NIGHTLY else pytest.mark.slow if macs > SLOW else ())


each_family = pytest.mark.parametrize("name", NAMES)
each_family_by_cost = pytest.mark.parametrize("name", list(map(by_cost, NAMES)))


def side(name: str) -> int:
    """A small size that every family builds at."""
    return min(VARIANTS[name].size, 96)


def shape_of(name: str, channels: int = 3) -> tuple[int, int, int]:
    return side(name), side(name), channels


@cache
def built(name: str) -> keras.Model:
    """A family's network for seven classes, built once; leave its weights as they are."""
    return create(name, input_shape=shape_of(name), classes=7)


@pytest.fixture(scope="session", autouse=True)
def _modules_are_no_garbage() -> Any:
    """Else each collection below looks through all of TensorFlow, half a second a test."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def zero_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what reads a network's structure alone: random numbers would take most of the time of building it."""
    monkeypatch.setattr(
        keras.initializers.VarianceScaling, "__call__", lambda _, shape, dtype=None: keras.ops.zeros(shape, dtype)
    )


@pytest.fixture(autouse=True)
def _free_memory() -> Any:
    yield
    keras.backend.clear_session()


def pictures(count: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Blurred noise of different contrast and colour, so that a random network's outputs differ: (count, *shape)."""
    rng = np.random.default_rng(seed)
    height, width, channels = shape
    coarse = rng.standard_normal((count, -(-height // 8), -(-width // 8), channels))
    smooth = coarse.repeat(8, 1).repeat(8, 2)[:, :height, :width]
    colour = rng.standard_normal((count, 1, 1, channels))
    contrast = rng.uniform(0.3, 2, (count, 1, 1, 1))
    return (contrast * (smooth + 0.3 * rng.standard_normal((count, *shape))) + colour).astype(np.float32)


def parity(expected: np.ndarray, actual: np.ndarray) -> float:
    """The largest difference as a share of the largest output; the outputs must vary over the inputs."""
    assert expected.shape == actual.shape
    largest = np.abs(expected).max()
    assert np.isfinite(expected).all()
    assert np.ptp(expected, axis=0).max() >= VARIATION * largest, "outputs that do not vary prove nothing"
    return float(np.abs(expected - actual).max() / largest)


def mutate(model: keras.Model) -> None:
    """Swaps two output channels of a kernel in the middle of the network."""
    layers = [layer for layer in model.layers if getattr(layer, "kernel", None) is not None]
    kernel = layers[len(layers) // 2].kernel
    value = np.array(kernel)
    axis = -2 if isinstance(layers[len(layers) // 2], keras.layers.DepthwiseConv2D) else -1
    kernel.assign(np.flip(value, axis))


@pytest.fixture
def assert_torch_parity(tmp_path: Path) -> Callable[..., None]:
    """Random weights of a torch module, BN calibrated, by name into our model: equal logits; a mutation is noticed."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from safetensors.torch import save_file

    def check(build: Callable[..., keras.Model], module: Any, size: int, channels: int = 3) -> None:
        """`build(weights=path, input_shape=...)` gives a model of logits (or of a list of them), `module` torch's."""
        shape = (size, size, channels)
        calibrate_torch(module, shape)
        state = {k: v.contiguous() for k, v in module.state_dict().items() if not k.endswith("num_batches_tracked")}
        save_file(state, tmp_path / "reference.safetensors")
        model = build(weights=tmp_path / "reference.safetensors", input_shape=shape)
        images = pictures(4, shape, seed=1)
        with torch.no_grad():
            expected = module(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
        expected = [e.numpy() for e in (expected if isinstance(expected, tuple | list) else [expected])]
        for e, a in zip(expected, _outputs(model, images), strict=True):
            assert parity(e, a) <= TOLERANCE
        mutate(model)
        assert parity(expected[0], _outputs(model, images)[0]) > TOLERANCE, "a swapped kernel went unnoticed"

    def calibrate_torch(module: Any, shape: tuple[int, ...]) -> None:
        torch.manual_seed(0)
        norms = [m for m in module.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = None  # a cumulative average
            norm.reset_running_stats()
            if norm.affine:
                torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
                torch.nn.init.normal_(norm.bias, 0, 0.2)
        module.eval()
        for norm in norms:
            norm.train()
        with torch.no_grad():
            for seed in range(PASSES if norms else 0):
                module(torch.from_numpy(pictures(BATCH, shape, seed).transpose(0, 3, 1, 2).copy()))
        module.eval()

    return check


@pytest.fixture
def assert_keras_parity() -> Callable[..., None]:
    """Random weights of a keras.applications model, BN calibrated, into ours: equal outputs, a mutation noticed."""

    def check(model: keras.Model, reference: keras.Model) -> None:
        """Weighted layers correspond by order."""
        calibrate(reference)
        copy_weights(reference, model)
        images = pictures(4, tuple(reference.inputs[0].shape[1:]), seed=1)
        expected = _outputs(reference, images)[0]
        assert parity(expected, _outputs(model, images)[0]) <= TOLERANCE
        mutate(model)
        assert parity(expected, _outputs(model, images)[0]) > TOLERANCE, "a swapped kernel went unnoticed"

    return check


def calibrate(model: keras.Model, shift: float = 0.0) -> None:
    """Random gammas and betas, and moving statistics as if the network had been trained on `pictures`.

    A positive mean `shift` of the betas keeps more ReLUs open: a deep random network without shortcuts else magnifies
    float32's rounding to 3e-4 of its answers (Inception v4 against itself in float64; 1e-5 at shift 1).
    """
    rng = np.random.default_rng(0)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        if norm.scale:
            norm.gamma.assign(rng.uniform(0.5, 1.5, norm.gamma.shape))
        norm.beta.assign(rng.normal(shift, 0.2, norm.beta.shape))
        norm.momentum = 0.0
    model(pictures(BATCH, tuple(model.inputs[0].shape[1:])), training=True)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    givers, takers = ([layer for layer in model.layers if layer.weights] for model in (source, target))
    for giver, taker in zip(givers, takers, strict=True):
        pairs = zip(giver.get_weights(), taker.weights, strict=True)
        taker.set_weights([np.reshape(weight, variable.shape) for weight, variable in pairs])


def _outputs(model: keras.Model, images: np.ndarray) -> list[np.ndarray]:
    outputs = model(images, training=False)
    return [np.asarray(keras.ops.convert_to_numpy(o)) for o in (outputs if isinstance(outputs, list) else [outputs])]


@pytest.fixture
def assert_learns() -> Callable[[keras.Model], None]:
    """One step on random images gives every trainable variable a finite gradient that is not all zero."""
    pytest.importorskip("tensorflow", reason="tensorflow is not installed")

    def check(model: keras.Model) -> None:
        largest = {path: np.abs(gradient).max() for path, gradient in gradients(model).items()}
        assert [path for path, value in largest.items() if value == 0 or not np.isfinite(value)] == []

    return check


def gradients(model: keras.Model, count: int = BATCH) -> dict[str, np.ndarray]:
    """Each trainable variable's gradient of the cross-entropy, summed over a batch and over the answers."""
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    images = pictures(count, tuple(model.inputs[0].shape[1:]))
    with tf.GradientTape() as tape:
        answers = model(images, training=True)
        losses = [
            tf.reduce_sum(keras.losses.sparse_categorical_crossentropy(labels(answer), tf.cast(answer, "float32")))
            for answer in (answers if isinstance(answers, list) else [answers])
        ]
    variables = model.trainable_variables
    values = tape.gradient(losses, [variable.value for variable in variables])
    return {v.path: np.asarray(value, np.float32) for v, value in zip(variables, values, strict=True)}


def labels(answers: Any) -> np.ndarray:
    return np.arange(answers.shape[0]) % answers.shape[1]


@pytest.fixture
def load() -> Callable[..., None]:
    return load_weights
