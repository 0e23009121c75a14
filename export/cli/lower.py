"""`cnnzoo-export lower MODEL`: what each pass finds in a network, does or declines, and what it saves."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ...console import Settings, print_json, progress, terminal
from ...errors import InputError
from ..schemes import Scheme

if TYPE_CHECKING:
    import keras

    from ..lowering.explain import Explanation

CostsOf = Annotated[
    str | None,
    typer.Option(
        metavar="MACHINE",
        help="Whose measured costs count for auto: a name, this, or a .toml of `python -m keras_cnnzoo.app.costs`; all "
        "that are known unless given.",
    ),
]

EXAMPLE = """
**Examples**

    cnnzoo-export lower shufflenet_v2_x1_0 --weights random --quantize int8 --explain

    cnnzoo-export lower my_model.keras --lower early-pool,channel-order -o lowered.keras
"""


def lower(
    model: Annotated[
        str, typer.Argument(help="A network of `cnnzoo list`, a .keras or .h5 file, or keras.applications.NAME.")
    ],
    weights: Annotated[
        str | None, typer.Option(help="As for export: a file or `random`; a model file has its own.")
    ] = None,
    passes: Annotated[
        str, typer.Option("--lower", metavar="PASSES", help="auto, none, or names with commas between; see --explain.")
    ] = "auto",
    quantize: Annotated[Scheme, typer.Option(help="What the file will be; int8 asks for other passes.")] = "float32",
    costs_of: CostsOf = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="List the layers that each pass changed or left, and why.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the lowered network as a .keras file.")
    ] = None,
    settings: Settings = None,
    seed: Annotated[int, typer.Option(help="Draws the inputs that are compared and calibrate int8.", min=0)] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")] = False,
) -> None:
    """Says what lowering makes of MODEL: passes, operators and delegate partitions before and after, expected gain."""
    from ..lowering.passes import choose

    chosen = choose(passes, quantize, costs_of)
    _check(output, force)
    with progress("build", shown=not quiet):
        from ..sources import load

        network, _ = load(model, weights, settings or [])
    with progress("lower", shown=not quiet):
        from ..lowering.explain import explanation

        found = explanation(network, chosen, quantize, costs_of, seed)
    if output is not None:
        _save(output, found, force)
    if as_json:
        print_json(found.to_dict())
    else:
        _print(found, explain)


def _check(output: Path | None, force: bool) -> None:
    from ...files import refuse_overwrite

    if output is not None:
        if output.suffix != ".keras":
            raise InputError(f"{output}: the lowered network is a .keras file; name it so")
        refuse_overwrite(output, force=force)


def _save(output: Path, found: "Explanation", force: bool) -> None:
    from ...files import replacing
    from ..deploy import rebuilt

    network: keras.Model = rebuilt(found.lowered)
    with replacing(output, force=force) as place:
        network.save(place)


def _print(found: "Explanation", explain: bool) -> None:
    console = terminal()
    table = Table("pass", "outcome", "layers", "reason", title=found.name, title_justify="left")
    for step in found.lowered.steps:
        table.add_row(step.name, step.outcome, str(len(step.nodes) or ""), step.fault or step.reason)
    console.print(table)
    if explain:
        for step in found.lowered.steps:
            for line in (*(f"changed {name}" for name in step.nodes), *(f"left {n}: {why}" for n, why in step.left)):
                console.print(f"{step.name}: {line}", highlight=False, soft_wrap=True)
    if found.lowered.fault is not None:
        console.print(f"rules of ours answer otherwise: {found.lowered.fault}", highlight=False, soft_wrap=True)
    console.print(_files(found))
    if found.gain is not None:
        console.print(f"expected, from networks that were measured: {found.gain:.2f} times as fast as without")
    for finding in found.after.findings if found.after else ():
        splits = "splits the graph" if finding.splits else "delegated"
        console.print(f"{finding.layer}: {finding.operator} ({splits}): {finding.reason}", soft_wrap=True)


def _files(found: "Explanation") -> Table | str:
    if found.before is None or found.after is None:
        return f"no file to compare: no rule for {', '.join(found.missing)}; TensorFlow's converter will write it"
    table = Table("", "before", "after")
    table.add_row("delegate partitions", str(found.before.partitions), str(found.after.partitions))
    for name in sorted(found.operators_before | found.operators_after):
        old, new = found.operators_before.get(name, 0), found.operators_after.get(name, 0)
        table.add_row(name, str(old), f"[bold]{new}[/]" if old != new else str(new))
    return table
