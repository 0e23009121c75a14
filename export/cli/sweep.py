"""`cnnzoo-export sweep`: every network of the zoo to every format, each file compared with its model."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ...console import FAILED_GATE, print_json, progress, terminal
from ...errors import InputError
from ...files import refuse_overwrite, write

EXAMPLE = """
**Examples**

    cnnzoo-export sweep -o sweep/ --only 'resnet*'

    cnnzoo-export sweep -o sweep/ --discard --size default --jobs 4 --markdown sweep.md

    cnnzoo-export sweep -o sweep/ --scheduler tcp://head:8786
"""


def sweep(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A folder: rows.jsonl, and the files. A second run goes on there.")
    ],
    only: Annotated[str, typer.Option(help="A shell pattern; case, - and _ do not matter.")] = "*",
    formats: Annotated[str, typer.Option(help="By commas; int16 as well.")] = "float32,float16,int8,onnx,onnx-int8",
    size: Annotated[str, typer.Option(help="Height and width, at most; or `default`: each network's own.")] = "96",
    discard: Annotated[bool, typer.Option("--discard", help="Keep the rows, not the files.")] = False,
    jobs: Annotated[int, typer.Option(help="Processes at a time.", min=1)] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="A Dask scheduler, tcp://HOST:8786, whose workers see the same paths.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Writes the table here as well.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON instead of a table.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Converts networks of random weights, their BN statistics calibrated, and compares each file with its model.

    Exit codes: 0 all is well, 2 bad input, 3 a network that does not convert or does not answer alike.
    """
    from .. import sweep as work
    from ..executors import executor
    from ..sweep_rows import FORMATS, Row
    from ..sweep_rows import markdown as table_of

    wanted = [f for f in FORMATS if f in formats.split(",")]
    if unknown := set(formats.split(",")) - set(FORMATS):
        raise InputError(f"--formats {formats}: {unknown.pop()!r} is no format; choose of {', '.join(FORMATS)}")
    if size != "default" and not size.isdecimal():
        raise InputError(f"--size {size}: write a number of pixels, or default")
    record = output / "rows.jsonl"
    for place in (record, *([] if markdown is None else [markdown])):
        refuse_overwrite(place, force=True)
    networks = work.chosen(only)
    rows: list[Row] = []
    with executor(jobs, scheduler) as pool, progress("sweep", len(networks), shown=not quiet) as step:
        for done in work.sweep(
            networks,
            wanted,
            pool,
            size=None if size == "default" else int(size),
            record=record,
            folder=None if discard else output.absolute(),
        ):
            rows += done
            step(1)
    if markdown is not None:
        write(markdown, table_of(rows, wanted))
    if as_json:
        print_json([asdict(row) for row in rows])
    else:
        terminal().print(_table(rows))
    if not all(row.ok for row in rows):
        raise typer.Exit(FAILED_GATE)


def _table(rows: list) -> Table:
    table = Table("network", "format", "size", "ok", "difference", "SQNR dB", "MB", "partitions", "unwanted")
    for row in rows:
        figures = ("", "") if row.difference is None else (f"{row.difference:.1e}", f"{row.sqnr_db:.1f}")
        unwanted = ", ".join(f"{count} {kind}" for kind, count in row.notes.items())
        state = "yes" if row.ok else escape(row.reason)
        partitions = "" if row.partitions is None else str(row.partitions)
        table.add_row(
            row.network, row.format, str(row.size), state, *figures, f"{row.megabytes:.2f}", partitions, unwanted
        )
    return table
