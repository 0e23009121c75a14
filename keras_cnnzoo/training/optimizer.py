"""A recipe's optimizer: Keras' own, with decay and a starting step per variable."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from .recipes import Recipe
from .schedule import LearningRate

KERNEL = "kernel"  # what decays: kernels alone, neither biases nor a normalisation's gamma and beta


class PerVariable(keras.optimizers.Optimizer):
    """A mixin: each variable has its own weight decay and the step from which on it learns.

    `coupled` decay is added to the gradient, and so goes through the momentum (SGD as the papers have it; Keras' own
    weight_decay is decoupled always); else it shrinks the variable, as AdamW's.
    """

    coupled: bool
    decays: Sequence[float]
    starts: Sequence[int]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        decay, start = self.decays[index], self.starts[index]
        if start:
            learning_rate = learning_rate * ops.cast(self._iterations >= start, learning_rate.dtype)
        if decay and self.coupled:
            gradient = gradient + decay * variable
        elif decay:
            self.assign_sub(variable, variable * (decay * learning_rate))
        super().update_step(gradient, variable, learning_rate)

    @property
    def averages(self) -> Sequence[Any]:
        """The moving averages, in the trainable variables' order; none without use_ema."""
        return self._model_variables_moving_average if self.use_ema else ()

    def _update_model_variables_moving_average(self, trainable_variables: Sequence[Any]) -> None:
        """Once a step of the optimizer; Keras averages once a batch, of which `accumulate` make a step.

        Early on over fewer steps, so that the initial weights are soon forgotten: the momentum of step n is at most
        (1 + n) / (10 + n), and 0 at first, as in tf.train.ExponentialMovingAverage.
        """
        batches = self.gradient_accumulation_steps or 1
        step = ops.cast(self._iterations // batches, "float32")
        momentum = ops.where(step == 0, 0.0, ops.minimum(self.ema_momentum, (1 + step) / (10 + step)))
        momentum = ops.where((self._iterations + 1) % batches == 0, momentum, 1.0)
        for variable, average in zip(trainable_variables, self._model_variables_moving_average, strict=True):
            average.assign(momentum * average + (1 - momentum) * variable)


class SGD(PerVariable, keras.optimizers.SGD):
    coupled = True


class AdamW(PerVariable, keras.optimizers.Adam):
    coupled = False


def optimizer(recipe: Recipe, model: keras.Model, steps: int) -> keras.optimizers.Optimizer:
    """The optimizer of a model's trainable variables as they are now.

    Args:
        recipe: how.
        model: its layers' trainability is set already.
        steps: per epoch.
    """
    rate = LearningRate(recipe, steps)
    shared = {
        "global_clipnorm": recipe.clip or None,
        "use_ema": recipe.ema > 0,
        "ema_momentum": recipe.ema,
        "gradient_accumulation_steps": recipe.accumulate if recipe.accumulate > 1 else None,
    }
    sgd = recipe.optimizer == "sgd"
    made = SGD(rate, recipe.momentum, recipe.nesterov, **shared) if sgd else AdamW(rate, **shared)
    made.decays = _decays(recipe, model)
    made.starts = _starts(recipe, model, steps)
    return made


def _owners(model: keras.Model) -> dict[int, keras.layers.Layer]:
    """The layer that holds each trainable variable itself, nested models' too, by the variable's id."""
    held = {id(v): layer for layer in model._flatten_layers() for v in layer._trainable_variables}
    return {id(v): held[id(v)] for v in model.trainable_variables}


def _decays(recipe: Recipe, model: keras.Model) -> tuple[float, ...]:
    owner = _owners(model)

    def decays(variable: Any) -> bool:
        depthwise = isinstance(owner[id(variable)], keras.layers.DepthwiseConv2D)
        return variable.name.endswith(KERNEL) and (recipe.decay_depthwise or not depthwise)

    return tuple(recipe.weight_decay if decays(v) else 0.0 for v in model.trainable_variables)


def _starts(recipe: Recipe, model: keras.Model, steps: int) -> tuple[int, ...]:
    """The step at which each variable joins: the classifier's at once, the first layer's after `unfreeze` epochs."""
    owner = _owners(model)
    place = {layer: i for i, layer in enumerate(dict.fromkeys(owner.values()))}
    last = max(len(place) - 1, 1)
    return tuple(round(recipe.unfreeze * steps * (1 - place[owner[id(v)]] / last)) for v in model.trainable_variables)
