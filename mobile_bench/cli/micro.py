"""`cnnzoo-bench micro FILES ...`: does a model run on a microcontroller, and does it fit."""

import math
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table

from ...console import FAILED_GATE, print_json, progress, terminal
from ...errors import InputError

if TYPE_CHECKING:
    from ..micro import MicroReport

EXAMPLE = "Example: `cnnzoo-bench micro out/*_int8.tflite --arena 256K --flash 1M`"
SIZE = re.compile(r"(\d{1,12}(?:\.\d+)?)\s*([KM]?)", re.IGNORECASE)
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20}


def micro(
    files: Annotated[list[Path], typer.Argument(help="The .tflite files.")],
    arena: Annotated[str | None, typer.Option(metavar="256K", help="RAM for tensors.")] = None,
    flash: Annotated[str | None, typer.Option(metavar="1M", help="Memory for the file.")] = None,
    inside: Annotated[
        Path | None, typer.Option(metavar="NEW.tflite", help="First write the file here with its weights inside.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace it if it exists.")] = False,
    seed: Annotated[int, typer.Option(help="Of the random inputs.", min=0)] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Run .tflite files in TFLite-Micro: has every operator a kernel, how large an arena, the same answers.

    Exit code 3 where one does not run, does not fit, or answers otherwise than LiteRT's reference kernels. Its time on
    this machine says nothing of a microcontroller and is not shown. Two things that TFLite-Micro gets wrong without a
    word are found in the file: an int8 RELU6 of its own that changes scale, and weights behind the flatbuffer.
    """
    from ..micro import check_micro, write_inside
    from ..report import escaped

    if inside is not None and len(files) != 1:
        raise InputError(f"--inside {inside}: it takes one file, not {len(files)}; name one alone")
    limits = {"arena": size("--arena", arena), "flash": size("--flash", flash)}
    if inside is not None:
        files = [write_inside(files[0], inside, force=force)]
    reports = []
    with progress("TFLite-Micro", len(files), shown=not quiet and terminal(stderr=True).is_terminal) as advance:
        for path in files:
            reports.append(check_micro(path, seed=seed, **limits))
            advance(1)
    if json:
        print_json([_as_object(report) for report in reports])
    else:
        terminal().print(_table(reports))
        for report in reports:
            for sentence in report.problems() + report.notes():
                terminal().print(f"{escaped(str(report.path))}: {escaped(sentence)}", highlight=False, soft_wrap=True)
    if any(report.problems() for report in reports):
        sys.exit(FAILED_GATE)


def size(flag: str, text: str | None) -> int | None:
    """`256K` as 262144, `1M` as 1048576; None stays.

    Raises:
        InputError: something else.
    """
    if text is None:
        return None
    found = SIZE.fullmatch(text.strip())
    if found is None:
        raise InputError(f"{flag} {text}: give bytes, as in 256K or 1M")
    return int(float(found[1]) * UNITS[found[2].upper()])


def _as_object(report: "MicroReport") -> dict[str, object]:
    largest = report.largest_difference  # endless, where one answer is no number and the other is
    known = largest is not None and math.isfinite(largest)
    facts = asdict(report) | {"path": str(report.path), "largest_difference": largest if known else None}
    return facts | {"problems": report.problems(), "notes": report.notes()}


def _table(reports: "list[MicroReport]") -> Table:
    from ..report import escaped

    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("file", overflow="fold")
    for heading in ("flash", "arena", "activations", "persistent", "difference"):
        table.add_column(heading, justify="right", no_wrap=True)
    for report in reports:
        bytes_ = report.flash_bytes, report.arena_bytes, report.activation_bytes, report.persistent_bytes
        difference = "" if report.largest_difference is None else f"{report.largest_difference:g}"
        table.add_row(escaped(report.path.name), *("" if n is None else f"{n:,}" for n in bytes_), difference)
    return table
