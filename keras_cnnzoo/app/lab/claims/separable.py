"""Grouped, shuffled and depthwise separable convolutions: https://arxiv.org/abs/1704.04861, https://arxiv.org/abs/1707.01083."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..figures import COLOURS, legend, logarithmic, panels
from ..framework import Cell, Claim, Lab, Preset, Row, Rows, Setup
from ..networks import trained
from ..timing import latencies

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

GROUPS = 4


def experiment(setup: Setup, cell: Cell, seed: int) -> Iterable[Row]:
    """Trains a network of each unit, then times all of them, interleaved, float32 and int8."""
    from ....complexity import complexity

    part = setup.part(len(UNITS))
    models = {unit: network_of(unit, setup, cell["per_stage"], seed) for unit in UNITS}
    ends = {unit: trained(part, model, seed)[-1] for unit, model in models.items()}
    images, _ = setup.test_images(100)
    took = latencies(models, ["float32", "int8"], images, runs=cell["runs"], seed=seed)
    for unit, model in models.items():
        cost = complexity(model)
        milliseconds = {f"ms_{scheme}": took[unit, scheme] for scheme in ("float32", "int8")}
        found = {key: ends[unit][key] for key in ("test_error", "diverged")}
        yield {"unit": unit, "parameters": cost.params, "macs": cost.macs, **found, **milliseconds}


def network_of(unit: str, setup: Setup, per_stage: int, seed: int) -> "keras.Model":
    """3x3 stem, three stages of units (width, twice, four times it; the later ones pool first), classifier."""
    import keras

    from ....kit import Kit

    keras.utils.set_random_seed(seed)
    kit, width = Kit(), setup.preset.width
    image = keras.Input(setup.data.shape)
    x = kit.conv_norm_act(image, width, 3, name="stem")
    for stage in range(3):
        if stage:
            x = kit.max_pool(x, 2, 2, padding="valid", name=f"pool{stage}")
        for i in range(per_stage):
            x = convolution(unit, kit, x, width << stage, name=f"stage{stage}_{i}")
    x = keras.layers.GlobalAveragePooling2D()(x)
    name = f"{unit.replace(' ', '_')}-n{per_stage}-w{width}"
    return keras.Model(image, keras.layers.Dense(len(setup.data.classes))(x), name=name)


def convolution(unit: str, kit: Any, x: Any, filters: int, *, name: str) -> Any:
    """3x3 | 3x3 in groups | the same, shuffled | 3x3 depthwise, 1x1; norm and ReLU behind each convolution."""
    from ....layers import ChannelShuffle

    if unit == "full":
        return kit.conv_norm_act(x, filters, 3, name=name)
    if unit == "separable":
        x = kit.depthwise_norm_act(x, 3, name=f"{name}_depthwise")
        return kit.conv_norm_act(x, filters, name=f"{name}_pointwise")
    x = kit.conv_norm_act(x, filters, 3, groups=GROUPS, name=name)
    return ChannelShuffle(GROUPS, name=f"{name}_shuffle")(x) if unit == "shuffled" else x


def cheaper(rows: Rows, measure: str) -> float:
    """By how many doublings the separable network is cheaper than the full one."""
    return math.log2(rows.mean(measure, unit="full") / rows.mean(measure, unit="separable"))


def figures(rows: Rows) -> dict[str, "Figure"]:
    names = {"macs": "multiply-accumulates", "ms_float32": "ms, float32", "ms_int8": "ms, int8"}
    figure, axes = panels(*(f"by {name}" for name in names.values()), x="", y="test error")
    for axis, (measure, name) in zip(axes, names.items(), strict=True):
        for i, unit in enumerate(UNITS):
            here = rows.where(unit=unit)
            axis.plot(here.values(measure), here.values("test_error"), "o", color=COLOURS[i], label=unit)
        axis.set_xlabel(name)
        logarithmic(axis)
    legend(axes[0])
    return {"test_error": figure}


UNITS = ("full", "grouped", "shuffled", "separable")
LAB = Lab(
    name="separable",
    title="Separable convolutions: more accuracy per multiply-accumulate",
    chinese="深度可分离卷积与通道混洗",
    claim="Depthwise separable convolutions lose little accuracy at a fraction of the cost; groups need a shuffle.",
    source="https://arxiv.org/abs/1704.04861",
    presets={
        "quick": Preset({"per_stage": (1,), "runs": (20,)}, images=64, width=4, epochs=1, batch=32, seeds=1),
        "standard": Preset({"per_stage": (2,), "runs": (200,)}, images=4000, width=16, epochs=10),
        "full": Preset({"per_stage": (3,), "runs": (1000,)}, 32, 50000, 64, 164, 128, seeds=5),
    },
    experiment=experiment,
    claims=(
        Claim(
            "At the same width the separable network takes a quarter of the multiply-accumulates or less.",
            lambda rows: cheaper(rows, "macs") - 2,
            "doublings beyond a quarter",
            counted=True,
        ),
        Claim("It takes less time in float32.", lambda rows: cheaper(rows, "ms_float32"), "doublings"),
        Claim("It takes less time in int8.", lambda rows: cheaper(rows, "ms_int8"), "doublings"),
        Claim(
            "Its test error is less than 2 points higher than that of full convolutions.",
            lambda rows: 2 + 100 * (rows.mean("test_error", unit="full") - rows.mean("test_error", unit="separable")),
            "points below 2",
        ),
        Claim(
            "Groups err less with a channel shuffle.",
            lambda rows: 100 * (rows.mean("test_error", unit="grouped") - rows.mean("test_error", unit="shuffled")),
            "points of test error",
        ),
    ),
    figures=figures,
    measures=("parameters", "macs", "test_error", "ms_float32", "ms_int8", "diverged"),
    by=("unit",),
    caveat="LiteRT, one image, one thread; times are of the machine that ran the lab, whatever else it did.",
)
