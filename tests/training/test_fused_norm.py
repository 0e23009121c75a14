"""The fused batch normalisation of a training step computes what Keras' does, and leaves the model as it was."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow is not installed")

from keras_cnnzoo.training.fused_norm import fused_norms  # noqa: E402

SHAPE = (6, 5, 5, 3)
COMPUTED: tuple[dict[str, Any], ...] = ({}, {"scale": False}, {"center": False}, {"momentum": 0.5, "epsilon": 0.1})
OTHERS: tuple[dict[str, Any], ...] = ({"synchronized": True}, {"renorm": True}, {"axis": 1}, {"dtype": "float64"})


def normalised(**options: Any) -> keras.Model:
    inputs = keras.Input(SHAPE[1:])
    return keras.Model(inputs, keras.layers.BatchNormalization(**options)(inputs))


def pixels() -> np.ndarray:
    return np.random.default_rng(0).normal(3, 2, SHAPE).astype(np.float32)


def a_step(model: keras.Model) -> dict[str, np.ndarray]:
    """Outputs, gradients by the images and the variables, and the moving statistics after one step."""
    inputs, upstream = tf.constant(pixels()), tf.random.stateless_normal(SHAPE, (1, 2))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = tf.cast(model(inputs, training=True), tf.float32)
        loss = tf.reduce_sum(outputs * upstream)
    gradients = tape.gradient(loss, [inputs, *(v.value for v in model.trainable_variables)])
    moved = [np.array(v) for v in model.non_trainable_variables]
    return {str(i): np.array(value) for i, value in enumerate([outputs, *gradients, *moved])}


def with_and_without(make: Callable[[], keras.Model]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    plain, fused = make(), make()
    with fused_norms(fused):
        assert "call" in vars(fused.layers[1])
        return a_step(plain), a_step(fused)


@pytest.mark.parametrize("options", COMPUTED, ids=str)
def test_a_step_is_that_of_keras_to_rounding(options: dict[str, Any]) -> None:
    plain, fused = with_and_without(lambda: normalised(**options))
    for i, value in plain.items():
        np.testing.assert_allclose(fused[i], value, rtol=1e-5, atol=2e-5, err_msg=i)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_step_in_mixed_precision_is_that_of_keras_to_its_rounding(policy: str) -> None:
    plain, fused = with_and_without(lambda: normalised(dtype=keras.DTypePolicy(policy)))
    epsilon = 2.0 ** (-10 if policy == "mixed_float16" else -7)
    for i, value in plain.items():
        np.testing.assert_allclose(fused[i], value, rtol=4 * epsilon, atol=8 * epsilon, err_msg=i)


@pytest.mark.parametrize("what", ["inference", "frozen"])
def test_moving_statistics_are_used_and_kept_in(what: str) -> None:
    model = normalised()
    model.layers[1].trainable = what != "frozen"
    before = [np.array(v) for v in model.variables]
    with fused_norms(model):
        outputs = np.array(model(pixels(), training=what == "frozen"))
    np.testing.assert_array_equal(outputs, np.array(model(pixels())))
    assert all(np.array_equal(v, w) for v, w in zip(before, model.variables, strict=True))


@pytest.mark.parametrize("options", OTHERS, ids=str)
def test_what_the_kernel_does_not_compute_stays_with_keras(options: dict[str, Any]) -> None:
    model = normalised(**options)
    with fused_norms(model):
        assert "call" not in vars(model.layers[1])


def test_afterwards_the_layer_is_as_it_was() -> None:
    model = normalised()
    with pytest.raises(ZeroDivisionError), fused_norms(model):
        raise ZeroDivisionError
    assert "call" not in vars(model.layers[1])


def test_the_statistics_of_a_batch_of_one_value_a_channel_do_not_break() -> None:
    inputs = keras.Input((1, 1, 3))
    model = keras.Model(inputs, keras.layers.BatchNormalization()(inputs))
    with fused_norms(model):
        model(np.ones((1, 1, 1, 3), np.float32), training=True)
    np.testing.assert_allclose(model.layers[1].moving_variance, 0.99)
