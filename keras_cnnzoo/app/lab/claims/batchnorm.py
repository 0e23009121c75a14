"""What batch normalisation permits: https://arxiv.org/abs/1502.03167, section 3.3 and figure 1."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..figures import curve, legend, panels
from ..framework import Cell, Claim, Lab, Preset, Row, Rows, Setup
from ..networks import TRAINS, cifar, trained

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure


def experiment(setup: Setup, cell: Cell, seed: int) -> Iterable[Row]:
    model = cifar(setup, "plain", cell["depth"], seed, norm=cell["norm"])
    scale_kernels(model, cell["gain"])
    rows = trained(setup, model, seed, keep=False, learning_rate=cell["rate"])
    guess = math.log(len(setup.data.classes))
    for row in rows:
        yield row | {"share": min(row["loss"] / guess, 1.0)}


def scale_kernels(model: "keras.Model", gain: float) -> None:
    """Multiplies the convolutions' initial kernels, which are He et al.'s at 1."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.kernel.assign(layer.kernel * gain)


def final(rows: Rows, norm: str) -> dict[tuple[float, float], float]:
    """The final share of a guess's loss by rate and gain, at the greatest depth."""
    here = rows.where(norm=norm, depth=rows.distinct("depth")[-1])
    return {
        (rate, gain): here.last("share", rate=rate, gain=gain)
        for rate in rows.distinct("rate")
        for gain in rows.distinct("gain")
    }


def highest_rate(rows: Rows, norm: str) -> float:
    """The log2 of the highest rate that trains with He et al.'s initialisation; that below the least if none does."""
    rates = rows.distinct("rate")
    shares = final(rows, norm)
    return max((math.log2(rate) for rate in rates if shares[rate, 1.0] < TRAINS), default=math.log2(rates[0]) - 1)


def care(rows: Rows, norm: str) -> float:
    """How much the share at the best rate differs between the initialisations; nan where none trains at any rate."""
    shares, rates = final(rows, norm), rows.distinct("rate")
    best = [min(shares[rate, gain] for rate in rates) for gain in rows.distinct("gain")]
    return float(np.std(best)) if min(best) < TRAINS else math.nan


def best(rows: Rows, norm: str) -> float:
    """The least share of a guess's loss that any rate reaches with He et al.'s initialisation in as many epochs."""
    return min(share for (_, gain), share in final(rows, norm).items() if gain == 1.0)


def figures(rows: Rows) -> dict[str, "Figure"]:
    norms, rates, gains = rows.distinct("norm"), rows.distinct("rate"), rows.distinct("gain")
    heat, axes = panels(*(TITLES[norm] for norm in norms), x="learning rate", y="initial kernels, times He's")
    for axis, norm in zip(axes, norms, strict=True):
        ends = [final(rows.where(seed=seed), norm) for seed in rows.distinct("seed")]
        shares = np.array([[np.mean([end[rate, gain] for end in ends]) for rate in rates] for gain in gains])
        axis.pcolormesh(shares, vmin=0, vmax=1, cmap="viridis_r")
        axis.set_xticks(np.arange(len(rates)) + 0.5, [f"{rate:g}" for rate in rates])
        axis.set_yticks(np.arange(len(gains)) + 0.5, [f"{gain:g}" for gain in gains])
        for (i, j), value in np.ndenumerate(shares):
            axis.text(
                j + 0.5, i + 0.5, f"{value:.2f}", ha="center", va="center", color="white" if value > 0.5 else "black"
            )
    curves, (axis,) = panels("He et al.'s initialisation", x="epoch", y="share of a guess's loss")
    for i, norm in enumerate(norms):
        for rate in rates:
            here = rows.where(norm=norm, rate=rate, gain=1.0, depth=rows.distinct("depth")[-1])
            label = TITLES[norm] if rate == rates[0] else ""
            curve(axis, here, "epoch", "share", label=label, colour=i)
    legend(axis)
    return {"final_loss": heat, "curves": curves}


def grid(rates: tuple[float, ...], gains: tuple[float, ...], depths: tuple[int, ...]) -> dict[str, tuple[Any, ...]]:
    return {"norm": NORMS, "rate": rates, "gain": gains, "depth": depths}


NORMS, TITLES = ("batch", "none"), {"batch": "with normalisation", "none": "without"}
LAB = Lab(
    name="batchnorm",
    title="Batch normalisation permits higher learning rates",
    chinese="批归一化",
    claim="Batch normalisation permits higher learning rates, converges faster, and asks less care for initialisation.",
    source="https://arxiv.org/abs/1502.03167",
    presets={
        "quick": Preset(grid((0.1,), (1.0,), (8,)), images=64, width=4, epochs=1, batch=32, seeds=1),
        "standard": Preset(grid((0.01, 0.1, 1.0), (0.25, 1.0, 2.0), (20, 56)), images=2000, epochs=6),
        "full": Preset(
            grid((0.001, 0.01, 0.1, 1.0), (0.1, 0.25, 0.5, 1.0, 2.0, 4.0), (20, 56)), 32, 50000, 16, 60, 128, seeds=5
        ),
    },
    experiment=experiment,
    claims=(
        Claim(
            "With normalisation the highest learning rate that trains is higher.",
            lambda rows: highest_rate(rows, "batch") - highest_rate(rows, "none"),
            "doublings",
        ),
        Claim(
            "With normalisation the loss after as many epochs is lower, each at its best rate.",
            lambda rows: best(rows, "none") - best(rows, "batch"),
            "of a guess's loss",
        ),
        Claim(
            "With normalisation the loss at the best rate depends less on the scale of the initial kernels.",
            lambda rows: care(rows, "none") - care(rows, "batch"),
            "of a guess's loss (standard deviation)",
        ),
    ),
    figures=figures,
    measures=("loss", "share", "test_error", "diverged"),
    caveat="Plain networks; the claims are of the deepest. It trains where its loss ends below 0.7 of a guess's. The "
    "rates are ten times apart: how many doublings lie between the highest ones is known to that step alone.",
)
