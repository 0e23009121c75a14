"""Squeeze and excitation: https://arxiv.org/abs/1709.01507, tables 2 and 4."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ..figures import bars, panels
from ..framework import Cell, Claim, Lab, Preset, Row, Rows, Setup
from ..networks import cifar, trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OPTIONS = {
    "plain": ("plain", {}),
    "residual": ("residual", {}),
    "pre-activated": ("residual", {"residual": "full_preact"}),
}
RATIO = 4  # of the gate: the lab's channels are few


def experiment(setup: Setup, cell: Cell, seed: int) -> Iterable[Row]:
    kind, options = OPTIONS[cell["family"]]
    gate = {"se_ratio": RATIO} if cell["gate"] == "gate" else {}
    model = cifar(setup, kind, cell["depth"], seed, **options, **gate)
    for row in trained(setup, model, seed):
        yield row | {"parameters": model.count_params()}


def gained(rows: Rows, measure: str) -> float:
    """Without less with the gate, a mean over the families."""
    families = rows.distinct("family")
    return float(
        np.mean(
            [rows.last(measure, family=f, gate="none") - rows.last(measure, family=f, gate="gate") for f in families]
        )
    )


def dearer(rows: Rows) -> float:
    """The share of parameters that the gates add."""
    without, gated = (rows.mean("parameters", gate=gate) for gate in GATES)
    return gated / without - 1


def figures(rows: Rows) -> dict[str, "Figure"]:
    families = rows.distinct("family")
    figure, axes = panels(*families, x="", y="test error")
    for i, (axis, family) in enumerate(zip(axes, families, strict=True)):
        ends = rows.where(family=family, epoch=rows.distinct("epoch")[-1])
        bars(axis, GATES, [ends.values("test_error", gate=gate) for gate in GATES], colour=i)
    return {"test_error": figure}


GATES = ("none", "gate")
LAB = Lab(
    name="se",
    title="A gate for each channel helps for few parameters",
    chinese="通道注意力 SE",
    claim="A global gate for each channel (squeeze and excitation) lowers every family's error for few parameters.",
    source="https://arxiv.org/abs/1709.01507",
    presets={
        "quick": Preset(
            {"family": ("residual",), "gate": GATES, "depth": (8,)}, images=64, width=4, epochs=2, batch=16, seeds=1
        ),
        "standard": Preset({"family": tuple(OPTIONS), "gate": GATES, "depth": (14,)}, images=3000, epochs=12),
        "full": Preset({"family": tuple(OPTIONS), "gate": GATES, "depth": (20,)}, 32, 50000, 16, 164, 128, seeds=5),
    },
    experiment=experiment,
    claims=(
        Claim(
            "With gates the test error is lower, a mean over the families.",
            lambda rows: 100 * gained(rows, "test_error"),
            "points of test error",
        ),
        Claim(
            "The gates add less than a fifth of the parameters.",
            lambda rows: 100 * (0.2 - dearer(rows)),
            "points of the parameters below 20 %",
            counted=True,
        ),
    ),
    figures=figures,
    measures=("loss", "test_error", "parameters", "diverged"),
    caveat="The gates reduce their channels by 4, not by the paper's 16, since the networks have few.",
)
