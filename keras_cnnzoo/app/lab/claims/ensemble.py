"""Residual networks as ensembles of shallow ones: https://arxiv.org/abs/1605.06431, figures 3 and 5."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..figures import curve, legend, panels
from ..framework import Cell, Claim, Lab, Preset, Row, Rows, Setup
from ..networks import DIVERGED, cifar, dense

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

TESTED, DRAWS = 1000, 10  # images, random choices of blocks for each count


def experiment(setup: Setup, cell: Cell, seed: int) -> Iterable[Row]:
    kind = cell["kind"]
    model = (
        dense(setup, cell["depth"], setup.preset.width, seed)
        if kind == "dense"
        else cifar(setup, kind, cell["depth"], seed)
    )
    if setup.train(model, seed) is None:
        return DIVERGED
    images, labels = setup.test_images(TESTED)
    weights, blocks = model.get_weights(), REMOVABLE[kind](model)
    rng, rows = np.random.default_rng(seed), Rows()
    for count in range(len(blocks) + 1):
        for _ in range(DRAWS if 0 < count < len(blocks) else 1):
            for block in rng.choice(blocks, count, replace=False):
                DELETE[kind](model, str(block))
            wrong = model.predict_on_batch(images).argmax(-1) != labels
            rows.append({"deleted": count, "test_error": float(wrong.mean()), "guess": 1 - 1 / len(setup.data.classes)})
            model.set_weights(weights)
    names = {"whole": 0, "without_one_block": 1, "without_any": len(blocks)}
    return [*rows, {name: rows.mean("test_error", deleted=count) for name, count in names.items()}]


def units(model: "keras.Model") -> list[str]:
    """The residual (or plain) units that keep the shape of what they read."""
    found = (re.fullmatch(r"(layer\d_\d+)_conv1", layer.name) for layer in model.layers)
    kept = [match[1] for match in found if match]
    return [u for u in kept if (k := model.get_layer(f"{u}_conv1").kernel.shape)[2] == k[3]]


def dense_layers(model: "keras.Model") -> list[str]:
    return [layer.name.removesuffix("_concat") for layer in model.layers if layer.name.endswith("_concat")]


def delete_branch(model: "keras.Model", unit: str) -> None:
    """The branch adds 0; the ReLU behind the sum then changes nothing."""
    norm = model.get_layer(f"{unit}_bn2")
    norm.gamma.assign(0 * norm.gamma)
    norm.beta.assign(0 * norm.beta)


def delete_layers(model: "keras.Model", unit: str) -> None:
    """Both convolutions answer what they read, which a ReLU left 0 or more; their normalisations as well."""
    for i in (1, 2):
        conv, norm = model.get_layer(f"{unit}_conv{i}"), model.get_layer(f"{unit}_bn{i}")
        kernel = np.zeros(conv.kernel.shape, np.float32)
        kernel[1, 1] = np.eye(kernel.shape[2])
        conv.kernel.assign(kernel)
        norm.gamma.assign(np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon))
        norm.beta.assign(np.asarray(norm.moving_mean))


def delete_addition(model: "keras.Model", name: str) -> None:
    """The channels that a dense layer adds are 0."""
    kernel = model.get_layer(f"{name}_conv2").kernel
    kernel.assign(0 * kernel)


def rise(rows: Rows, kind: str) -> float:
    """Points of test error that one deleted block costs, at the greatest depth."""
    here = rows.where(kind=kind, depth=rows.distinct("depth")[-1])
    return 100 * (here.mean("test_error", deleted=1) - here.mean("test_error", deleted=0))


def shallow(rows: Rows) -> float:
    """How much nearer to the whole residual network than to a guess one without a block is."""
    here = rows.where(kind="residual", depth=rows.distinct("depth")[-1])
    left = 100 * (here.mean("guess") - here.mean("test_error", deleted=1))
    return left - rise(rows, "residual")


def figures(rows: Rows) -> dict[str, "Figure"]:
    figure, (axis,) = panels("blocks deleted after training, at random", x="blocks deleted", y="test error")
    for i, kind in enumerate(rows.distinct("kind")):
        here = rows.where(kind=kind, depth=rows.distinct("depth")[-1])
        curve(axis, here, "deleted", "test_error", label=kind, colour=i)
    legend(axis)
    return {"test_error": figure}


REMOVABLE: dict[str, Any] = {"plain": units, "residual": units, "dense": dense_layers}
DELETE: dict[str, Any] = {"plain": delete_layers, "residual": delete_branch, "dense": delete_addition}
KINDS = ("plain", "residual", "dense")
LAB = Lab(
    name="ensemble",
    title="A residual network is an ensemble of shallow ones",
    chinese="隐式集成",
    claim="Residual networks behave like ensembles of shallow paths: deleting a block after training costs little, "
    "while a plain network does not survive it.",
    source="https://arxiv.org/abs/1605.06431",
    presets={
        "quick": Preset(
            {"kind": ("plain", "residual"), "depth": (8,)}, images=64, width=4, epochs=2, batch=16, seeds=1
        ),
        "standard": Preset({"kind": KINDS, "depth": (20,)}, images=5000, epochs=20),
        "full": Preset({"kind": KINDS, "depth": (110,)}, 32, 50000, 16, 164, 128, seeds=5),
    },
    experiment=experiment,
    claims=(
        Claim(
            "Deleting a random block costs a plain network more test error than a residual one.",
            lambda rows: rise(rows, "plain") - rise(rows, "residual"),
            "points of test error",
        ),
        Claim(
            "A residual network without one block is nearer to the whole network than to a guess.",
            shallow,
            "points of test error",
        ),
    ),
    figures=figures,
    measures=("whole", "without_one_block", "without_any", "diverged"),
    caveat="Test errors; units that change the shape of what they read stay. A guess is of classes equally frequent.",
)
