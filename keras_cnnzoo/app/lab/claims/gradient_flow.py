"""Gradients by layer: https://arxiv.org/abs/1603.05027, equation 5."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..figures import curve, legend, panels
from ..framework import Cell, Claim, Lab, Preset, Row, Rows, Setup
from ..networks import DIVERGED, cifar

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

BATCH = 64


def experiment(setup: Setup, cell: Cell, seed: int) -> Iterable[Row]:
    model = cifar(setup, cell["kind"], cell["depth"], seed)
    images, labels = setup.test_images(BATCH)
    for moment in ("at the start", "trained"):
        if moment == "trained" and setup.train(model, seed) is None:
            yield from DIVERGED
            return
        norms = gradient_norms(model, images, labels)
        for i, norm in enumerate(norms):
            yield {"moment": moment, "layer": i / (len(norms) - 1), "log10_norm": math.log10(norm + 1e-30)}
        yield {"moment": moment, "spread": math.log10((max(norms) + 1e-30) / (min(norms) + 1e-30))}


def gradient_norms(model: "keras.Model", images: Any, labels: Any) -> list[float]:
    """Of the 3x3 kernels from the first to the last, in training mode: the gradient's norm by the kernel's own."""
    import keras
    import tensorflow as tf

    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (3, 3)]
    kernels = [layer.kernel.value for layer in layers]
    weights = model.get_weights()
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def gradients() -> list[Any]:
        with tf.GradientTape() as tape:
            loss = loss_of(labels, model(images, training=True))
        return [tf.norm(g) / tf.norm(k) for g, k in zip(tape.gradient(loss, kernels), kernels, strict=True)]

    norms = [float(norm) for norm in gradients()]
    model.set_weights(weights)  # the moving statistics as they were
    return norms


def spread(rows: Rows, kind: str, moment: str) -> float:
    return rows.mean("spread", kind=kind, depth=rows.distinct("depth")[-1], moment=moment)


def figures(rows: Rows) -> dict[str, "Figure"]:
    drawn = {}
    for moment, name in (("at the start", "start"), ("trained", "trained")):
        figure, axes = panels("plain", "residual", x="layer, first to last", y="log10 of gradient by weight")
        for axis, kind in zip(axes, KINDS, strict=True):
            for i, depth in enumerate(rows.distinct("depth")):
                here = rows.where(kind=kind, depth=depth, moment=moment)
                curve(axis, here, "layer", "log10_norm", label=f"{depth} layers, {moment}", colour=i)
        legend(*axes)
        drawn[name] = figure
    return drawn


def claim(moment: str) -> Claim:
    return Claim(
        f"Over the layers of the deepest network, gradients differ more in a plain than in a residual one ({moment}).",
        lambda rows: spread(rows, "plain", moment) - spread(rows, "residual", moment),
        "powers of ten",
    )


KINDS = ("plain", "residual")
LAB = Lab(
    name="gradient-flow",
    title="The +1 keeps gradients alive",
    chinese="梯度流动",
    claim="Through a shortcut the gradient reaches every layer unweakened: dL/dx is dL/dy (1 + dF/dx).",
    source="https://arxiv.org/abs/1603.05027",
    presets={
        "quick": Preset({"kind": KINDS, "depth": (8,)}, images=64, width=4, epochs=2, batch=16, seeds=1),
        "standard": Preset({"kind": KINDS, "depth": (20, 56)}, images=5000, epochs=20),
        "full": Preset({"kind": KINDS, "depth": (20, 32, 44, 56, 110)}, 32, 50000, 16, 164, 128, seeds=5),
    },
    experiment=experiment,
    claims=(claim("at the start"), claim("trained")),
    figures=figures,
    measures=("spread", "diverged"),
    by=("moment",),
    caveat="Both networks have batch normalisation, under which a plain network's gradients may grow towards its first "
    "layers instead of vanishing; the spread counts either. A gradient's norm is divided by its kernel's.",
)
