"""cnnzoo-bench: how fast, how steady, how big."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..console import run, terminal
from ..errors import InputError
from ..files import refuse_overwrite, write

if TYPE_CHECKING:
    from .bench import Watch

app = typer.Typer(add_completion=False)

EXAMPLE = "Example: cnnzoo-bench out/*.tflite --threads 1 2 --runs 200 --json samples.json"
STDOUT = Path("-")
COUNTS = re.compile(r"-?\d+(,\d+)*")

Threads = Annotated[list[str], typer.Option(metavar="N [N ...]", help="Thread counts; each file is measured at each.")]


def main() -> None:
    sys.argv[1:] = one_flag_per_value(sys.argv[1:], "--threads")
    run(app)


@app.command(epilog=EXAMPLE)
def bench(
    files: Annotated[
        list[Path],
        typer.Argument(help="The .tflite, .onnx or .keras files; the first is what the others are compared with."),
    ],
    threads: Threads = ["1"],  # noqa: B006
    runs: Annotated[int, typer.Option(help="Kept calls of each file at each thread count.")] = 200,
    block: Annotated[int, typer.Option(help="Calls in a row of one file; the first three are discarded.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the random inputs, the order of the blocks and the intervals.")] = 0,
    json: Annotated[Path | None, typer.Option(help="Write all samples here; - is standard output.")] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Write a row per file and thread count here; - is standard output.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Measure latency, memory and size of .tflite files on this machine.

    They are measured side by side, in blocks of calls in random order, and each is compared with the first.
    """
    from .bench import benchmark
    from .report.as_csv import as_csv
    from .report.as_json import as_json
    from .report.table import tables

    for path in (json, csv):
        if path is not None and path != STDOUT:
            refuse_overwrite(path, force=force)
    with _progress(shown=not quiet) as watch:
        report = benchmark(files, threads=thread_counts(threads), runs=runs, block=block, seed=seed, watch=watch)
    for warning in report.warnings:
        terminal(stderr=True).print(f"[yellow]warning:[/] {escape(warning)}", highlight=False)
    console = terminal(stderr=STDOUT in (json, csv))
    console.print(tables(report, width=console.width))
    for path, text in ((json, as_json), (csv, as_csv)):
        if path == STDOUT:
            print(text(report), end="")
        elif path is not None:
            write(path, text(report), force=force)


def one_flag_per_value(arguments: list[str], flag: str) -> list[str]:
    """`--threads 1 2` as `--threads 1 --threads 2`, which is how click takes several values of an option."""
    expanded: list[str] = []
    inside = False
    for previous, argument in pairwise(["", *arguments]):
        inside = argument == flag or (inside and (previous == flag or COUNTS.fullmatch(argument) is not None))
        further = inside and flag not in (previous, argument)
        expanded += [flag, argument] if further else [argument]
    return expanded


def thread_counts(values: list[str]) -> list[int]:
    """`["1,2", "4"]` as `[1, 2, 4]`.

    Raises:
        InputError: something that is not a whole number.
    """
    words = [word for value in values for word in value.split(",")]
    for word in words:
        if not COUNTS.fullmatch(word):
            raise InputError(f"--threads {word}: this is not a thread count; give whole numbers, as in --threads 1 2")
    return [int(word) for word in words]


@contextmanager
def _progress(*, shown: bool) -> "Iterator[Watch]":
    """A bar on standard error that is drawn between blocks only: a thread that redraws it would disturb the calls."""
    console = terminal(stderr=True)
    columns = TextColumn("measuring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("left")
    shown = shown and console.is_terminal
    with Progress(*columns, console=console, auto_refresh=False, transient=True, disable=not shown) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total, refresh=True)
