"""What Keras does of a run: the compiled model, its steps, and the moving averages of its weights."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.layers import BatchNormalization

from ..errors import InputError
from .fused_norm import fused_norms
from .optimizer import optimizer
from .recipes import Recipe


def compile_by(recipe: Recipe, model: keras.Model, steps: int) -> None:
    """Gives the model the recipe's optimizer and loss; `steps` make an epoch.

    Raises:
        InputError: a model whose answers are neither logits nor a softmax's.
    """
    probabilities = _answers_probabilities(model)
    on_tensorflow = keras.backend.backend() == "tensorflow"
    with model.distribute_strategy.scope() if on_tensorflow else nullcontext():
        model.compile(
            optimizer(recipe, model, steps),
            keras.losses.CategoricalCrossentropy(from_logits=not probabilities),
            metrics=[keras.metrics.CategoricalAccuracy()],  # a name would make its variables within the traced step
            jit_compile=False if on_tensorflow else "auto",  # TensorFlow's XLA compiles for longer than a try trains
        )
        model.optimizer.build(model.trainable_variables)


def _answers_probabilities(model: keras.Model) -> bool:
    """Whether the last layer, of a nested model too, is a softmax; not logits."""
    last = model.outputs[0]._keras_history.operation
    if isinstance(last, keras.Model):
        return _answers_probabilities(last)
    kind = type(last).__name__.lower()
    activation = kind if kind in ("softmax", "sigmoid") else getattr(getattr(last, "activation", None), "__name__", "")
    if activation not in ("", "linear", "log_softmax", "softmax"):
        raise InputError(
            f"{model.name}: answers by {activation}; a classifier is trained on logits or a softmax: build it with "
            "classifier_activation=None"
        )
    return activation == "softmax"


@contextmanager
def frozen_norms(model: keras.Model) -> Iterator[None]:
    """Batch normalisations, nested ones too, that keep what they hold for as long."""
    norms = _norms(model)
    for norm in norms:
        norm.trainable = False
    try:
        yield
    finally:
        for norm in norms:
            norm.trainable = True


def trained_steps(model: keras.Model, batches: tf.data.Dataset, count: int) -> Iterator[tuple[float, float]]:
    """Trains on `count` batches; yields each one's loss and accuracy."""
    if keras.backend.backend() != "tensorflow":
        for images, targets in batches.take(count).as_numpy_iterator():
            logs = model.train_on_batch(images, targets, return_dict=True)
            yield float(logs["loss"]), float(logs["categorical_accuracy"])
        return
    model.make_train_function()
    endless = batches.repeat()  # a last batch that is not whole, which there is none of, fails on several devices
    iterator = iter(model.distribute_strategy.experimental_distribute_dataset(endless))
    with fused_norms(model):
        for _ in range(count):
            model.reset_metrics()
            logs = model.train_function(iterator)  # train_on_batch would give each replica the whole batch
            yield float(logs["loss"]), float(logs["categorical_accuracy"])


def learning_rate(model: keras.Model, step: int) -> float:
    """The schedule's at a step."""
    return float(_inner(model)._learning_rate(step))


@contextmanager
def averaged(model: keras.Model, batches: Iterable[Any] = (), *, keep: bool = False) -> Iterator[None]:
    """The weights' moving averages in their place, where the optimizer has them.

    Batch normalisation's statistics are then those of the averages over `batches` of images: the moving ones are of
    the weights as they are, and early in training with these the averages can answer worse than either.
    """
    inner = _inner(model)
    if not inner.use_ema:
        yield
        return
    statistics = _statistics(model)
    held = [*model.trainable_variables, *statistics]
    before = _copied(held)
    try:
        _assign(model.trainable_variables, _copied(inner.averages))
        if statistics:
            _assign(statistics, _measured(model, batches))
        yield
    finally:
        if not keep:
            _assign(held, before)


def _measured(model: keras.Model, batches: Iterable[Any]) -> list[np.ndarray]:
    """Batch normalisation's statistics over the batches, by a copy of the model without distribution or chance.

    It draws nothing from the model's own generators, so that training goes on as if nothing had been measured.
    """
    with _by_itself():
        copy = keras.models.clone_model(keras.Model(model.inputs[0], model.outputs[0]))  # one that is not compiled
        copy.set_weights(model.get_weights())
        for layer in copy._flatten_layers():
            if hasattr(layer, "rate"):  # dropout's
                layer.rate = 0.0
        norms = _norms(copy)
        for i, images in enumerate(batches):
            for norm in norms:
                norm.momentum = i / (i + 1)  # each is the mean over the batches then
            copy(images, training=True)
        return _copied(_statistics(copy))


@contextmanager
def _by_itself() -> Iterator[None]:
    """What is made within is of this process alone, and of one device."""
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


def _norms(model: keras.Model) -> list[BatchNormalization]:
    """Those that follow what they see."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, BatchNormalization) and layer.trainable]


def _statistics(model: keras.Model) -> list[Any]:
    return [variable for norm in _norms(model) for variable in (norm.moving_mean, norm.moving_variance)]


def _copied(variables: Sequence[Any]) -> list[np.ndarray]:
    """Values that share no memory with variables: torch's would change with these, JAX's vanish once these are used."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def _assign(variables: Sequence[Any], values: Sequence[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _inner(model: keras.Model) -> Any:
    """The optimizer below that which scales the loss of float16."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)
