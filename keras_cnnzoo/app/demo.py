"""The main job, end to end: train a small network, export it twice, verify both files, measure them, tell it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.table import Table

from .. import ShuffleNetV2, mobile_bench, save_weights
from ..console import progress
from ..errors import InputError
from ..export import Calibration, Card, Origin, to_tflite, verify
from ..files import refuse_overwrite
from ..preprocessing import PRESETS
from .datasets import Split, dataset
from .training import train_for

NETWORK, SCHEMES = "shufflenet_v2_x0_5", ("float32", "int8")
CALIBRATION, RUNS, SMALL = 500, 200, 64  # images, calls, pixels up to which the stem does not subsample
PREPROCESSING = PRESETS["tf"]


@dataclass(frozen=True)
class Demo:
    """What the demonstration made.

    Args:
        folder: with the artifacts, their cards, the weights and report.html.
        data: the data set, in words.
        seconds: of training.
        cards: one for each artifact, in the order of SCHEMES.
        measured: one row for each artifact and thread count.
        environment: where it was measured.
    """

    folder: Path
    data: str
    seconds: float
    cards: tuple[Card, ...]
    measured: tuple[mobile_bench.Measurement, ...]
    environment: Any

    def rows(self) -> list[dict[str, Any]]:
        """One for each artifact: accuracy from its card, latency by thread count."""
        return [self._row(card) for card in self.cards]

    def _row(self, card: Card) -> dict[str, Any]:
        mine = [m for m in self.measured if m.artifact.path.name == card.artifact["file"]]
        memory = [m.probe.peak_bytes for m in mine if m.probe.peak_bytes is not None]
        assert card.verification is not None
        return {
            "file": card.artifact["file"],
            "scheme": card.quantization["scheme"],
            "bytes": card.artifact["bytes"],
            **{k: v for k, v in card.verification.items() if k != "source"},
            "median_ms": {m.threads: m.summary.median.value for m in mine},
            "ratio": {m.threads: m.ratio.value for m in mine if m.ratio is not None},
            "peak_bytes": max(memory, default=None),
        }

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        return {"folder": str(self.folder), "data": self.data, "seconds": self.seconds, "artifacts": self.rows()}

    def table(self) -> Table:
        """One row an artifact, as the terminal shows it."""
        threads = [m.threads for m in self.measured[: len(self.measured) // len(self.cards)]]
        latency = [f"median ms, {count} thread{'s' * (count > 1)}" for count in threads]
        columns = "file", "size", "top-1", "Keras top-1", "agreement", "largest diff.", *latency, "peak memory"
        table = Table(
            *columns, title=f"{NETWORK} on {self.data}, {self.seconds:.0f} s of training", title_justify="left"
        )
        for column in table.columns[1:]:
            column.justify = "right"
        for row in self.rows():
            table.add_row(*_cells(row, threads))
        return table


def _cells(row: dict[str, Any], threads: Sequence[int]) -> list[str]:
    """The table's text: a ratio stands behind each latency but the first file's."""
    latency = [
        f"{row['median_ms'][count]:.3f}" + (f" ({row['ratio'][count]:.2f}x)" if count in row["ratio"] else "")
        for count in threads
    ]
    return [
        row["file"],
        f"{row['bytes'] / 1e6:.2f} MB",
        f"{row['top1_file']:.2%}",
        f"{row['top1_model']:.2%}",
        f"{row['agreement']:.2%}",
        f"{row['largest_difference']:.2g} of {row['largest_output']:.2g}",
        *latency,
        "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e6:.1f} MB",
    ]


def run_demo(data: str, folder: Path, *, seconds: float, size: int, seed: int, force: bool, shown: bool) -> Demo:
    """Trains, exports, verifies, measures and reports.

    Args:
        data: see `dataset`.
        folder: for everything that is written.
        seconds: of training.
        size: height and width of digits and pictures.
        seed: of the split and the training.
        force: replace what stands there.
        shown: with progress bars.

    Raises:
        InputError: no such data, or a folder that cannot be written.
    """
    paths = [folder / f"{NETWORK}_{scheme}.tflite" for scheme in SCHEMES]
    for path in (*paths, folder / "weights.safetensors", folder / "report.html"):
        refuse_overwrite(path, force=force)
    with progress("read the data", shown=shown):
        split = dataset(data, size, seed)
    model = _trained(split, seconds, seed, shown)
    save_weights(model, folder / "weights.safetensors", preprocessing=PREPROCESSING, force=force)
    cards = [_exported(model, split, path, scheme, shown) for path, scheme in zip(paths, SCHEMES, strict=True)]
    report = _measured(paths, shown)
    demo = Demo(folder, f"{split.train.source}", seconds, tuple(cards), report.measurements, report.environment)
    from .page import write_page

    write_page(demo, model, split)
    return demo


def _trained(split: Split, seconds: float, seed: int, shown: bool) -> keras.Model:
    """A ShuffleNetV2 of half width that returns logits."""
    keras.utils.set_random_seed(seed)
    shape = split.train.pixels.shape[1:]
    if min(shape[:2]) < 16:
        raise InputError(
            f"images of {shape[0]}x{shape[1]} are too small for {NETWORK}; scale them to 16 pixels or more"
        )
    model = ShuffleNetV2(
        width=0.5,
        small_input=max(shape[:2]) <= SMALL,
        input_shape=shape,
        classes=len(split.classes),
        classifier_activation=None,
        dropout=0.1,
        name=NETWORK,
    )
    labels = split.train.labels
    assert labels is not None
    with progress(f"train for {seconds:.0f} s", seconds, shown=shown) as step:
        train_for(model, PREPROCESSING(split.train.pixels), labels, seconds, step)
    return model


def _exported(model: keras.Model, split: Split, path: Path, scheme: Any, shown: bool) -> Card:
    held_out = PREPROCESSING(split.test.pixels)
    chosen = split.train.take(CALIBRATION, seed=0)

    def proof(content: bytes) -> dict[str, Any]:
        with progress(f"verify {path.name}", len(held_out), shown=shown) as step:
            found = verify(content, model, held_out, split.test.labels, step).to_dict()
        return {"source": f"held-out fifth of {split.test.source}"} | found

    return to_tflite(
        model,
        path,
        quantize=scheme,
        calibration=Calibration(PREPROCESSING(chosen.pixels), chosen.source) if scheme == "int8" else None,
        origin=Origin("trained", NETWORK, {}, PREPROCESSING, split.classes),
        verification=proof,
        force=True,
    )


def _measured(paths: Sequence[Path], shown: bool) -> mobile_bench.Report:
    with progress("measure", shown=shown) as step:
        return mobile_bench.benchmark(paths, threads=(1, 2), runs=RUNS, watch=_counted(step))


def _counted(step: Callable[[float], object]) -> Callable[[int, int], None]:
    return lambda done, total: (step(1), None)[1]


def predictions(paths: Sequence[Path], inputs: np.ndarray) -> list[np.ndarray]:
    """What each file answers: class indices (n,)."""
    from ..export.interpreter import LiteRT

    return [LiteRT(path.read_bytes())(inputs)[0].argmax(-1) for path in paths]
