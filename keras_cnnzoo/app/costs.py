"""Measures what each lowering pass is worth on this machine, for export/lowering/costs.toml.

    python -m keras_cnnzoo.app.costs [-o costs.toml] [--only shufflenet_v1,densenet121]

A pass's gain on a network is the latency of the file by all passes but this one over that of the file by all passes,
interleaved, one thread, 224x224, batch 1; over several networks the geometric mean. Weights are random, int8 is
calibrated with noise: latency depends on neither. Prints the section of this machine, and keeps it in the file after
each network, which takes some 2 minutes.
"""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..console import progress
from ..export.calibration import Calibration
from ..export.emit import without_rule
from ..export.graph import Graph, from_keras
from ..export.lowering.declined import ignore
from ..export.lowering.guard import changes
from ..export.lowering.passes import PASSES, Pass, this_target
from ..export.schemes import Scheme
from ..export.tflite import emitted
from ..files import refuse_overwrite, write
from ..mobile_bench import Estimate, benchmark
from ..mobile_bench.environment import environment
from ..registry import create

if TYPE_CHECKING:
    import keras

NETWORKS = (
    "shufflenet_v1",
    "shufflenet_v2_x1_0",
    "densenet121",
    "resnet50_v2",
    "resnext50_32x4d",
    "mobilenet_v3_large",
)
SCHEMES: tuple[Scheme, ...] = ("float32", "int8")
RUNS = 60


@dataclass(frozen=True)
class Gain:
    """What a pass brought a network: latency without it by latency with it, and the interval."""

    name: str
    network: str
    scheme: Scheme
    ratio: Estimate


def main(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Writes the section as well.")] = None,
    only: Annotated[str, typer.Option(help="Networks with commas between.")] = ",".join(NETWORKS),
    runs: Annotated[int, typer.Option(help="Kept calls of each file.")] = RUNS,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Measures this machine's cost table."""
    if output is not None:
        refuse_overwrite(output, force=force)
    names = only.split(",")
    gains: list[Gain] = []
    with progress("measure", len(names) * len(SCHEMES)) as step, tempfile.TemporaryDirectory() as folder:
        for name in names:
            model = create(name, classifier_activation=None)
            for scheme in SCHEMES:
                gains += measured(model, name, scheme, Path(folder), runs)
                step(1)
            if output is not None:  # after each network: a run that is cut off has not been in vain
                write(output, section(gains), force=True)
    print(section(gains))


def measured(model: "keras.Model", name: str, scheme: Scheme, folder: Path, runs: int) -> list[Gain]:
    """The gain of each pass that changes the network.

    Args:
        model: of one input.
        name: the network's, for the table.
        scheme: of the files.
        folder: where they are written.
        runs: kept calls of each.
    """
    graph = from_keras(model)
    full, effective = lowered(graph, PASSES)
    files = {"": full} | {p.name: lowered(graph, [q for q in PASSES if q is not p])[0] for p in effective}
    files = {key: made for key, made in files.items() if not without_rule(made)}
    data = Calibration.noise(2, tuple(model.inputs[0].shape[1:])) if scheme == "int8" else None
    paths = []
    for key, made in files.items():
        path = folder / f"{name}_{scheme}_without_{key or 'nothing'}.tflite"
        path.write_bytes(emitted(made, scheme, data))
        paths.append(path)
    report = benchmark(paths, runs=runs)
    ratios = dict(zip(files, (m.ratio for m in report.measurements), strict=True))
    return [Gain(key, name, scheme, ratio) for key, ratio in ratios.items() if key and ratio is not None]


def lowered(graph: Graph, passes: Sequence[Pass]) -> tuple[Graph, list[Pass]]:
    """The graph after the passes, and those of them that are a matter of choice and changed it."""
    effective = []
    for each in passes:
        after = each.run(graph, ignore)
        if not each.canonical and changes(graph, after):
            effective.append(each)
        graph = after
    return graph, effective


def section(gains: Sequence[Gain]) -> str:
    """This machine's part of costs.toml."""
    here = environment()
    lines = [f'["{this_target()}"]', f'machine = "{here.cpu}, {here.cores} cores"', f"measured = {date.today()}"]
    for scheme in SCHEMES:
        lines += ["", f'["{this_target()}".{scheme}]']
        for name in dict.fromkeys(g.name for g in gains if g.scheme == scheme):
            each = [g for g in gains if (g.name, g.scheme) == (name, scheme)]
            mean = math.prod(g.ratio.value for g in each) ** (1 / len(each))
            networks = ", ".join(f'"{g.network} {g.ratio.value:.2f}"' for g in each)
            lines.append(f"{name} = {{ gain = {mean:.3f}, networks = [{networks}] }}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
