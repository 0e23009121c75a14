"""Every permutation of a residual unit: https://arxiv.org/abs/1603.05027, figure 4 and table 2."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..figures import curve, legend, panels
from ..framework import Cell, Claim, Lab, Preset, Row, Rows, Setup
from ..networks import cifar, trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def experiment(setup: Setup, cell: Cell, seed: int) -> Iterable[Row]:
    """The original order is the network as it is, which the other labs train as well."""
    options = {} if cell["order"] == "original" else {"residual": cell["order"]}
    return trained(setup, cifar(setup, "residual", cell["depth"], seed, **options), seed)


def against(rival: str) -> Claim:
    """The test error of another order less that of full pre-activation, at the greatest depth."""

    def effect(rows: Rows) -> float:
        depth = rows.distinct("depth")[-1]
        errors = [100 * rows.last("test_error", order=order, depth=depth) for order in (rival, BEST)]
        return errors[0] - errors[1]

    name = rival.replace("_", " ")
    return Claim(f"At the greatest depth full pre-activation errs less than {name}.", effect, "points of test error")


def figures(rows: Rows) -> dict[str, "Figure"]:
    depths = rows.distinct("depth")
    drawn = {}
    for measure, said in (("loss", "training loss"), ("test_error", "test error")):
        figure, axes = panels(*(f"{depth} layers" for depth in depths), x="epoch", y=said)
        for axis, depth in zip(axes, depths, strict=True):
            for i, order in enumerate(rows.distinct("order")):
                label = order.replace("_", " ")
                curve(axis, rows.where(order=order, depth=depth), "epoch", measure, label=label, colour=i)
        legend(axes[-1])
        drawn[measure] = figure
    return drawn


BEST = "full_preact"
ORDERS = ("original", "bn_after_add", "relu_before_add", "relu_only_preact", BEST)
LAB = Lab(
    name="residual-orders",
    title="Try every permutation: pre-activation wins when it is deep",
    chinese="残差单元的顺序",
    claim="Of the orders of normalisation, activation and addition, full pre-activation errs least in deep networks.",
    source="https://arxiv.org/abs/1603.05027",
    presets={
        "quick": Preset({"order": ("original", BEST), "depth": (8,)}, images=64, width=4, epochs=2, batch=16, seeds=1),
        "standard": Preset({"order": ORDERS, "depth": (20, 56)}, images=5000, epochs=20),
        "full": Preset({"order": ORDERS, "depth": (20, 110)}, 32, 50000, 16, 164, 128, seeds=5),
    },
    experiment=experiment,
    claims=tuple(against(order) for order in ORDERS if order != BEST),
    figures=figures,
    measures=("loss", "test_error", "diverged"),
    caveat="A network that diverged counts as a guess.",
)
