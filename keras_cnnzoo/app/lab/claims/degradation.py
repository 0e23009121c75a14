"""Degradation: https://arxiv.org/abs/1512.03385, figures 1 and 6."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..figures import curve, legend, panels
from ..framework import Cell, Claim, Lab, Preset, Row, Rows, Setup
from ..networks import cifar, trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def experiment(setup: Setup, cell: Cell, seed: int) -> Iterable[Row]:
    return trained(setup, cifar(setup, cell["kind"], cell["depth"], seed), seed)


def growth(rows: Rows, kind: str) -> float:
    """By how much the final training loss grows from the shallowest to the deepest network."""
    depths = rows.distinct("depth")
    return rows.last("loss", kind=kind, depth=depths[-1]) - rows.last("loss", kind=kind, depth=depths[0])


def figures(rows: Rows) -> dict[str, "Figure"]:
    drawn = {}
    for measure, said in (("loss", "training loss"), ("test_error", "test error")):
        figure, axes = panels("plain", "residual", x="epoch", y=said)
        for axis, kind in zip(axes, ("plain", "residual"), strict=True):
            for i, depth in enumerate(rows.distinct("depth")):
                curve(axis, rows.where(kind=kind, depth=depth), "epoch", measure, label=f"{depth} layers", colour=i)
        legend(*axes)
        drawn[measure] = figure
    return drawn


KINDS = ("plain", "residual")
LAB = Lab(
    name="degradation",
    title="Deeper plain networks train worse; residual ones do not",
    chinese="退化问题",
    claim="A plain network of 56 layers has a higher training loss than one of 20; with shortcuts it is the other way.",
    source="https://arxiv.org/abs/1512.03385",
    presets={
        "quick": Preset({"kind": KINDS, "depth": (8,)}, images=64, width=4, epochs=2, batch=16, seeds=1),
        "standard": Preset({"kind": KINDS, "depth": (20, 56)}, images=5000, epochs=20),
        "full": Preset({"kind": KINDS, "depth": (20, 32, 44, 56)}, 32, 50000, 16, 164, 128, seeds=5),
    },
    experiment=experiment,
    claims=(
        Claim(
            "The deepest plain network ends at a higher training loss than the shallowest.",
            lambda rows: growth(rows, "plain"),
            "nats",
        ),
        Claim(
            "The deepest residual network ends at a lower training loss than the shallowest.",
            lambda rows: -growth(rows, "residual"),
            "nats",
        ),
        Claim(
            "Depth costs a plain network more training loss than a residual one.",
            lambda rows: growth(rows, "plain") - growth(rows, "residual"),
            "nats",
        ),
    ),
    figures=figures,
    measures=("loss", "error", "test_loss", "test_error", "diverged"),
)
