"""`cnnzoo-bench compare OLD NEW`: did something become slower, for use in CI."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from ...console import FAILED_GATE, print_json, terminal
from ...errors import InputError

if TYPE_CHECKING:
    from ..regression import Change

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
    one quiet machine, or leave room above.
    """
    from ..regression import changes
    from ..report.as_json import read_json

    limit = None if fail_above is None else share(fail_above)
    found = changes(read_json(old), read_json(new))
    failed = [change for change in found if limit is not None and change.slower_than(limit)]
    if json:
        print_json([_as_object(change, change in failed) for change in found])
    else:
        terminal().print(_table(found))
    for change in failed:
        terminal(stderr=True).print(
            f"[red]slower:[/] {escape(change.label)} takes {change.ratio.value - 1:+.1%}, at least "
            f"{(change.ratio.low or 0) - 1:+.1%}; allowed are {limit:.1%}",
            highlight=False,
            soft_wrap=True,
        )
    if failed:
        sys.exit(FAILED_GATE)


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


def _table(found: "list[Change]") -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("configuration", overflow="fold")
    for heading in ("old ms", "new ms", "change", "interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    for change in found:
        low, high = change.ratio.low, change.ratio.high
        interval = "too few rounds" if low is None or high is None else f"{low - 1:+.1%} to {high - 1:+.1%}"
        values = f"{change.old_ms:.3f}", f"{change.new_ms:.3f}", f"{change.ratio.value - 1:+.1%}", interval
        table.add_row(escape(change.label), *values)
    return table
