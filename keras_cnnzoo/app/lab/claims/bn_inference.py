"""Batch normalisation in training and in inference: https://arxiv.org/abs/1502.03167, algorithms 1 and 2."""

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..figures import COLOURS, curve, doublings, legend, panels
from ..framework import Cell, Claim, Lab, Preset, Row, Rows, Setup
from ..networks import DIVERGED, cifar

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

SIZES, TESTED, BINS = (2, 4, 8, 32, 128), 512, 30
STEPS = ("x", "x - mean", "x by deviation", "gamma x + beta")


def experiment(setup: Setup, cell: Cell, seed: int) -> Iterable[Row]:
    import tensorflow as tf

    model = cifar(setup, cell["kind"], cell["depth"], seed)
    if setup.train(model, seed) is None:
        yield from DIVERGED
        return
    images, labels = setup.test_images(TESTED)
    weights = model.get_weights()
    moving = float(np.mean(np.asarray(model(images, training=False)).argmax(-1) == labels))
    answer = tf.function(lambda batch: model(batch, training=True))  # traced once a size
    for size in (size for size in SIZES if size <= len(images)):
        batches = [slice(i, i + size) for i in range(0, len(images) - size + 1, size)]
        answers = [np.asarray(answer(tf.constant(images[batch]))).argmax(-1) for batch in batches]
        right = np.mean(np.concatenate(answers) == labels[: size * len(batches)])
        model.set_weights(weights)  # training mode moved the averages
        yield {"batch_size": size, "batch_statistics": float(right), "moving_averages": moving}
    yield from four_steps(model, images[: min(32, len(images))])


def four_steps(model: "keras.Model", images: Any) -> Iterator[Row]:
    """Histograms of the first normalisation's channel of largest variance, as it goes through algorithm 1."""
    import keras

    layer = next(layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization))
    x = np.asarray(keras.Model(model.input, layer.input)(images))
    channel = int(x.var((0, 1, 2)).argmax())
    x = x[..., channel].ravel()
    gamma, beta, mean, variance = (
        float(np.asarray(v)[channel]) for v in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
    )
    deviation = np.sqrt(x.var() + layer.epsilon)
    normal = (x - x.mean()) / deviation
    for step, values in zip(STEPS, (x, x - x.mean(), normal, gamma * normal + beta), strict=True):
        counts, edges = np.histogram(values, BINS)
        for count, left, right in zip(counts, edges, edges[1:], strict=False):
            yield {"step": step, "value": float(left + right) / 2, "count": int(count)}
    yield {"batch_mean": float(x.mean()), "moving_mean": mean} | {
        "batch_variance": float(x.var()),
        "moving_variance": variance,
    }


def lost(rows: Rows, index: int) -> float:
    """What batch statistics cost at a batch size, in points of accuracy."""
    if not (sizes := rows.distinct("batch_size")):
        return math.nan
    size = sizes[index]
    return 100 * (rows.mean("moving_averages", batch_size=size) - rows.mean("batch_statistics", batch_size=size))


def figures(rows: Rows) -> dict[str, "Figure"]:
    figure, (axis,) = panels("the same network", x="batch size in inference", y="accuracy")
    for i, measure in enumerate(("batch_statistics", "moving_averages")):
        curve(axis, rows, "batch_size", measure, label=measure.replace("_", " "), colour=i)
    doublings(axis, rows.distinct("batch_size"))
    legend(axis)
    steps, axes = panels(*STEPS, x="value", y="share of the pixels", share=False)
    for i, (axis, step) in enumerate(zip(axes, STEPS, strict=True)):
        here = rows.where(step=step)
        here = here.where(seed=min(here.distinct("seed"), default=0))
        axis.fill_between(here.values("value"), here.values("count"), step="mid", color=COLOURS[i], alpha=0.6)
        axis.set_yticks([])
    return {"accuracy": figure, "steps": steps}


GRID = {"kind": ("residual",), "depth": (20,)}
LAB = Lab(
    name="bn-inference",
    title="Batch statistics to train, moving averages to infer",
    chinese="批归一化的训练与推理",
    claim="Batch normalisation takes mean and variance from the batch in training, from moving averages in inference: "
    "an answer must not depend on what else is in the batch.",
    source="https://arxiv.org/abs/1502.03167",
    presets={
        "quick": Preset(GRID | {"depth": (8,)}, images=64, width=4, epochs=2, batch=16, seeds=1),
        "standard": Preset(GRID, images=5000, epochs=20),
        "full": Preset(GRID | {"depth": (56,)}, 32, 50000, 16, 164, 128, seeds=5),
    },
    experiment=experiment,
    claims=(
        Claim("Batch statistics cost accuracy at the smallest batch.", lambda rows: lost(rows, 0), "points"),
        Claim(
            "They cost more at the smallest batch than at the largest.",
            lambda rows: lost(rows, 0) - lost(rows, -1),
            "points",
        ),
    ),
    figures=figures,
    measures=(
        "batch_statistics",
        "moving_averages",
        "batch_mean",
        "moving_mean",
        "batch_variance",
        "moving_variance",
        "diverged",
    ),
    by=("batch_size",),
)
