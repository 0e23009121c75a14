"""`cnnzoo lab`, apart from what runs a lab: `--help` and `--list` load no framework."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ...console import print_json, progress, terminal
from ...errors import InputError
from ...training.onednn import prefer_onednn

EXAMPLE = """
**Examples**

    cnnzoo lab --list

    cnnzoo lab degradation --data fashion_mnist --out lab/

    cnnzoo lab bn-inference --preset quick --data photographs.npz --out try/

The same command again, without --force, goes on where a lab was interrupted, by Ctrl-C, a kill or a reboot.
"""


def lab(
    name: Annotated[str | None, typer.Argument(help="A lab of --list, or `all`.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="The labs and their claims.")] = False,
    data: Annotated[
        str, typer.Option(help="fashion_mnist, cifar10, a folder with one folder a class, or an .npz file.")
    ] = "fashion_mnist",
    preset: Annotated[
        str, typer.Option(help="quick (seconds; shows nothing), standard (minutes to hours), full (for a GPU).")
    ] = "standard",
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for pages and results of all labs.")] = Path(
        "lab"
    ),
    seeds: Annotated[int | None, typer.Option(help="Repetitions, instead of the preset's.", min=1, max=1000)] = None,
    force: Annotated[bool, typer.Option("--force", help="Start anew; networks that were trained stay.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Runs an experiment of the lecture: a claim, decided by a statistic over seeds, with its figures on a page.

    Exit codes: 0 ran, whatever it found; 2 bad input; 130 interrupted.
    """
    from .claims import NAMES
    from .claims import lab as lab_of

    if list_:
        _list([lab_of(each) for each in NAMES], as_json)
        return
    if name is None:
        raise InputError(f"name a lab: {', '.join(NAMES)}, or all; `cnnzoo lab --list` tells of them")
    prefer_onednn()
    labs = [lab_of(each) for each in (NAMES if name == "all" else [name])]
    found = [_run(each, data, out, preset, seeds, force, shown=not quiet) for each in labs]
    if as_json:
        print_json(found if name == "all" else found[0])
        return
    for result in found:
        _tell(result)
    terminal().print(f"pages: {out / 'index.html'}", highlight=False)


def _run(lab: Any, data: str, out: Path, preset: str, seeds: int | None, force: bool, *, shown: bool) -> dict[str, Any]:
    from .run import run_lab

    with progress(f"lab {lab.name}, %", 100, shown=shown) as step:
        seen = 0.0

        def watch(done: float, total: float) -> None:
            nonlocal seen
            step(100 * (done / total - seen))
            seen = done / total

        return run_lab(lab, data, out, preset=preset, seeds=seeds, force=force, watch=watch).to_dict()


def _list(labs: list[Any], as_json: bool) -> None:
    if as_json:
        print_json(
            [{"name": each.name, "title": each.title, "chinese": each.chinese, "claim": each.claim} for each in labs]
        )
        return
    table = Table("lab", "", "claim")
    for each in labs:
        table.add_row(each.name, each.chinese, each.claim)
    terminal().print(table)


def _tell(result: dict[str, Any]) -> None:
    title = f"{result['title']} ({result['data']}, preset {result['preset']}, seeds: {result['seeds']})"
    table = Table("claim", "verdict", "effect", "interval", title=title, title_justify="left")
    for found in result["verdicts"]:
        low, high = found["low"], found["high"]
        without = "no chance in it" if found["word"] == "counted" else "needs two seeds"
        between = without if low is None else f"{low:.3g} to {high:.3g}"
        effect = "none" if found["effect"] is None else f"{found['effect']:.3g} {found['unit']}"
        table.add_row(found["says"], found["word"], effect, between)
    terminal().print(table)
