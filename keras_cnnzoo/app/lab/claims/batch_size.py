"""Normalisation and the batch: https://arxiv.org/abs/1803.08494, figure 1."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..figures import curve, doublings, legend, panels
from ..framework import Cell, Claim, Lab, Preset, Row, Rows, Setup
from ..networks import cifar, trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def experiment(setup: Setup, cell: Cell, seed: int) -> Iterable[Row]:
    """The learning rate follows the batch, as in the paper."""
    batch, preset = cell["batch"], setup.preset
    model = cifar(setup, "residual", DEPTH, seed, norm=cell["norm"])
    return trained(setup, model, seed, batch=batch, learning_rate=preset.rate * batch / preset.batch)


def cost(rows: Rows, norm: str) -> float:
    """By how many points of test error the smallest batch is worse than the reference."""
    sizes = rows.distinct("batch")
    usual = 32 if 32 in sizes else sizes[-1]
    smallest, reference = (rows.last("test_error", norm=norm, batch=size) for size in (sizes[0], usual))
    return 100 * (smallest - reference)


def figures(rows: Rows) -> dict[str, "Figure"]:
    figure, (axis,) = panels("after as many images", x="batch size", y="test error")
    ends = Rows(row for row in rows if row["epoch"] == rows.distinct("epoch")[-1])
    for i, norm in enumerate(rows.distinct("norm")):
        curve(axis, ends.where(norm=norm), "batch", "test_error", label=f"{norm} normalisation", colour=i)
    doublings(axis, rows.distinct("batch"))
    legend(axis)
    return {"test_error": figure}


DEPTH, NORMS = 8, ("batch", "group", "layer")
LAB = Lab(
    name="batch-size",
    title="Batch normalisation fails at small batches",
    chinese="小批量与归一化",
    claim="Batch normalisation fails at batches of 2 to 8 images; group and layer normalisation do not.",
    source="https://arxiv.org/abs/1803.08494",
    presets={
        "quick": Preset({"norm": ("batch", "group"), "batch": (16,)}, images=64, width=4, epochs=1, batch=32, seeds=1),
        "standard": Preset({"norm": NORMS, "batch": (2, 4, 8, 32, 128)}, images=2000, epochs=8, batch=128),
        "full": Preset({"norm": NORMS, "batch": (2, 4, 8, 32, 128)}, 32, 50000, 16, 100, 128, seeds=5),
    },
    experiment=experiment,
    claims=(
        Claim(
            "Batch normalisation loses more from batches of 32 to the smallest than group normalisation.",
            lambda rows: cost(rows, "batch") - cost(rows, "group"),
            "points of test error",
        ),
        Claim(
            "Batch normalisation at the smallest batch errs more than at 32.",
            lambda rows: cost(rows, "batch"),
            "points of test error",
        ),
        Claim(
            "Group normalisation at the smallest batch errs less than batch normalisation there.",
            lambda rows: (
                100
                * (
                    rows.last("test_error", norm="batch", batch=rows.distinct("batch")[0])
                    - rows.last("test_error", norm="group", batch=rows.distinct("batch")[0])
                )
            ),
            "points of test error",
        ),
    ),
    figures=figures,
    measures=("loss", "test_loss", "test_error", "diverged"),
    caveat="Residual networks of 8 layers; the learning rate is the preset's times the batch by the preset's batch.",
)
