"""README's table of accuracy: one line for each network, out of the rows that quantization.py printed into a page.

    python benchmarks/accuracy_summary.py docs/accuracy.md

The page has a heading for each data set and below it the rows. The means are over the networks, each counting alike.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WAYS = ("int8", "tensorflow", "litert-quantizer", "onnxruntime")  # whose signal-to-noise ratios stand side by side
HEAD = """\
| network | trained on | float32 top-1 % | int8, points | int4, points | int8, dB | TFLiteConverter | litert-quantizer \
| ONNX Runtime |
|---|---|---:|---|---|---:|---:|---:|---:|"""


@dataclass(frozen=True)
class Row:
    """What a way's files of a network reach; `points` is the difference from float32 with its interval."""

    top1: str
    points: str
    sqnr: str


def networks(page: str) -> Iterator[tuple[str, str, dict[str, Row]]]:
    """Each network with its data set and its rows by way, in the page's order."""
    found: dict[tuple[str, str], dict[str, Row]] = {}
    data = ""
    for line in page.splitlines():
        if line.startswith("## "):
            data = line.removeprefix("## ")
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 7 and cells[0] not in ("network", "mean") and not cells[0].startswith("--"):
            network, way, top1, points, _, sqnr, _ = cells
            found.setdefault((network, data), {})[way] = Row(top1, points, sqnr)
    yield from ((network, data, rows) for (network, data), rows in found.items())


def summary(page: str) -> str:
    """The table in Markdown.

    Raises:
        KeyError: a network lacks a way.
    """
    lines, points = [HEAD], {"int8": list[float](), "int4": list[float]()}
    for network, data, rows in networks(page):
        for way, found in points.items():
            found.append(float(rows[way].points.split()[0]))
        cells = [network, data, rows["float32"].top1, rows["int8"].points, rows["int4"].points]
        lines.append(f"| {' | '.join([*cells, *(rows[way].sqnr for way in WAYS)])} |")
    means = [f"{sum(found) / len(found):+.2f}" for found in points.values()]
    return "\n".join([*lines, f"| mean of {len(lines) - 1} | | | {' | '.join(means)} | | | | |"])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    print(summary(Path(sys.argv[1]).read_text()))
