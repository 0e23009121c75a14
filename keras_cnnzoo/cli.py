"""cnnzoo: what networks there are, what they cost, training, and the demonstration."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from .app import tune_cli
from .app.lab import cli as lab
from .by_name import create
from .complexity import millions
from .console import AsJson, Quiet, Settings, print_json, progress, run, terminal
from .errors import InputError
from .registry import builder_of, info, list_models
from .training import cli as training
from .training.onednn import prefer_onednn
from .weights.cli import app as weights

if TYPE_CHECKING:
    import keras

    from .complexity import Complexity

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="The convolutional networks that made vision work, from paper to phone. --debug shows an error's traceback.",
)
app.add_typer(weights, name="weights")
app.command(epilog=training.EXAMPLE)(training.train)
app.command(epilog=training.SHARD_EXAMPLE)(training.shard)
app.command(epilog=lab.EXAMPLE)(lab.lab)
app.command(epilog=tune_cli.EXAMPLE)(tune_cli.tune)


class Order(StrEnum):
    """What `cnnzoo list` sorts by."""

    name = "name"
    params = "params"
    macs = "macs"
    activations = "activations"
    year = "year"


@app.command("list", epilog="**Examples:** `cnnzoo list 'shuffle*'`, `cnnzoo list --sort macs`")
def list_(
    pattern: Annotated[str, typer.Argument(help="A shell pattern; case, - and _ do not matter.")] = "*",
    sort: Annotated[Order | None, typer.Option(help="Ascending; without it, by family.")] = None,
    as_json: AsJson = False,
) -> None:
    """Lists the networks: parameters, MACs and activations at the default size, year and paper."""
    variants = [info(name) for name in list_models(pattern)]
    if not variants:
        raise InputError(f"{pattern!r} matches no network of the zoo; `cnnzoo list` shows them all")
    if sort is not None:
        variants.sort(key=lambda variant: getattr(variant, sort))
    if as_json:
        print_json([asdict(variant) for variant in variants])
        return
    table = Table("network", "params", "MACs", "activations", "size", "classes", "year", "paper")
    for column in table.columns[1:7]:
        column.justify = "right"
    for v in variants:
        counts = f"{v.params:,}", millions(v.macs), millions(v.activations), str(v.size), str(v.classes), str(v.year)
        table.add_row(v.name, *counts, v.paper)
    terminal().print(table)


@app.command(epilog="**Example:** `cnnzoo summary resnet50 --set input_shape=160,160,3`")
def summary(
    name: Annotated[str, typer.Argument(help="A network of `cnnzoo list`.")],
    settings: Settings = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Shows a network by stage: output shape, parameters and MACs."""
    with progress(f"build {info(name).name}", shown=not quiet):
        from .complexity import complexity

        cost = complexity(_built(name, settings))
    if as_json:
        print_json(_totals(cost) | {"stages": [asdict(stage) for stage in cost.stages]})
    else:
        terminal().print(_by_stage(cost))


@app.command(epilog="**Example:** `cnnzoo plot resnet50 -o resnet50.svg`")
def plot(
    name: Annotated[str, typer.Argument(help="A network of `cnnzoo list`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .svg file.")],
    settings: Settings = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    quiet: Quiet = False,
) -> None:
    """Draws a network's macro-architecture: its stages, their blocks and what each stage costs."""
    from .files import refuse_overwrite, write

    if output.suffix != ".svg":
        raise InputError(f"{output}: the picture is an SVG file; name it so, e.g. {output.stem or name}.svg")
    refuse_overwrite(output, force=force)
    with progress(f"draw {info(name).name}", shown=not quiet):
        from .complexity import complexity
        from .diagram import to_svg
        from .structure import stages

        model = _built(name, settings)
        write(output, to_svg(stages(model), complexity(model)), force=force)
    print(output)


