"""Measures what each lowering pass is worth on this machine, for export/lowering/costs.toml.

    python -m keras_cnnzoo.app.costs -o costs.toml                     builds 70 files, then measures: 16 minutes
    python -m keras_cnnzoo.app.costs --files FOLDER --prepare          builds only, on a machine as busy as you like
    python -m keras_cnnzoo.app.costs --files FOLDER -o costs.toml      measures only: 14 minutes, on a quiet one

A pass's gain on a network is the latency of the file by all passes but this one over that of the file by all; of one
that "auto" takes for a named machine alone, the latency by all others over that by all others and this. By it is
decided what pays. What a network gains is expected by a pass's step: the latency by those before it over that by those
and it. Where two may do the same, neither gains much, and the first has the step. Interleaved, one thread, 224x224,
batch 1; over several networks the geometric mean. Weights are random, int8 is calibrated with noise: latency depends on
neither. Files and figures stay in FOLDER, so a run that was cut off goes on where it ended; delete NETWORK_SCHEME.json
there to measure anew. Figures of another machine are measured anew by themselves.
"""

import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from ..by_name import create
from ..console import progress, run
from ..errors import InputError
from ..export.calibration import Calibration
from ..export.emit import without_rule
from ..export.graph import Graph, from_keras
from ..export.lowering.declined import ignore
from ..export.lowering.guard import changes
from ..export.lowering.passes import PASSES, Pass, this_target
from ..export.schemes import Scheme
from ..export.tflite import emitted
from ..files import refuse_overwrite, write
from ..mobile_bench import benchmark
from ..mobile_bench.environment import environment

NETWORKS = (
    "shufflenet_v1",
    "shufflenet_v2_x1_0",
    "densenet121",
    "resnet50_v2",
    "resnext50_32x4d",
    "mobilenet_v3_large",
)
SCHEMES: tuple[Scheme, ...] = ("float32", "int8")
EVERYWHERE = [each for each in PASSES if not each.here]
SECONDS = 8.0  # of measuring, for each file
# in a file's name, before the pass that it lacks, or has beside all others, or is the last of those that it has
WITHOUT, WITH, UPTO = "without_", "with_", "upto_"
NOTHING = "nothing"


@dataclass(frozen=True)
class Gain:
    """What a pass brought a network: latency without it by latency with it, the interval, and its step."""

    name: str
    network: str
    scheme: Scheme
    value: float
    low: float
    high: float
    step: float | None = None


@dataclass(frozen=True)
class Figures:
    """A network's latencies in a scheme, and where and when they were measured.

    Args:
        machine: processor and cores.
        measured: the day.
        ratios: the latency of each other file by that of the file by all passes, with its interval.
    """

    machine: str
    measured: str
    ratios: dict[str, tuple[float, float, float]]


