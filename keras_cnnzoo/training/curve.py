"""A run's curves: a value, and as CSV, TensorBoard events and a picture. Needs no framework but for TensorBoard's."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..errors import InputError
from ..files import FULL, write

WIDTH, HEIGHT, MARGIN = 360, 220, 44  # of each of the two plots, in pixels
COLOURS = {"train": "#1f77b4", "test": "#d62728"}


@dataclass(frozen=True)
class Row:
    """An epoch.

    Args:
        epoch: from 1.
        step: batches done at its end.
        learning_rate: of its last step.
        loss: mean over its batches, with smoothed and mixed targets where the recipe has them.
        accuracy: share of training images answered right, augmented as they were.
        test_loss: cross-entropy over the test images.
        test_accuracy: share of these answered right.
        seconds: since the start, all sittings together.
    """

    epoch: int
    step: int
    learning_rate: float
    loss: float
    accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float


def write_csv(history: Sequence[Row], path: Path) -> None:
    """One line an epoch, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in history)
    write(path, text.getvalue())


class TensorBoard:
    """Writes each epoch's numbers as events for TensorBoard, whose own package need not be there."""

    def __init__(self, folder: Path) -> None:
        import tensorflow as tf

        metadata = tf.compat.v1.SummaryMetadata
        self.scalar = metadata(plugin_data=metadata.PluginData(plugin_name="scalars"))
        self.scalar.data_class = 1  # DATA_CLASS_SCALAR
        self.tf, self.folder = tf, folder
        with self._said():
            self.writer = tf.summary.create_file_writer(str(folder))

    def __call__(self, row: Row) -> None:
        with self._said(), self.writer.as_default(row.step):
            for name, value in asdict(row).items():
                if name not in ("epoch", "step"):
                    self.tf.summary.write(name, self.tf.constant(value, self.tf.float32), metadata=self.scalar)
            self.writer.flush()

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except self.tf.errors.OpError as error:
            reason = FULL if FULL in error.message else error.message.splitlines()[0][:200]
            raise InputError(
                f"{self.folder}: could not be written ({reason}); make room there, or choose another folder"
            ) from error


def to_svg(history: Sequence[Row], title: str) -> str:
    """Loss and accuracy by epoch, training and test."""
    epochs = [row.epoch for row in history]
    panels = {
        "loss": {"train": [row.loss for row in history], "test": [row.test_loss for row in history]},
        "accuracy, %": {
            "train": [100 * row.accuracy for row in history],
            "test": [100 * row.test_accuracy for row in history],
        },
    }
    drawn = [_panel(name, epochs, lines, i * WIDTH) for i, (name, lines) in enumerate(panels.items())]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * WIDTH}" height="{HEIGHT + 24}" '
        'font-family="sans-serif" font-size="11">\n<rect width="100%" height="100%" fill="white"/>\n'
        f'<text x="{WIDTH}" y="16" text-anchor="middle" font-size="13">{_escaped(title)}</text>\n'
        f'<g transform="translate(0 24)">\n{"".join(drawn)}</g>\n</svg>\n'
    )


def _panel(name: str, epochs: list[int], lines: dict[str, list[float]], left: int) -> str:
    values = [value for line in lines.values() for value in line]
    low, high = min(values), max(values)
    span, last = (high - low) or 1.0, max(max(epochs) - 1, 1)

    def point(epoch: int, value: float) -> str:
        x = left + MARGIN + (epoch - 1) / last * (WIDTH - 2 * MARGIN)
        return f"{x:.1f},{HEIGHT - MARGIN - (value - low) / span * (HEIGHT - 2 * MARGIN):.1f}"

    parts = [f'<text x="{left + WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">{name} by epoch</text>\n']
    for value in (low, high):
        y = point(1, value).split(",")[1]
        parts.append(f'<text x="{left + MARGIN - 6}" y="{y}" text-anchor="end" dy="4">{value:.3g}</text>\n')
        parts.append(f'<path d="M{left + MARGIN},{y}H{left + WIDTH - MARGIN}" stroke="#ddd"/>\n')
    for epoch in sorted({1, max(epochs)}):
        x = point(epoch, low).split(",")[0]
        parts.append(f'<text x="{x}" y="{HEIGHT - MARGIN + 14}" text-anchor="middle">{epoch}</text>\n')
    for i, (label, line) in enumerate(lines.items()):
        points = " ".join(point(epoch, value) for epoch, value in zip(epochs, line, strict=True))
        colour = COLOURS[label]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>\n')
        parts.append(f'<text x="{left + MARGIN + 60 * i}" y="{MARGIN - 16}" fill="{colour}">{label}</text>\n')
    return "".join(parts)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
