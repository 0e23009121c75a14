"""The learning rate of each step."""

import math
from typing import Any

import keras
from keras import ops

from .recipes import Recipe


class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """A recipe's learning rate: linear warm-up, then constant, linear, cosine, step or exponential decay.

    Args:
        recipe: its schedule.
        steps: per epoch.
    """

    def __init__(self, recipe: Recipe, steps: int) -> None:
        self.recipe, self.steps = recipe, steps

    def __call__(self, step: Any) -> Any:
        """The rate of the step after so many, as a tensor."""
        total, warmup = self.recipe.epochs * self.steps, self.recipe.warmup * self.steps
        step = ops.cast(step, "float32")
        share = ops.clip((step - warmup) / max(total - warmup, 1), 0.0, 1.0)
        rising = ops.minimum((step + 1) / max(warmup, 1), 1.0)
        return self.recipe.learning_rate * rising * self._fallen(step, share)

    def _fallen(self, step: Any, share: Any) -> Any:
        recipe = self.recipe
        match recipe.schedule:
            case "constant":
                return 1.0
            case "linear":
                return 1 - share
            case "cosine":
                return (1 + ops.cos(math.pi * share)) / 2
            case "exponential":
                return recipe.decay ** ops.floor(step / self.steps)
            case "step":
                whole = step / (recipe.epochs * self.steps)
                passed = sum((ops.cast(whole >= milestone, "float32") for milestone in recipe.milestones), 0.0)
                return recipe.decay**passed

    def get_config(self) -> dict:
        return {"recipe": self.recipe.to_dict(), "steps": self.steps}