def main(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Writes the section as well.")] = None,
    files: Annotated[Path | None, typer.Option(help="Keep the files and figures here, and go on from them.")] = None,
    prepare: Annotated[bool, typer.Option("--prepare", help="Build the files only.")] = False,
    only: Annotated[str, typer.Option(help="Networks with commas between.")] = ",".join(NETWORKS),
    seconds: Annotated[float, typer.Option(help="Measuring each file.")] = SECONDS,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Measures this machine's cost table."""
    if output is not None:
        refuse_overwrite(output, force=force)
    if prepare and files is None:
        raise InputError("--prepare builds files for later: name their place by --files FOLDER")
    if not 0 < seconds < math.inf:
        raise InputError(f"--seconds {seconds:g}: no time to measure a file in; give more than 0")
    parts: list[tuple[str, Scheme]] = [(name, scheme) for name in only.split(",") for scheme in SCHEMES]
    with _place(files) as folder:
        with progress("build", len(parts)) as step:
            for name, scheme in parts:
                build(name, scheme, folder)
                step(1)
        if prepare:
            return
        gains, days = [], []
        with progress("measure", len(parts)) as step:
            for name, scheme in parts:
                figures = measured(name, scheme, folder, seconds)
                gains += gains_of(name, scheme, figures.ratios)
                days.append(figures.measured)
                step(1)
    text = section(gains, max(days))
    if output is not None:
        write(output, text, force=force)
    print(text)


@contextmanager
def _place(files: Path | None) -> Iterator[Path]:
    if files is not None:
        refuse_overwrite(files / "NETWORK_SCHEME.json", force=True)
        files.mkdir(parents=True, exist_ok=True)
        yield files
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def build(name: str, scheme: Scheme, folder: Path) -> None:
    """The network's file by all passes, and one for each pass that changes it; nothing where they are there."""
    reference = folder / f"{name}_{scheme}_{WITHOUT}{NOTHING}.tflite"
    if reference.exists():
        return
    model = create(name, classifier_activation=None)
    graph = from_keras(model)
    data = Calibration.noise(2, tuple(model.inputs[0].shape[1:])) if scheme == "int8" else None
    for which, passes in variants(graph).items():
        made, _ = lowered(graph, passes)
        if not without_rule(made):
            (folder / f"{name}_{scheme}_{which}.tflite").write_bytes(_quickly(made, scheme, data))
    write(reference, _quickly(lowered(graph, EVERYWHERE)[0], scheme, data))  # last: it says that the others are there


def variants(graph: Graph) -> dict[str, list[Pass]]:
    """The passes of each file that is compared with that by all, by what its name says of it."""
    _, effective = lowered(graph, EVERYWHERE)
    found = {f"{WITHOUT}{each.name}": [other for other in EVERYWHERE if other is not each] for each in effective}
    for i, last in enumerate([NOTHING, *(each.name for each in effective[:-1])]):
        found[f"{UPTO}{last}"] = [each for each in EVERYWHERE if each.canonical or each in effective[:i]]
    for each in (each for each in PASSES if each.here):
        more = [other for other in PASSES if not other.here or other is each]
        if each in lowered(graph, more)[1]:
            found[f"{WITH}{each.name}"] = more
    return found


def _quickly(graph: Graph, scheme: Scheme, data: Calibration | None) -> bytes:
    """The file with kernels rounded to nearest, which takes no search and runs alike."""
    return emitted(graph, scheme, data, learned={})


def measured(name: str, scheme: Scheme, folder: Path, seconds: float) -> Figures:
    """The latency of each file that `build` made; measured once on a machine, and kept.

    Args:
        name: the network's.
        scheme: of the files.
        folder: where they lie.
        seconds: of measuring each.

    Raises:
        InputError: a file that could not be measured.
    """
    kept = folder / f"{name}_{scheme}.json"
    if kept.exists():
        figures = _read(kept)
        if figures is not None and figures.machine == _machine():
            return figures
    start = f"{name}_{scheme}_"
    reference = folder / f"{start}{WITHOUT}{NOTHING}.tflite"
    others = sorted(path for path in folder.glob(f"{start}*.tflite") if path != reference)
    report = benchmark([reference, *others], seconds=seconds * (1 + len(others)))
    if report.unmeasured:
        raise InputError(
            f"{report.unmeasured[0].label}: not measured ({report.unmeasured[0].reason}); name --files FOLDER, and see "
            "cnnzoo-bench on what is there"
        )
    ratios = {
        path.stem.removeprefix(start): (m.ratio.value, m.ratio.low or 0.0, m.ratio.high or math.inf)
        for path, m in zip(others, report.measurements[1:], strict=True)
        if m.ratio is not None
    }
    figures = Figures(_machine(), date.today().isoformat(), ratios)
    write(kept, json.dumps(asdict(figures)))
    return figures


def _read(kept: Path) -> Figures | None:
    """None of a file that does not say where it was measured."""
    found = json.loads(kept.read_text())
    return Figures(**found) if {"machine", "measured", "ratios"} == set(found) else None


def _machine() -> str:
    here = environment()
    return f"{here.cpu}, {here.cores} cores"


def gains_of(network: str, scheme: Scheme, ratios: dict[str, tuple[float, float, float]]) -> list[Gain]:
    """Each pass's gain, from the latencies of the other files by that of the file by all, with their intervals.

    A file that could not be made is not there: without one a pass has no gain, or no step.
    """
    known = [each.name for each in EVERYWHERE if {f"{WITHOUT}{each.name}", f"{UPTO}{each.name}"} & set(ratios)]
    latency = {name: ratios[f"{UPTO}{name}"][0] for name in [NOTHING, *known] if f"{UPTO}{name}" in ratios}
    latency = dict.fromkeys(known[-1:], 1.0) | latency  # up to the last pass it is the file by all
    gains = []
    for before, name in pairwise([NOTHING, *known]):
        if f"{WITHOUT}{name}" in ratios:
            step = latency[before] / latency[name] if {before, name} <= set(latency) else None
            gains.append(Gain(name, network, scheme, *ratios[f"{WITHOUT}{name}"], step=step))
    for each in (each.name for each in PASSES if f"{WITH}{each.name}" in ratios):
        value, low, high = ratios[f"{WITH}{each}"]
        gains.append(Gain(each, network, scheme, 1 / value, 1 / high, 1 / low if low else math.inf))
    return gains


def lowered(graph: Graph, passes: Sequence[Pass]) -> tuple[Graph, list[Pass]]:
    """The graph after the passes, and those of them that are a matter of choice and changed it."""
    effective = []
    for each in passes:
        after = each.run(graph, ignore)
        if not each.canonical and changes(graph, after):
            effective.append(each)
        graph = after
    return graph, effective


def section(gains: Sequence[Gain], day: str) -> str:
    """This machine's part of costs.toml.

    Args:
        gains: of all passes, networks and schemes.
        day: of the last measurement, in ISO 8601.
    """
    lines = [f'["{this_target()}"]', f'machine = "{_machine()}"', f"measured = {day}"]
    for scheme in SCHEMES:
        lines += ["", f'["{this_target()}".{scheme}]']
        for name in dict.fromkeys(g.name for g in gains if g.scheme == scheme):
            each = [g for g in gains if (g.name, g.scheme) == (name, scheme)]
            steps = [g.step for g in each if g.step is not None]
            step = f" step = {mean(steps):.3f}," if steps else ""
            networks = ", ".join(f'"{g.network} {g.value:.2f} ({g.low:.2f} to {g.high:.2f})"' for g in each)
            lines.append(f"{name} = {{ gain = {mean([g.value for g in each]):.3f},{step} networks = [{networks}] }}")
    return "\n".join(lines) + "\n"


def mean(values: Sequence[float]) -> float:
    """The geometric."""
    return math.prod(values) ** (1 / len(values))


if __name__ == "__main__":
    app = typer.Typer(add_completion=False)
    app.command()(main)
    run(app)