@app.command("compare-block", epilog="**Example:** `cnnzoo compare-block --json`")
def compare_block(as_json: AsJson = False, quiet: Quiet = False) -> None:
    """What the first Inception block costs, and what a single 3x3 or 5x5 convolution in its place would."""
    with progress("build", shown=not quiet):
        from .families.googlenet import alternatives

        costs = {title: _totals(cost) for title, cost in alternatives().items()}
    if as_json:
        print_json(costs)
        return
    table = Table("28x28x192 to 256 channels", "params", "MACs", "of the block's params", "of its MACs")
    first = next(iter(costs.values()))
    for column in table.columns[1:]:
        column.justify = "right"
    for title, cost in costs.items():
        shares = f"{cost['params'] / first['params']:.2f}", f"{cost['macs'] / first['macs']:.2f}"
        table.add_row(title, f"{cost['params']:,}", millions(cost["macs"]), *shares)
    terminal().print(table)


@app.command(
    epilog="**Examples:** `cnnzoo demo`, `cnnzoo demo --data photographs/ --size 64 --out report/`, "
    "`cnnzoo demo --data cifar10 --epochs 3`"
)
def demo(
    data: Annotated[
        str,
        typer.Option(
            help="digits (scikit-learn's), cifar10, fashion_mnist, a folder of pictures by class, or an .npz file."
        ),
    ] = "digits",
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for artifacts, cards and the page.")] = Path(
        "demo"
    ),
    epochs: Annotated[int, typer.Option(help="Passes over the training images.", min=1)] = 3,
    size: Annotated[int, typer.Option(help="Height and width of the network's input.", min=16, max=256)] = 32,
    seed: Annotated[int, typer.Option(help="Of split, initialisation and order.", min=0, max=2**31 - 1)] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """The main job in two minutes: trains a small ShuffleNetV2, exports it twice, verifies and measures both files."""
    prefer_onednn()
    from .app.demo import run_demo

    result = run_demo(data, out, epochs=epochs, size=size, seed=seed, force=force, shown=not quiet)
    if as_json:
        print_json(result.to_dict())
    else:
        terminal().print(result.table())
        print(f"artifacts, cards and report: {result.folder / 'report.html'}")


@app.command(
    "from-tflite",
    epilog="**Example:** `cnnzoo from-tflite mobilenet_v2_1.0_224_quant.tflite -b mobilenet_v2 -o w.safetensors`",
)
def from_tflite(
    file: Annotated[Path, typer.Argument(help="A .tflite classifier: float32, float16, int8 or uint8.")],
    network: Annotated[str, typer.Option("--builder", "-b", help="The network of `cnnzoo list` that it is.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .safetensors or .npz file.")],
    settings: Settings = None,
    preprocess: Annotated[
        str | None, typer.Option(help="torch, tf, caffe, none or a JSON file; else what card or uint8 input say.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Reads a .tflite classifier's weights, dequantized, for a network of the zoo built without normalisation.

    Prints the options with which they load. Exit codes: 0 written, 2 bad input (another network's file, for one).
    """
    from .app.tflite_reader import read_tflite
    from .options import typed_options
    from .preprocessing import preprocessing
    from .weights import save_weights
    from .weights.load import require_place

    require_place(output, preprocess=preprocess, force=force)
    given = None if preprocess is None else preprocessing(preprocess)
    with progress(f"read {file.name}", shown=not quiet):
        options = typed_options(builder_of(network), settings or [], info(network).name)
        model, options, known = read_tflite(file, network, **options)
        save_weights(model, output, preprocessing=given or known, force=force)
    if as_json:
        spec = given or known
        print_json(
            {"file": str(output), "builder": info(network).name, "options": options}
            | {"preprocessing": None if spec is None else spec.to_dict()}
        )
        return
    flags = " ".join(f"--set {key}={_as_setting(value)}" for key, value in options.items())
    print(f"{output}\nit loads by: {info(network).name} --weights {output} {flags}")


def _built(name: str, settings: list[str] | None) -> "keras.Model":
    from .options import typed_options

    return create(name, **typed_options(builder_of(name), settings or [], info(name).name))


def _as_setting(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


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
