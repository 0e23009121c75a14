"""What the three command-line tools share: errors in one sentence, exit codes, progress bars, shaped output."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from typer.core import TyperGroup

from .errors import InputError
from .surroundings import lack_of, run_apart_where_frameworks_die

BAD_INPUT, FAILED_GATE = 2, 3  # exit codes; 0 is success, 1 a fault of ours
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="An option of the builder, e.g. classes=10; repeatable."),
]


def verbs(default: str) -> type[TyperGroup]:
    """A group of commands in which `default` may be left out: what is no verb is its first argument."""

    class Verbs(TyperGroup):
        def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
            if args and args[0] not in self.commands and args[0] != "--help":
                args = [default, *args]
            return super().parse_args(ctx, args)

    return Verbs


class Interrupted(Exception):  # noqa: N818
    """A KeyboardInterrupt that left a command: typer would end the process by one without a word."""


Step = Callable[[float], None]
"""Advances a bar by so many units."""
quiet_line = False  # whether --quiet stands on this process's command line


def terminal(*, stderr: bool = False) -> Console:
    """Standard output (or error) as rich sees it; where that is no terminal, tables are 160 characters wide."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else 160, soft_wrap=False)


def run(app: typer.Typer) -> None:
    """Runs a typer app: an InputError, or what the machine lacks, becomes a sentence on standard error and exit code 2.

    `--debug` anywhere on the line (or CNNZOO_DEBUG=1) shows the traceback instead.
    """
    _open_what_is_closed()
    try:
        run_apart_where_frameworks_die()
    except InputError as death:
        say_error(str(death))
        sys.exit(BAD_INPUT)
    global quiet_line
    quiet_line = not {"--quiet", "-q"}.isdisjoint(sys.argv)
    debug = "--debug" in sys.argv or os.environ.get("CNNZOO_DEBUG") == "1"
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    if not debug:
        _mute_native_libraries()
    command = typer.main.get_command(app)
    command.invoke = _telling(command.invoke)  # type: ignore[method-assign]
    try:
        command()
    except InputError as error:
        if debug:
            raise
        say_error(str(error))
        sys.exit(BAD_INPUT)
    except Interrupted as interrupt:
        words = str(interrupt) or "interrupted; nothing half-written was left behind"
        terminal(stderr=True).print(words, markup=False, soft_wrap=True)
        sys.exit(130)
    except Exception as error:
        lack = lack_of(error)
        if debug or lack is None:
            raise
        say_error(lack)
        sys.exit(BAD_INPUT)


def _telling(invoke: Callable[..., Any]) -> Callable[..., Any]:
    """A command's invoke, out of which a KeyboardInterrupt comes as Interrupted."""

    def told(context: typer.Context) -> Any:
        try:
            return invoke(context)
        except KeyboardInterrupt as interrupt:
            raise Interrupted(str(interrupt)) from interrupt

    return told


def _mute_native_libraries() -> None:
    """Python keeps standard error; what TensorFlow and LiteRT write to its descriptor is dropped."""
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123  a device
        os.dup2(nowhere.fileno(), 2)


def _open_what_is_closed() -> None:
    """Standard output and error that the caller has closed (2>&-) lead nowhere, and no file gets their number."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            setattr(sys, name, os.fdopen(number, "w", closefd=False))


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def hidden(shown: bool) -> bool:
    """Whether no bar is drawn; on a quiet command line not by what lies below a command either, as a download."""
    return not shown or quiet_line


@contextmanager
def progress(description: str, total: float | None = None, *, shown: bool = True) -> Iterator[Step]:
    """A bar on standard error for work over two seconds; yields the function that advances it."""
    counted = SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()
    timed = TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*counted, *timed, console=terminal(stderr=True), disable=hidden(shown)) as bar:
        task = bar.add_task(description, total=total)
        yield lambda amount: bar.update(task, advance=amount)
        bar.update(task, total=total or 1, completed=total or 1)


def say_error(sentence: str) -> None:
    """On standard error, as every error is said."""
    terminal(stderr=True).print(f"[red]error:[/] {escape(sentence)}", highlight=False, soft_wrap=True)
