"""Optimizers: decay where the papers have it, accumulation, frozen normalisation, layers that join one by one."""

import keras
import numpy as np
import pytest

from keras_cnnzoo.training import Data, Recipe, train
from keras_cnnzoo.training.optimizer import optimizer

from .conftest import small_network

GRADIENT = 0.25


def moved(recipe: Recipe, steps: int = 2) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each variable before and after so many updates by a constant gradient."""
    model = small_network()
    made = optimizer(recipe, model, steps=100)
    made.build(model.trainable_variables)
    before = {v.path: np.array(v) for v in model.trainable_variables}
    for _ in range(steps):
        made.apply([keras.ops.full(v.shape, GRADIENT) for v in model.trainable_variables])
    return {v.path: (before[v.path], np.array(v)) for v in model.trainable_variables}


@pytest.mark.parametrize("nesterov", [False, True])
def test_decay_goes_through_the_momentum_of_sgd_and_spares_norms_biases_and_depthwise_kernels(nesterov: bool) -> None:
    recipe = Recipe(schedule="constant", learning_rate=0.1, weight_decay=0.3, nesterov=nesterov, decay_depthwise=False)
    for path, (before, after) in moved(recipe).items():
        decay = 0.3 if path in ("conv/kernel", "fc/kernel") else 0.0
        value, buffer = before.astype(np.float64), np.zeros_like(before, np.float64)
        for _ in range(2):  # torch.optim.SGD's update
            gradient = GRADIENT + decay * value
            buffer = 0.9 * buffer + gradient
            value = value - 0.1 * (gradient + 0.9 * buffer if nesterov else buffer)
        np.testing.assert_allclose(after, value, atol=1e-5, err_msg=path)


def test_adamw_s_decay_is_decoupled() -> None:
    plain = moved(Recipe(optimizer="adamw", schedule="constant", learning_rate=0.1, weight_decay=0.0), 1)
    decayed = moved(Recipe(optimizer="adamw", schedule="constant", learning_rate=0.1, weight_decay=0.3), 1)
    for path, (before, after) in decayed.items():
        shrunk = before * 0.1 * 0.3 if path.endswith("kernel") else 0.0
        np.testing.assert_allclose(after, plain[path][1] - shrunk, atol=1e-6, err_msg=path)


def test_gradients_are_clipped_by_the_norm_of_all_of_them() -> None:
    recipe = Recipe(schedule="constant", learning_rate=0.1, momentum=0.0, weight_decay=0.0, clip=0.5)
    changes = np.concatenate([(after - before).ravel() for before, after in moved(recipe, 1).values()])
    np.testing.assert_allclose(changes, -0.1 * 0.5 / np.sqrt(len(changes)), rtol=1e-3)


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_accumulated_gradients_and_averages_are_those_of_the_larger_batch(small_data: Data, ema: float) -> None:
    whole = Recipe(epochs=1, batch=20, schedule="constant", learning_rate=0.05, flip=False, ema=ema)
    halves = whole.changed(batch=10, accumulate=2)
    one, two = (train(small_network(norm=False, dropout=0.0), small_data, recipe) for recipe in (whole, halves))
    for a, b in zip(one.model.weights, two.model.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6, err_msg=a.path)
    assert one.history[0].loss == pytest.approx(two.history[0].loss, rel=1e-5)


def test_frozen_normalisation_stays_and_layers_join_one_by_one(small_data: Data) -> None:
    model = small_network(dropout=0.0)
    before = {v.path: np.array(v) for v in model.weights}
    recipe = Recipe(epochs=1, batch=20, learning_rate=0.05, frozen_norm=True, unfreeze=1.5)
    train(model, small_data, recipe)
    changed = {v.path for v in model.weights if not np.array_equal(before[v.path], np.array(v))}
    # the last layer learns from the start, the middle one from three quarters of the epoch, the first one never
    assert changed == {"fc/kernel", "fc/bias", "depthwise/kernel", "depthwise/bias"}


def test_nested_layers_decay_and_join_as_layers_of_their_own() -> None:
    recipe = Recipe(weight_decay=0.3, decay_depthwise=False, unfreeze=1.0)
    plain, nested = small_network(), keras.Sequential([small_network()])
    made, inner = (optimizer(recipe, model, steps=100) for model in (plain, nested))
    assert (made.decays, made.starts) == (inner.decays, inner.starts)
    assert set(made.starts) == {0, 33, 67, 100}


def test_the_average_soon_forgets_the_initial_weights() -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    recipe = Recipe(ema=0.999, learning_rate=0.1, momentum=0.0, weight_decay=0.0, schedule="constant")
    made = optimizer(recipe, model, 10)
    made.build(model.trainable_variables)
    expected = first = np.array(model.trainable_variables[0])
    for step in range(60):
        made.apply([keras.ops.ones((2, 1))])
        share = 0.0 if step == 0 else min(0.999, (1 + step) / (10 + step))
        expected = share * expected + (1 - share) * np.array(model.trainable_variables[0])
    np.testing.assert_allclose(np.array(made.averages[0]), expected, rtol=1e-5)
    assert np.all(expected - first < -4.8)  # of -6 that the weights have gone; a plain momentum of 0.999 leaves -0.3
