"""The networks of the labs: the zoo's, at any depth and width."""

import math
from typing import TYPE_CHECKING, Any

from .framework import Row, Setup

if TYPE_CHECKING:
    import keras

    from ...training import Run

OVERFLOWED = 1e9  # a test loss that is no number
TRAINS = 0.7  # a network that trains gets below so much of the loss of a guess
DIVERGED: list[Row] = [{"diverged": 1}]  # all that is to be said of a network whose loss stopped being a number
KINDS = {"plain": "plain20", "residual": "resnet20"}


def cifar(setup: Setup, kind: str, depth: int, seed: int, **options: Any) -> "keras.Model":
    """A "plain" or "residual" network of 6n + 2 layers and the preset's width; `options` are the builder's."""
    from ...training import network

    width = setup.preset.width
    said = "".join(f"-{key}_{value}" for key, value in options.items())
    name = f"{kind}{depth}-w{width}{said}"
    return network(KINDS[kind], setup.data, depth=depth, width=width, name=name, seed=seed, **options)


def dense(setup: Setup, depth: int, growth: int, seed: int) -> "keras.Model":
    """A DenseNet-BC of 6n + 4 layers, beside `cifar`'s of `depth` = 6n + 2."""
    from ...training import network

    name = f"dense{depth + 2}-k{growth}"
    return network("densenet_bc_100_12", setup.data, depth=depth + 2, growth_rate=growth, name=name, seed=seed)


def epochs_of(run: "Run") -> list[Row]:
    """A row an epoch: losses and errors (shares of the images)."""
    return [
        {
            "epoch": row.epoch,
            "loss": row.loss,
            "error": 1 - row.accuracy,
            "test_loss": row.test_loss if math.isfinite(row.test_loss) else OVERFLOWED,
            "test_error": 1 - row.test_accuracy,
        }
        for row in run.history
    ]


def chance(setup: Setup) -> Row:
    """What a network that diverged is worth: a guess."""
    classes = len(setup.data.classes)
    loss, error = math.log(classes), 1 - 1 / classes
    return {"epoch": setup.preset.epochs, "loss": loss, "error": error, "test_loss": loss, "test_error": error}


def trained(setup: Setup, model: "keras.Model", seed: int, *, keep: bool = True, **changes: Any) -> list[Row]:
    """The rows of a training by the preset's recipe; a guess where it diverged."""
    run = setup.train(model, seed, keep=keep, **changes)
    rows = [chance(setup)] if run is None else epochs_of(run)
    return [row | {"diverged": int(run is None)} for row in rows]
