"""Every family trains: gradients, frozen normalisation, mixed precision, dropout; XLA computes the same."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest

import keras_cnnzoo as zoo
from keras_cnnzoo.precision import in_float32
from keras_cnnzoo.registry import builder_of

from .conftest import (
    NAMES,
    TOLERANCE,
    by_cost,
    calibrate,
    each_family_by_cost,
    gradients,
    parity,
    pictures,
    shape_of,
)

tf = pytest.importorskip("tensorflow", reason="tensorflow is not installed")

CLASSES = 7
HALVES = ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
RANDOM = [
    pytest.param(name, option, marks=by_cost(name).marks)
    for name in NAMES
    for option in ("dropout", "drop_path")
    if option in inspect.signature(builder_of(name)).parameters
]


@pytest.fixture(autouse=True)
def _the_same_weights_each_time() -> None:
    """A squeeze to one channel has a dead ReLU, and no gradient, under one draw of weights in some."""
    keras.utils.set_random_seed(0)


@pytest.fixture(params=HALVES)
def policy(request: pytest.FixtureRequest) -> Iterator[str]:
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("policy", ["float16", "bfloat16"], indirect=True)
def test_a_network_of_half_precision_throughout_has_a_copy_in_float32(policy: str) -> None:
    model = zoo.ResNet20()
    copy = in_float32(model)
    assert {layer.compute_dtype for layer in model.layers} == {policy}
    assert {layer.compute_dtype for layer in copy.layers[1:]} == {"float32"}  # the input computes nothing
    for half, whole in zip(model.weights, copy.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(half, np.float32), np.asarray(whole))


def network(name: str, **options: Any) -> keras.Model:
    """The family's network, of logits; without dropout unless asked for."""
    known = inspect.signature(builder_of(name)).parameters
    quiet = {option: 0.0 for option in ("dropout", "drop_path") if option in known}
    return zoo.create(
        name, **{"input_shape": shape_of(name), "classes": CLASSES, "classifier_activation": None} | quiet | options
    )


def images_of(model: keras.Model) -> np.ndarray:
    return pictures(4, tuple(model.inputs[0].shape[1:]), seed=1)


def freeze(model: keras.Model) -> list[keras.layers.Layer]:
    """Its batch normalisations, set not to train."""
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for norm in norms:
        norm.trainable = False
    return norms


def values(variables: list[keras.Variable]) -> dict[str, np.ndarray]:
    return {variable.path: np.array(variable) for variable in variables}


def unchanged(before: dict[str, np.ndarray], variables: list[keras.Variable]) -> list[str]:
    return [v.path for v in variables if np.array_equal(before[v.path], np.array(v))]


def train_once(model: keras.Model, images: np.ndarray) -> float:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1e-3), loss, run_eagerly=True)
    return float(model.train_on_batch(images, np.arange(len(images)) % CLASSES))


@each_family_by_cost
def test_every_variable_learns_in_one_step(name: str, assert_learns: Callable) -> None:
    assert_learns(zoo.create(name, input_shape=shape_of(name), classes=CLASSES))


@pytest.mark.parametrize(
    ("name", "size"), [("googlenet", 96), pytest.param("inception_v3", 107, marks=pytest.mark.slow)]
)
def test_auxiliary_heads_learn_in_one_step(name: str, size: int, assert_learns: Callable) -> None:
    assert_learns(zoo.create(name, aux_heads=True, input_shape=(size, size, 3), classes=CLASSES))


@each_family_by_cost
def test_frozen_normalisation_keeps_its_statistics_while_the_rest_learns(name: str) -> None:
    model = network(name, norm="batch")
    calibrate(model)
    norms = freeze(model)
    assert norms
    images = images_of(model)
    inference = np.asarray(model(images, training=False))
    assert parity(inference, np.asarray(model(images, training=True))) <= 1e-6
    kept, learning = [v for norm in norms for v in norm.weights], model.trainable_variables
    before = values(kept) | values(learning)
    assert np.isfinite(train_once(model, images))
    assert unchanged(before, kept) == [v.path for v in kept]
    assert unchanged(before, learning) == []


@each_family_by_cost
def test_mixed_precision_answers_and_trains_in_finite_numbers(name: str, policy: str) -> None:
    model = zoo.create(name, input_shape=shape_of(name), classes=CLASSES)
    assert sum(layer.compute_dtype == policy.removeprefix("mixed_") for layer in model.layers) == len(model.layers) - 1
    assert {v.dtype for v in model.trainable_variables} == {"float32"}
    assert model.output.dtype == "float32"
    calibrate(model, shift=1.0)
    assert np.isfinite(np.asarray(model(images_of(model)))).all()
    largest = {path: np.abs(gradient).max() for path, gradient in gradients(model, 4).items()}
    assert [path for path, value in largest.items() if not np.isfinite(value)] == []
    assert max(largest.values()) > 0


@each_family_by_cost
@pytest.mark.slow
def test_xla_computes_what_eager_mode_does(name: str) -> None:
    model = network(name)
    calibrate(model, shift=1.0)
    images = images_of(model)
    compiled = tf.function(lambda x: model(x, training=False), jit_compile=True)
    assert parity(np.asarray(model(images, training=False)), np.asarray(compiled(images))) <= TOLERANCE


@pytest.mark.parametrize(("name", "option"), RANDOM)
def test_what_is_dropped_is_dropped_in_training_alone(name: str, option: str) -> None:
    plain, dropping = network(name), network(name, **{option: 0.5})
    calibrate(plain)
    for model in (plain, dropping):
        freeze(model)
    for layer in plain.layers:  # by name: with dropout among them the layers may come in another order
        dropping.get_layer(layer.name).set_weights(layer.get_weights())
    images = images_of(plain)
    expected, inference, training, again = (
        np.asarray(model(images, training=mode))
        for model, mode in ((plain, False), (dropping, False), (dropping, True), (dropping, True))
    )
    np.testing.assert_array_equal(inference, expected)
    assert parity(expected, training) > TOLERANCE
    assert parity(training, again) > TOLERANCE
