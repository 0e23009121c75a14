"""Fine-tuning a tf_keras classifier: shuffled, lightly augmented batches, a cosine learning rate, all by one seed."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import tf_keras

from ...errors import InputError

SHIFT = 0.125  # of the side: 4 of 32 pixels, as on CIFAR-10
MOMENTUM, CLIP = 0.9, 5.0


@dataclass(frozen=True)
class Recipe:
    """How to fine-tune.

    Args:
        epochs: passes over the images, in all.
        batch: images a step.
        learning_rate: at the first step; it falls to zero along a cosine over each stage.
        weight_decay: of the gradient step, decoupled.
        augment: flip and shift the pictures.
        seed: of order, augmentation and initial centroids.
    """

    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float
    augment: bool
    seed: int

    def __post_init__(self) -> None:
        for name, value in (("epochs", self.epochs), ("batch", self.batch)):
            if value < 1:
                raise InputError(f"{name}={value}: at least 1")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"learning_rate={self.learning_rate}: expected a number above 0, 0.003 for example")


class Batches(tf_keras.utils.Sequence):
    """Whole batches of (images, labels) in another order and otherwise flipped and shifted in each epoch."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, recipe: Recipe) -> None:
        self.images, self.labels, self.recipe = images, labels, recipe
        self.epoch = -1
        self.on_epoch_end()

    def __len__(self) -> int:
        return len(self.images) // self.recipe.batch

    def on_epoch_end(self) -> None:
        self.epoch += 1
        self.order = np.random.default_rng((self.recipe.seed, self.epoch)).permutation(len(self.images))

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = self.order[index * self.recipe.batch : (index + 1) * self.recipe.batch]
        images = self.images[chosen]
        if self.recipe.augment:
            images = augmented(images, np.random.default_rng((self.recipe.seed, self.epoch, index)))
        return images, self.labels[chosen]


def augmented(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, h, w, c) images, half of them mirrored, each moved by at most an eighth; what moves in is zero."""
    count, height, width, _ = images.shape
    rows, columns = (max(1, round(SHIFT * side)) for side in (height, width))
    padded = np.pad(images, ((0, 0), (rows, rows), (columns, columns), (0, 0)))
    top, left = (rng.integers(0, 2 * most + 1, (count, 1)) for most in (rows, columns))
    across = left + np.where(rng.random((count, 1)) < 0.5, np.arange(width), np.arange(width)[::-1])
    return padded[np.arange(count)[:, None, None], (top + np.arange(height))[:, :, None], across[:, None, :]]


def fit(
    model: Any,
    images: np.ndarray,
    labels: np.ndarray,
    recipe: Recipe,
    step: Callable[[float], object] = lambda batches: None,
    callbacks: Sequence[Any] = (),
) -> None:
    """Trains a tf_keras classifier in place.

    Args:
        model: returns logits or, where its last layer is a softmax, probabilities: (n, classes).
        images: (n, height, width, channels) float32, preprocessed.
        labels: (n,) class indices.
        recipe: how.
        step: told of each batch done.
        callbacks: tfmot's.

    Raises:
        InputError: the loss is no longer a number.
    """
    batches = Batches(images, labels, recipe)
    schedule = tf_keras.optimizers.schedules.CosineDecay(recipe.learning_rate, len(batches) * recipe.epochs)
    optimizer = tf_keras.optimizers.SGD(
        schedule, MOMENTUM, nesterov=True, weight_decay=recipe.weight_decay or None, global_clipnorm=CLIP
    )
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=not _ends_in_softmax(model))
    model.compile(optimizer, loss, jit_compile=False)
    watch = _Watch(recipe, step)
    with _seeded(recipe.seed):
        model.fit(batches, epochs=recipe.epochs, callbacks=[*callbacks, watch], shuffle=False, verbose=0)


class _Watch(tf_keras.callbacks.Callback):
    """Tells of progress, and stops where the loss is no longer a number."""

    def __init__(self, recipe: Recipe, step: Callable[[float], object]) -> None:
        super().__init__()
        self.recipe, self.step, self.epoch = recipe, step, 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.step(1)
        if logs is not None and not math.isfinite(logs["loss"]):
            raise InputError(
                f"epoch {self.epoch + 1}, step {batch + 1}: the loss is {logs['loss']}; train with a smaller "
                f"--learning-rate than {self.recipe.learning_rate:g}, and look for NaN among the weights and images"
            )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Dropout and centroids drawn by the seed; numpy's global state is put back."""
    state = np.random.get_state()
    tf_keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)


def _ends_in_softmax(model: Any) -> bool:
    config = model.layers[-1].get_config()
    config = config.get("layer", {}).get("config", config)  # what a wrapper of tfmot holds
    return "softmax" in str(config.get("activation", "")).lower()
