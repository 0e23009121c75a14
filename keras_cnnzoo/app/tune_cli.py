"""`cnnzoo tune`, apart from the search: `--help` loads no framework."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ..console import Settings, print_json, progress, terminal
from ..errors import InputError
from ..mobile_bench.cli.measure import BenchmarkModel, RemotePython, SshConfig, seconds

if TYPE_CHECKING:
    from .tune import Tuned

EXAMPLE = """
**Examples**

    cnnzoo tune shufflenet_v2_x1_0 --weights random --budget 60s

    cnnzoo tune my_model.keras --budget 2m --target ssh://pi@board.local -o fastest.tflite
"""


def tune(
    model: Annotated[
        str, typer.Argument(help="A network of `cnnzoo list`, a .keras or .h5 file, or keras.applications.NAME.")
    ],
    weights: Annotated[str | None, typer.Option(help="A file, or `random`; a model file has its own.")] = None,
    budget: Annotated[str, typer.Option(help="Time to measure: 60s, 2m. Making the files comes on top.")] = "60s",
    quantize: Annotated[str, typer.Option(help="float32 or int8, which is calibrated with noise here.")] = "float32",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Keeps the fastest file and its card; an int8 one's answers mean nothing."),
    ] = None,
    threads: Annotated[int, typer.Option(help="Of the interpreter.", min=1)] = 1,
    target: Annotated[
        str, typer.Option(help="Where to measure: local, ssh://user@host[:port], adb://serial.")
    ] = "local",
    remote_python: RemotePython = None,
    benchmark_model: BenchmarkModel = None,
    ssh_config: SshConfig = None,
    settings: Settings = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Tries combinations of lowering passes on a machine and names the fastest, for `cnnzoo-export --lower`."""
    from ..export.sources import load
    from ..export.tflite import check
    from .tune import connected, keep, measuring, tune_model

    time, connection = seconds(budget), connected(target, remote_python, benchmark_model, ssh_config)
    if quantize not in ("float32", "int8"):
        raise InputError(f"--quantize {quantize}: choose float32 or int8, which passes are tuned for")
    if output is not None:
        check(output, "float32", None, None, None, 1, force)
    with progress(f"build {model}", shown=not quiet):
        network, origin = load(model, weights, settings or [])
    with progress("tune", time, shown=not quiet) as step:
        measure = measuring(target, connection, threads=threads)
        found = tune_model(network, budget=time, scheme=quantize, measure=measure, step=step)  # type: ignore[arg-type]
    if output is not None:
        keep(network, found.passes, output, quantize, origin, force=force)  # type: ignore[arg-type]
    if as_json:
        print_json(found.to_dict())
    else:
        _tell(found)


def _tell(found: "Tuned") -> None:
    table = Table("passes", "latency by the best before", "interval", "")
    for trial in found.trials:
        kept = "kept" if trial.kept else ""
        table.add_row(", ".join(trial.passes) or "none", f"{trial.ratio:.3f}", _bounds(trial.low, trial.high), kept)
    terminal().print(table)
    for name, fault in found.undone.items():
        terminal().print(f"took no part: {name}: {fault}", highlight=False)
    bounds = _bounds(found.high and 1 / found.high, found.low and 1 / found.low, digits=2)
    speed = f"{1 / found.ratio:.2f} times as fast as none ({bounds})" if found.passes else "nothing was faster"
    end = "" if found.complete else "; the budget ended before all were tried"
    terminal().print(f"--lower {','.join(found.passes) or 'none'}: {speed}{end}", highlight=False)


def _bounds(low: float | None, high: float | None, digits: int = 3) -> str:
    return "no interval" if low is None or high is None else f"{low:.{digits}f} to {high:.{digits}f}"
