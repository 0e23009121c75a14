"""Why a residual is easier to learn: https://arxiv.org/abs/1512.03385, section 3.1."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..figures import curve, legend, panels
from ..framework import Cell, Claim, Lab, Preset, Row, Rows, Setup

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

POINTS, CHANNELS = 10, 4  # losses a training, channels of the stack's input


def experiment(setup: Setup, cell: Cell, seed: int) -> Iterable[Row]:
    """Trains a stack to answer 0, or what it reads; its loss is the squared error by the inputs' mean square."""
    import keras

    model = stack(setup, cell["depth"], seed)
    x = inputs(setup, seed)
    targets = np.zeros_like(x) if cell["task"] == "F(x) = 0" else x
    model.compile(keras.optimizers.SGD(setup.preset.rate, 0.9), "mse", jit_compile=False)
    scale, batch = float(np.mean(x**2)), min(setup.preset.batch, len(x))
    rng = np.random.default_rng(seed)
    steps = setup.preset.epochs * (len(x) // batch)
    losses: list[float] = []
    for step in range(steps):
        chosen = rng.integers(0, len(x), batch)
        losses.append(float(model.train_on_batch(x[chosen], targets[chosen])) / scale)
        model.reset_metrics()
        setup.step(1 / steps)
        if (step + 1) % max(1, steps // POINTS) == 0:
            recent = np.mean(losses[-max(1, steps // POINTS) :])
            yield {"step": step + 1, "log10_loss": math.log10(float(np.nan_to_num(recent, nan=1e6)) + 1e-12)}


def stack(setup: Setup, depth: int, seed: int) -> "keras.Model":
    """So many of convolution, batch normalisation, ReLU; as many channels out as in."""
    import keras

    from ....kit import Kit

    keras.utils.set_random_seed(seed)
    kit = Kit()
    x = image = keras.Input((*setup.data.shape[:2], CHANNELS))
    for i in range(depth):
        x = kit.conv_norm_act(x, CHANNELS if i == depth - 1 else setup.preset.width, 3, name=f"unit{i}")
    return keras.Model(image, x, name=f"stack{depth}")


def inputs(setup: Setup, seed: int) -> Any:
    """Feature maps as a ReLU leaves them: random 1x1 mixtures of the pictures' channels, (n, h, w, CHANNELS)."""
    images, _ = setup.test_images(setup.preset.images)
    mixture = np.random.default_rng(seed).standard_normal((images.shape[-1], CHANNELS))
    return np.maximum(images @ mixture, 0).astype(np.float32)


def gap(rows: Rows) -> float:
    """How much more of its loss is left of H(x) = x than of F(x) = 0, over all depths."""
    by_depth = [
        rows.last("log10_loss", task="H(x) = x", depth=depth) - rows.last("log10_loss", task="F(x) = 0", depth=depth)
        for depth in rows.distinct("depth")
    ]
    return float(np.mean(by_depth))


def harder(rows: Rows) -> float:
    depths = rows.distinct("depth")
    first, last = (rows.last("log10_loss", task="H(x) = x", depth=depth) for depth in (depths[0], depths[-1]))
    return last - first


def figures(rows: Rows) -> dict[str, "Figure"]:
    figure, axes = panels(*TASKS, x="step", y="log10 of the share of the loss that is left")
    for axis, task in zip(axes, TASKS, strict=True):
        for i, depth in enumerate(rows.distinct("depth")):
            curve(axis, rows.where(task=task, depth=depth), "step", "log10_loss", label=f"{depth} layers", colour=i)
    legend(*axes)
    return {"loss": figure}


TASKS = ("F(x) = 0", "H(x) = x")
LAB = Lab(
    name="identity-vs-zero",
    title="A stack learns zero easily and the identity hardly",
    chinese="恒等映射与零映射",
    claim="A stack of convolution, batch normalisation and ReLU learns F(x) = 0 easily and H(x) = x hardly, and the "
    "harder the deeper it is; so a block had better learn what is to be added to x.",
    source="https://arxiv.org/abs/1512.03385",
    presets={
        "quick": Preset({"task": TASKS, "depth": (1, 2)}, images=64, width=4, epochs=3, batch=16, seeds=1),
        "standard": Preset({"task": TASKS, "depth": (2, 4, 8, 16)}, images=2000, epochs=10, batch=50),
        "full": Preset({"task": TASKS, "depth": (2, 4, 8, 16, 32)}, 32, 10000, 16, 50, 128, seeds=5),
    },
    experiment=experiment,
    claims=(
        Claim("To a given step, more of the loss is left of H(x) = x than of F(x) = 0.", gap, "powers of ten"),
        Claim("H(x) = x is harder for the deepest stack than for the shallowest.", harder, "powers of ten"),
    ),
    figures=figures,
    measures=("log10_loss",),
    caveat="The inputs are mixtures of the test pictures' channels. A share of the loss below 1e-12 counts as that: a "
    "loss of 0, which a last ReLU reaches that lets nothing through, has no logarithm.",
)
