"""`cnnzoo-bench compare OLD NEW`: did something become slower, for use in CI."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table

from ...console import FAILED_GATE, print_json, terminal
from ...errors import InputError

if TYPE_CHECKING:
    from ..regression import Change, Comparison

EXAMPLE = "Example: `cnnzoo-bench compare old.json new.json --fail-above 5%`"
SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")


def compare(
    old: Annotated[Path, typer.Argument(help="A report that --json wrote.")],
    new: Annotated[Path, typer.Argument(help="A later one, of the same configurations on the same machine.")],
    fail_above: Annotated[
        str | None, typer.Option(metavar="5%", help="Exit with 3 if one is slower by more, by its whole interval.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the changes as JSON.")] = False,
) -> None:
    """Compare two reports: the latency of each configuration they share, and the interval of its change.

    The two were not measured side by side, so what the machine did meanwhile is in the change: measure both afresh on
    one quiet machine, or leave room above. With --fail-above the exit code is 3 too where a configuration of the old
    report has no latency in the new one, or has too few rounds for an interval: it cannot be judged.
    """
    from ..regression import compare_reports
    from ..report.as_json import read_json

    limit = None if fail_above is None else share(fail_above)
    found = compare_reports(read_json(old), read_json(new))
    failed = [change for change in found.changes if limit is not None and change.slower_than(limit)]
    if json:
        print_json([_as_object(change, change in failed) for change in found.changes])
    else:
        terminal().print(_table(found.changes))
    for change in failed:
        _say(
            "[red]slower:[/]",
            f"{change.label} takes {change.ratio.value - 1:+.1%}, at least {(change.ratio.low or 0) - 1:+.1%}; "
            f"allowed are {limit:.1%}",
        )
    undecided = _undecided(found)
    for sentence in undecided:
        _say("[red]not judged:[/]" if limit is not None else "[yellow]warning:[/]", sentence)
    for sentence in (*(f"{label}: it is in the new report alone" for label in found.added), *found.differences):
        _say("[yellow]warning:[/]", sentence)
    if failed or (limit is not None and undecided):
        sys.exit(FAILED_GATE)


def _undecided(found: "Comparison") -> list[str]:
    from ..statistics import MIN_ROUNDS

    short = [change.label for change in found.changes if not change.decided]
    return [
        *(f"{label}: it has no latency in the new report" for label in found.gone),
        *(f"{label}: too few rounds for an interval; measure at least {MIN_ROUNDS}" for label in short),
    ]


def _say(what: str, sentence: str) -> None:
    from ..report import escaped

    terminal(stderr=True).print(f"{what} {escaped(sentence)}", highlight=False, soft_wrap=True)


def share(text: str) -> float:
    """`5%` as 0.05.

    Raises:
        InputError: something else.
    """
    found = SHARE.fullmatch(text.strip())
    if found is None:
        raise InputError(f"--fail-above {text}: give a share in percent, as in 5%")
    return float(found[1]) / 100


def _as_object(change: "Change", failed: bool) -> dict[str, object]:
    ratio = {"value": change.ratio.value, "low": change.ratio.low, "high": change.ratio.high}
    facts = {"label": change.label, "target": change.target, "old_ms": change.old_ms, "new_ms": change.new_ms}
    return facts | {"ratio": ratio, "failed": failed}


def _table(found: "Sequence[Change]") -> Table:
    from ..report import escaped

    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("configuration", overflow="fold")
    for heading in ("old ms", "new ms", "change", "interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    for change in found:
        low, high = change.ratio.low, change.ratio.high
        interval = "too few rounds" if low is None or high is None else f"{low - 1:+.1%} to {high - 1:+.1%}"
        values = f"{change.old_ms:.3f}", f"{change.new_ms:.3f}", f"{change.ratio.value - 1:+.1%}", interval
        table.add_row(escaped(change.label), *values)
    return table
