"""Training for so many seconds, not epochs: the demonstration's."""

import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

BATCH, PEAK, MOMENTUM, WEIGHT_DECAY, SHIFT = 16, 0.05, 0.9, 5e-4, 0.08


def train_for(
    model: keras.Model,
    inputs: np.ndarray,
    labels: np.ndarray,
    seconds: float,
    step: Callable[[float], object],
) -> int:
    """Trains a classifier of logits until the time is over; the learning rate falls to zero along a cosine of time.

    Args:
        model: returns logits (n, classes).
        inputs: (n, height, width, channels) float32.
        labels: (n,) class indices.
        seconds: after the first batch, in which TensorFlow traces the training step for some 15 s more.
        step: told of seconds gone by.

    Returns:
        How many batches were seen.
    """
    shifted = keras.layers.RandomTranslation(SHIFT, SHIFT, fill_mode="nearest")
    trained = keras.Sequential([shifted, model])
    # SGD, whose step takes TensorFlow 15 s less to trace than AdamW's
    optimizer = keras.optimizers.SGD(PEAK, MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trained.compile(optimizer, loss, jit_compile=False)  # XLA would compile for longer than the demonstration trains
    clock = _Clock(seconds, step)
    # far more epochs than the clock allows
    trained.fit(inputs, labels, min(BATCH, len(inputs)), epochs=10**6, callbacks=[clock], verbose=0)
    return clock.batches


class _Clock(keras.callbacks.Callback):
    """Sets the learning rate by the time gone by, and ends the training."""

    def __init__(self, seconds: float, step: Callable[[float], object]) -> None:
        super().__init__()
        self.seconds, self.step, self.batches = seconds, step, 0
        self.started = self.seen = math.inf

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        share = min(1.0, max(0.0, time.monotonic() - self.started) / self.seconds)
        self.model.optimizer.learning_rate = PEAK * (1 + math.cos(math.pi * share)) / 2

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        now, self.batches = time.monotonic(), self.batches + 1
        if self.batches == 1:
            self.started = self.seen = now
        self.step(now - self.seen)
        self.seen = now
        self.model.stop_training = now - self.started >= self.seconds
