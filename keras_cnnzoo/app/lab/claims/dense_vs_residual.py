"""Concatenation re-uses features: https://arxiv.org/abs/1608.06993, figure 4."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ..figures import COLOURS, legend, logarithmic, panels
from ..framework import Cell, Claim, Lab, Preset, Row, Rows, Setup
from ..networks import cifar, dense, trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def experiment(setup: Setup, cell: Cell, seed: int) -> Iterable[Row]:
    """DenseNet-BC of 6n + 4 layers with growth rate width + 4 beside ResNet of 6n + 2."""
    from ....complexity import complexity

    depth = cell["depth"]
    if cell["family"] == "dense":
        model = dense(setup, depth, setup.preset.width + 4, seed)
    else:
        model = cifar(setup, "residual", depth, seed)
    cost = complexity(model)
    for row in trained(setup, model, seed):
        yield row | {"parameters": cost.params, "macs": cost.macs}


def error_at(rows: Rows, family: str, measure: str, place: float) -> float:
    """A family's final test error at so much of a cost, on the line through its networks (by the cost's logarithm)."""
    depths = rows.distinct("depth")
    costs = [np.log(rows.mean(measure, family=family, depth=depth)) for depth in depths]
    errors = [100 * rows.last("test_error", family=family, depth=depth) for depth in depths]
    if len(depths) == 1:
        return errors[0]
    slope, offset = np.polyfit(costs, errors, 1)
    return float(slope * place + offset)


def advantage(rows: Rows, measure: str) -> float:
    """ResNet's error less DenseNet's at the geometric mean of all their costs."""
    depths = rows.distinct("depth")
    costs = [rows.mean(measure, family=family, depth=depth) for family in FAMILIES for depth in depths]
    place = float(np.log(costs).mean())
    return error_at(rows, "residual", measure, place) - error_at(rows, "dense", measure, place)


def figures(rows: Rows) -> dict[str, "Figure"]:
    figure, axes = panels("by parameters", "by multiply-accumulates", x="", y="test error")
    for axis, measure in zip(axes, ("parameters", "macs"), strict=True):
        for i, family in enumerate(FAMILIES):
            ends = rows.where(family=family, epoch=rows.distinct("epoch")[-1])
            axis.plot(ends.values(measure), ends.values("test_error"), "o", color=COLOURS[i], label=family)
        logarithmic(axis)
    legend(*axes)
    return {"test_error": figure}


FAMILIES = ("residual", "dense")
LAB = Lab(
    name="dense-vs-residual",
    title="Concatenation re-uses features",
    chinese="稠密连接与残差连接",
    claim="Concatenation lets later layers re-use features: at as many parameters DenseNet errs less than ResNet.",
    source="https://arxiv.org/abs/1608.06993",
    presets={
        "quick": Preset({"family": FAMILIES, "depth": (8,)}, images=64, width=4, epochs=2, batch=16, seeds=1),
        "standard": Preset({"family": FAMILIES, "depth": (14, 20, 32)}, images=3000, epochs=10),
        "full": Preset({"family": FAMILIES, "depth": (38, 56, 98)}, 32, 50000, 16, 300, 64, seeds=5),
    },
    experiment=experiment,
    claims=(
        Claim(
            "At as many parameters DenseNet's test error is lower.",
            lambda rows: advantage(rows, "parameters"),
            "points of test error",
        ),
        Claim(
            "At as many multiply-accumulates DenseNet's test error is lower.",
            lambda rows: advantage(rows, "macs"),
            "points of test error",
        ),
    ),
    figures=figures,
    measures=("parameters", "macs", "test_error", "diverged"),
)
