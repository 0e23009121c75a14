"""cnnzoo: what networks there are, what they cost, and the demonstration."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from .console import print_json, progress, run, terminal
from .registry import builder_of, create, info, list_models

if TYPE_CHECKING:
    from .complexity import Complexity

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="The convolutional networks that made vision work, from paper to phone. --debug shows an error's traceback.",
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command("list", epilog="**Example:** `cnnzoo list 'shuffle*'`")
def list_(
    pattern: Annotated[str, typer.Argument(help="A shell pattern; case, - and _ do not matter.")] = "*",
    as_json: AsJson = False,
) -> None:
    """Lists the networks: parameters, MACs at the default size, year and paper."""
    variants = [info(name) for name in list_models(pattern)]
    if as_json:
        print_json([asdict(variant) for variant in variants])
        return
    table = Table("network", "params", "MACs", "size", "classes", "year", "paper")
    for column in table.columns[1:6]:
        column.justify = "right"
    for v in variants:
        table.add_row(v.name, f"{v.params:,}", millions(v.macs), str(v.size), str(v.classes), str(v.year), v.paper)
    terminal().print(table)


@app.command(epilog="**Example:** `cnnzoo summary resnet50 --set input_shape=160,160,3`")
def summary(
    name: Annotated[str, typer.Argument(help="A network of `cnnzoo list`.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option of the builder, e.g. classes=10; repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Shows a network by stage: output shape, parameters and MACs."""
    from .options import typed_options

    options = typed_options(builder_of(name), settings or [], info(name).name)
    with progress(f"build {info(name).name}", shown=not as_json):
        from .complexity import complexity

        cost = complexity(create(name, **options))
    if as_json:
        print_json(_totals(cost) | {"stages": [asdict(stage) for stage in cost.stages]})
    else:
        terminal().print(_by_stage(cost))


@app.command(
    epilog="**Examples:** `cnnzoo demo`, `cnnzoo demo --data photographs/ --size 64 --out report/`, "
    "`cnnzoo demo --data cifar10 --seconds 300`"
)
def demo(
    data: Annotated[
        str,
        typer.Option(
            help="digits (scikit-learn's), cifar10 (keras.datasets), a folder of pictures by class, or an .npz file."
        ),
    ] = "digits",
    out: Annotated[Path, typer.Option(help="The folder for artifacts, cards and the report page.")] = Path("demo"),
    seconds: Annotated[float, typer.Option(help="Training time.", min=1.0)] = 55.0,
    size: Annotated[int, typer.Option(help="Height and width of the network's input.", min=16, max=256)] = 32,
    seed: Annotated[int, typer.Option(help="Of the split, the initialisation and the order of images.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")] = False,
) -> None:
    """The main job in a minute: trains a small ShuffleNetV2, exports float32 and int8, verifies and measures both."""
    from .app.demo import run_demo

    result = run_demo(data, out, seconds=seconds, size=size, seed=seed, force=force, shown=not quiet)
    if as_json:
        print_json(result.to_dict())
    else:
        terminal().print(result.table())
        terminal().print(f"artifacts, cards and report: {result.folder / 'report.html'}")


def millions(macs: int) -> str:
    """1,814,073,344 as "1,814.07 M"."""
    return f"{macs / 1e6:,.2f} M"


def _totals(cost: "Complexity") -> dict[str, Any]:
    return {"name": cost.name, "params": cost.params, "macs": cost.macs, "activations": cost.activations}


def _by_stage(cost: "Complexity") -> Table:
    table = Table("stage", "output", "params", "MACs", title=cost.name, title_justify="left", show_footer=True)
    for stage in cost.stages:
        table.add_row(stage.name, " x ".join(map(str, stage.shape)), f"{stage.params:,}", millions(stage.macs))
    for column, footer in zip(table.columns, ("total", "", f"{cost.params:,}", millions(cost.macs)), strict=True):
        column.footer = footer
    for column in table.columns[2:]:
        column.justify = "right"
    return table


def main() -> None:
    """Entry point of cnnzoo."""
    run(app)
