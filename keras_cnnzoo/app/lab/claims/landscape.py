"""The loss surface: https://arxiv.org/abs/1712.09913, section 4 (filter-wise normalised random directions)."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..figures import COLOURS, INK, STYLE, panels
from ..framework import Cell, Claim, Lab, Preset, Row, Rows, Setup
from ..networks import DIVERGED, TRAINS, cifar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAMPLES, INNER = 512, 0.5  # images, radius of the disc over which the surface's rise is taken
HIGHEST = 1000.0  # a loss that is greater, or no number, counts as this


def experiment(setup: Setup, cell: Cell, seed: int) -> Iterable[Row]:
    """Losses over a grid of the plane through the trained weights, with the moving averages as they are."""
    import keras

    kind = cell["kind"]
    options = {"norm": "none"} if kind.endswith("without normalisation") else {}
    model = cifar(setup, kind.split()[0], cell["depth"], seed, **options)
    if setup.train(model, seed, learning_rate=setup.preset.rate / (10 if options else 1)) is None:
        return DIVERGED
    images, labels = setup.test_images(SAMPLES)
    trained = [np.asarray(v) for v in model.trainable_variables]
    rng = np.random.default_rng(seed)
    across, along = direction(trained, rng), direction(trained, rng)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    places, rows = np.linspace(-1, 1, cell["points"]), Rows()
    for x in places:
        for y in places:
            for variable, w, a, b in zip(model.trainable_variables, trained, across, along, strict=True):
                variable.assign(w + x * a + y * b)
            loss = float(loss_of(labels, model.predict_on_batch(images)))
            rows.append({"x": float(x), "y": float(y), "loss": min(loss, HIGHEST) if math.isfinite(loss) else HIGHEST})
    centre = rows.mean("loss", x=0.0, y=0.0)
    trains = centre < TRAINS * math.log(len(setup.data.classes))
    return [*rows, {"centre_loss": centre, "rise": rise(rows), "trains": int(trains)}]


def direction(weights: list[Any], rng: np.random.Generator) -> list[Any]:
    """Random, each filter as long as the network's own; 0 for biases and normalisations."""
    chosen = []
    for w in weights:
        d = rng.standard_normal(w.shape) if w.ndim > 1 else np.zeros(w.shape)
        if w.ndim > 1:
            others = tuple(range(w.ndim - 1))
            d *= np.linalg.norm(w.reshape(-1, w.shape[-1]), axis=0) / np.sqrt((d**2).sum(others) + 1e-12)
        chosen.append(d.astype(np.float32))
    return chosen


def rise(rows: Rows) -> float:
    """By how much the loss's logarithm rises from the centre to the mean over the inner disc of one surface."""
    near = Rows(row for row in rows if 0 < math.hypot(row["x"], row["y"]) <= max(INNER, least(rows)))
    return float(np.log(near.values("loss") + 1e-6).mean() - math.log(rows.mean("loss", x=0.0, y=0.0) + 1e-6))


def least(rows: Rows) -> float:
    """The distance of neighbouring points."""
    places = rows.distinct("x")
    return places[1] - places[0] + 1e-9


def figures(rows: Rows) -> dict[str, "Figure"]:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    kinds = rows.distinct("kind")
    contour, axes = panels(*kinds, x="first direction", y="second direction")
    with rc_context(STYLE):
        solid = Figure(figsize=(3.6 * len(kinds), 3.6), layout="constrained")
    for i, (axis, kind) in enumerate(zip(axes, kinds, strict=True)):
        here = rows.where(kind=kind).having("x")
        here = here.where(seed=min(here.distinct("seed"), default=0))
        if not here:
            continue
        places = here.distinct("x")
        surface = np.log10(here.values("loss").reshape(len(places), -1).T + 1e-6)
        lines = axis.contour(places, places, surface, levels=12, cmap="viridis")
        axis.clabel(lines, fontsize=6)
        with rc_context(STYLE):
            drawn: Any = solid.add_subplot(1, len(kinds), i + 1, projection="3d")
        drawn.patch.set_alpha(0)
        for side in (drawn.xaxis, drawn.yaxis, drawn.zaxis):
            side.pane.set_alpha(0)
        drawn.plot_wireframe(*np.meshgrid(places, places), surface, color=COLOURS[i], linewidth=0.7)
        drawn.set_title(kind, fontsize=10)
    solid.supylabel("log10 of the loss", color=INK, fontsize=10)
    return {"contour": contour, "surface": solid}


def claim(says: str, rough: str) -> Claim:
    def steeper(rows: Rows) -> float:
        """nan where one of them learned nothing: there is no loss to rise from."""
        if not all(rows.mean("trains", kind=kind) == 1 for kind in (rough, "residual")):
            return math.nan
        return rows.mean("rise", kind=rough) - rows.mean("rise", kind="residual")

    says = f"The loss rises less steeply around a residual network than around a {says}."
    return Claim(says, steeper, "nats of the loss's logarithm")


BARE = "residual without normalisation"
KINDS = ("residual", "plain", BARE)
LAB = Lab(
    name="landscape",
    title="Shortcuts and normalisation smooth the loss surface",
    chinese="损失地形",
    claim="Shortcuts and batch normalisation make the loss surface around the trained weights smooth and wide.",
    source="https://arxiv.org/abs/1712.09913",
    presets={
        "quick": Preset(
            {"kind": KINDS, "depth": (8,), "points": (5,)}, images=64, width=4, epochs=2, batch=16, seeds=1
        ),
        "standard": Preset({"kind": KINDS, "depth": (56,), "points": (13,)}, images=5000, epochs=20),
        "full": Preset({"kind": KINDS, "depth": (56,), "points": (51,)}, 32, 50000, 16, 164, 128, seeds=5),
    },
    experiment=experiment,
    claims=(
        claim("plain network of the same depth", "plain"),
        claim("residual one without normalisation", BARE),
    ),
    figures=figures,
    measures=("centre_loss", "rise", "trains", "diverged"),
    caveat="The network without normalisation is trained at a tenth of the rate. One random plane a seed; the loss is "
    "that of 512 test images, at most 1,000. Around a network whose loss is above 0.7 of a guess's nothing can rise: "
    "its seed has no say.",
)
