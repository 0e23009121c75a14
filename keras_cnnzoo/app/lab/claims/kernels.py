"""1x1, 3x3, 5x5 and the Inception block: https://arxiv.org/abs/1409.4842, section 4."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..figures import bars, panels
from ..framework import Cell, Claim, Lab, Preset, Row, Rows, Setup
from ..networks import trained
from ..timing import latencies

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

THINNER = 8  # the trained networks' channels are an eighth of the counted and timed blocks'


def experiment(setup: Setup, cell: Cell, seed: int) -> Iterable[Row]:
    """Counts and times the blocks, all interleaved, and trains a network around each."""
    from ....complexity import complexity

    width, shape = setup.preset.width, setup.data.shape
    blocks = {block: alone(block, (*shape[:2], 12 * width), width) for block in BLOCKS}
    noise = np.random.default_rng(seed).standard_normal((4, *shape[:2], 12 * width)).astype(np.float32)
    milliseconds = latencies(blocks, ["float32"], noise, runs=cell["runs"], seed=seed)
    costs = {block: complexity(model) for block, model in blocks.items()}
    part = setup.part(len(BLOCKS))
    for block in BLOCKS:
        model = around(block, setup, max(1, width // THINNER), seed)
        counted = {"parameters": costs[block].params, "macs": costs[block].macs}
        timed = {"milliseconds": milliseconds[block, "float32"]}
        end = trained(part, model, seed)[-1]
        yield {"block": block, **counted, **timed, "test_error": end["test_error"], "diverged": end["diverged"]}


def build(block: str, x: Any, width: int, *, norm: Any) -> Any:
    """(n, h, w, 12 width) -> (n, h, w, 16 width); at width 16 GoogLeNet's first Inception block, or one conv."""
    from ....families.googlenet import InceptionBlock
    from ....kit import Kit

    if block == "Inception":
        w = width
        return InceptionBlock(x, 4 * w, (6 * w, 8 * w), (w, 2 * w), 2 * w, norm=norm, name="block")
    return Kit(norm).conv_norm_act(x, 16 * width, int(block[0]), name="block")


def alone(block: str, shape: tuple[int, int, int], width: int) -> "keras.Model":
    import keras

    image = keras.Input(shape)
    return keras.Model(image, build(block, image, width, norm="none"), name=f"block_{block}")


def around(block: str, setup: Setup, width: int, seed: int) -> "keras.Model":
    """3x3 convolution at stride 2, the block, average, classifier."""
    import keras

    from ....kit import Kit

    keras.utils.set_random_seed(seed)
    image = keras.Input(setup.data.shape)
    x = Kit().conv_norm_act(image, 12 * width, 3, stride=2, name="stem")
    x = keras.layers.GlobalAveragePooling2D()(build(block, x, width, norm="batch"))
    return keras.Model(image, keras.layers.Dense(len(setup.data.classes))(x), name=f"kernels-{block}-w{width}")


def ratio(rows: Rows, measure: str, other: str) -> float:
    """How many doublings dearer another block is than Inception's."""
    return math.log2(rows.mean(measure, block=other) / rows.mean(measure, block="Inception"))


def figures(rows: Rows) -> dict[str, "Figure"]:
    names = {"macs": "multiply-accumulates", "milliseconds": "latency, ms", "test_error": "test error"}
    figure, axes = panels(*names.values(), x="", y="", share=False)
    for i, (axis, measure) in enumerate(zip(axes, names, strict=True)):
        bars(axis, BLOCKS, [rows.values(measure, block=block) for block in BLOCKS], colour=i)
    return {"cost": figure}


def fewer(what: str, measure: str) -> Claim:
    says = f"The Inception block has fewer {what} than the 3x3 convolution."
    return Claim(says, lambda rows: ratio(rows, measure, "3x3"), "doublings", counted=True)


BLOCKS = ("1x1", "3x3", "5x5", "Inception")
LAB = Lab(
    name="kernels",
    title="The Inception block sees 5x5 at less than the cost of 3x3",
    chinese="卷积核与 Inception 块",
    claim="An Inception block costs fewer parameters, multiply-accumulates and milliseconds than one 3x3 convolution "
    "to as many channels, and answers as well.",
    source="https://arxiv.org/abs/1409.4842",
    presets={
        "quick": Preset({"runs": (20,)}, images=64, width=1, epochs=1, batch=32, seeds=1),
        "standard": Preset({"runs": (200,)}, size=28, images=4000, width=16, epochs=8),
        "full": Preset({"runs": (1000,)}, 28, 50000, 16, 60, 128, seeds=5),
    },
    experiment=experiment,
    claims=(
        fewer("parameters", "parameters"),
        fewer("multiply-accumulates", "macs"),
        Claim(
            "It takes less time than the 3x3 convolution.", lambda rows: ratio(rows, "milliseconds", "3x3"), "doublings"
        ),
        Claim(
            "A network around it errs less than one around the 3x3 convolution.",
            lambda rows: 100 * (rows.mean("test_error", block="3x3") - rows.mean("test_error", block="Inception")),
            "points of test error",
        ),
    ),
    figures=figures,
    measures=("parameters", "macs", "milliseconds", "test_error", "diverged"),
    by=("block",),
    caveat="Counted and timed are the blocks alone (float32, LiteRT, one thread); trained are networks of one block "
    "with an eighth of the channels. Times are of the machine that ran the lab, whatever else it did.",
)
