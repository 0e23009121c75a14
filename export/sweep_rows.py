"""The rows of a sweep: one network in one format, as a line of the record and as a cell of the table."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, get_args

from ..errors import InputError
from ..registry import VARIANTS

Format = Literal["float32", "float16", "int16", "int8", "onnx", "onnx-int8"]
FORMATS: tuple[Format, ...] = get_args(Format)
LEAST_SQNR = {"float16": 40.0, "int16": 10.0, "int8": 10.0, "onnx-int8": 10.0}  # dB


@dataclass(frozen=True)
class Row:
    """One network in one format.

    Args:
        network: of the registry.
        format: of the file.
        size: height and width of its input.
        ok: written, and answers like the model.
        reason: why not.
        seconds: of the export, model building aside.
        megabytes: of the file.
        difference: the largest, as a share of the largest output.
        sqnr_db: of what varies between the images.
        operators: how many of each.
        partitions: that the delegate took.
        outside: operators that it left.
        notes: what there must not be: float operators in int8, Flex operators, Transposes in ONNX.
    """

    network: str
    format: str
    size: int
    ok: bool
    reason: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0
    difference: float | None = None
    sqnr_db: float | None = None
    operators: dict[str, int] = field(default_factory=dict)
    partitions: int | None = None
    outside: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, int]:
        return self.network, self.format, self.size


def lines(rows: Iterable[Row]) -> str:
    """The rows as JSON lines."""
    return "".join(json.dumps(asdict(row)) + "\n" for row in rows)


def read(record: Path | None) -> list[Row]:
    """The rows of a file of JSON lines; none where there is no file. A last line that was cut short is none.

    Raises:
        InputError: a line that is no row.
    """
    if record is None or not record.exists():
        return []
    try:
        return [Row(**json.loads(line)) for line in record.read_text().split("\n")[:-1]]
    except (TypeError, ValueError) as error:
        raise InputError(f"{record}: not a record of a sweep ({error}); name another, or delete it") from error


def markdown(rows: Sequence[Row], formats: Sequence[str] = FORMATS) -> str:
    """A table with a line for each network: each format's figure, or why not; then the int8 file's operators."""
    head = ["network", "size", *(f"{f} {_unit(f)}" for f in formats), "partitions", "outside them", "int8 operators"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    by_network: dict[tuple[str, int], dict[str, Row]] = {}
    for row in rows:
        by_network.setdefault((row.network, row.size), {})[row.format] = row
    order = {name: place for place, name in enumerate(VARIANTS)}
    for (name, size), found in sorted(by_network.items(), key=lambda item: order[item[0][0]]):
        int8 = found.get("int8", Row(name, "int8", size, False))
        outside = ", ".join(f"{count} {kind}" for kind, count in int8.outside.items()) or "-"
        operators = ", ".join(f"{count} {kind}" for kind, count in int8.operators.items())
        partitions = "-" if int8.partitions is None else str(int8.partitions)
        cells = [name, str(size), *(_figure(found.get(f)) for f in formats)]
        lines.append("| " + " | ".join([*cells, partitions, outside, operators]) + " |")
    return "\n".join(lines) + "\n"


def _unit(kind: str) -> str:
    return "dB" if kind in LEAST_SQNR else "difference"


def _figure(row: Row | None) -> str:
    if row is None:
        return "-"
    if not row.ok:
        return f"**failed**: {row.reason}".replace("|", "/")
    notes = "".join(f"; {count} {kind}" for kind, count in row.notes.items())
    return (f"{row.sqnr_db:.1f}" if row.format in LEAST_SQNR else f"{row.difference:.0e}") + notes
