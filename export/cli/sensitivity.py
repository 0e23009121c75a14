"""`cnnzoo-export sensitivity MODEL`: which layers lose most by being quantized."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ...console import Settings, print_json, progress, terminal
from ...errors import InputError
from ..schemes import STATIC, Quantization, Scheme

if TYPE_CHECKING:
    from ..sensitivity import Sensitivity

EXAMPLE = """
**Examples**

    cnnzoo-export sensitivity resnet20 --weights w.safetensors --preprocess torch --data test.npz --plot layers.svg

    cnnzoo-export sensitivity my_model.keras --preprocess tf --quantize int4 --data photographs/ --count 50 --json
"""


def sensitivity(
    model: Annotated[
        str, typer.Argument(help="A network of `cnnzoo list`, a .keras or .h5 file, or keras.applications.NAME.")
    ],
    data: Annotated[str, typer.Option(help="A folder of pictures or an .npz file; with labels, top-1 is told too.")],
    weights: Annotated[str | None, typer.Option(help="A weights file, or `random`; a model file has its own.")] = None,
    preprocess: Annotated[str | None, typer.Option(help="torch, tf, caffe, none, or a JSON file.")] = None,
    quantize: Annotated[Scheme, typer.Option(help="int8, int16 or int4.")] = "int8",
    count: Annotated[int, typer.Option(help="Images, at most.", min=1)] = 100,
    seed: Annotated[int, typer.Option(help="Draws them.", min=0)] = 0,
    settings: Settings = None,
    plot: Annotated[Path | None, typer.Option(help="An .svg file to write.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Quantizes one layer at a time and prints what the network's answers lose by it.

    The worst layers are what `cnnzoo-export --auto-mixed N` keeps. Exit codes: 0 done, 2 bad input.
    """
    from ...files import refuse_overwrite, write

    if quantize not in STATIC:
        raise InputError(f"--quantize {quantize}: choose {', '.join(STATIC)}, which quantize activations")
    if plot is not None:
        if plot.suffix != ".svg":
            raise InputError(f"--plot {plot}: an SVG file is written; give a name that ends in .svg")
        refuse_overwrite(plot, force=force)
    found = _measured(model, data, weights, preprocess, Quantization(quantize), (count, seed), settings or [], quiet)
    if plot is not None:
        from ..sensitivity import to_svg

        write(plot, to_svg(found), force=force)
    if as_json:
        print_json([asdict(entry) for entry in found])
    else:
        terminal().print(_table(found))


def _measured(
    model: str,
    data: str,
    weights: str | None,
    preprocess: str | None,
    options: Quantization,
    drawn: tuple[int, int],
    settings: list[str],
    quiet: bool,
) -> "list[Sensitivity]":
    from ...images import read_images
    from ..calibration import Calibration
    from ..emit import emit, missing_rules
    from ..graph import from_keras
    from ..lowering import lower
    from ..lowering.passes import choose
    from ..pipeline import file_ranges
    from ..sensitivity import layers, sensitivity
    from ..sources import load
    from .inputs import classes_of, size_of, spec_of, with_classes

    network, origin = load(model, weights, settings)
    spec = spec_of(origin, preprocess, model)
    opened = read_images(data, size_of(network), fit=spec, count=drawn[0], seed=drawn[1])
    images = with_classes(opened, None, classes_of(network), network.name).read()
    inputs = spec(images.pixels)
    graph = lower(from_keras(network), choose("auto", options.scheme))
    missing = missing_rules(graph)
    if missing:
        raise InputError(f"{model}: no rule of ours for {', '.join(missing)}; its layers cannot be told apart")
    whole = emit(graph)
    ranges = file_ranges(graph, Calibration(inputs, images.source), options)
    with progress("sensitivity", len(layers(whole)), shown=not quiet) as step:
        return sensitivity(whole, ranges, inputs, images.labels, options, step)


def _table(found: "list[Sensitivity]") -> Table:
    table = Table("layer", "operator", "SQNR dB", "agreement %", "top-1 lost")
    for entry in found:
        sqnr = "" if entry.sqnr_db is None else f"{entry.sqnr_db:.1f}"
        lost = "" if entry.top1_lost is None else f"{entry.top1_lost:+.2f}"
        table.add_row(entry.name, entry.kind, sqnr, f"{100 * entry.agreement:.1f}", lost)
    return table
