"""What the demonstration found, as a value, and as one table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from .. import mobile_bench
from ..export import Card


@dataclass(frozen=True)
class Demo:
    """What the demonstration made and found.

    Args:
        folder: with the artifacts, their cards, the weights and report.html.
        network: the registry's name.
        data: the data set, in words.
        seconds: of training.
        cards: one for each artifact, float32 first.
        measured: one row for each artifact and thread count.
        environment: where it was measured.
    """

    folder: Path
    network: str
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
            *columns, title=f"{self.network} on {self.data}, {self.seconds:.0f} s of training", title_justify="left"
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
