"""Latency of the zoo at 224 x 224, float32 and int8, one and two threads, as a Markdown table.

    python benchmarks/zoo_table.py FOLDER --budget 20 [--photographs FOLDER] [--threads 1 2] [--only mobilenet_v2]

Each network is exported into FOLDER (random weights, calibrated on the photographs or on noise: latency does not
depend on them), and its two files are measured side by side for the budget. FOLDER keeps files and samples: what was
done is not done again, so that the command goes on where it was stopped.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from conversion import where

from keras_cnnzoo.mobile_bench import Estimate, Report, benchmark
from keras_cnnzoo.mobile_bench.environment import environment

NETWORKS = (
    "shufflenet_v1", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "mobilenet_v1", "mobilenet_v2",
    "mobilenet_v3_small", "mobilenet_v3_large", "squeezenet1_0", "squeezenet1_1", "resnet18", "resnet50", "googlenet",
    "densenet121",
)  # fmt: skip
SCHEMES = ("float32", "int8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--budget", type=float, default=20.0, help="seconds for each network")
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", nargs="+", default=list(NETWORKS))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    print(heading(arguments.threads))
    for name in arguments.only:
        files = [export(name, scheme, arguments.folder, arguments.photographs) for scheme in SCHEMES]
        journal = arguments.folder / f"{name}.jsonl"
        report = benchmark(files, threads=arguments.threads, seconds=arguments.budget, journal=journal)
        print("\n".join(rows(name, report, arguments.threads)), flush=True)
    here = environment()
    print(f"\n{where()}; load {here.load_average}, ai-edge-litert {here.litert}")


def export(name: str, scheme: str, folder: Path, photographs: Path | None) -> Path:
    """The file, made by cnnzoo-export in a process of its own where it is not there."""
    path = folder / f"{name}_{scheme}.tflite"
    if not path.exists():
        command = [sys.executable, "-m", "keras_cnnzoo.export", name, "--quantize", scheme, "-o", str(path), "--quiet"]
        command += ["--weights", "random"]
        command += ["--calibration", str(photographs or "random:8"), "--count", "32"] if scheme == "int8" else []
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return path


def heading(threads: list[int]) -> str:
    columns = [f"{n} thread{'s' * (n > 1)}, median ms" for n in threads] + [f"int8 to float, {n}" for n in threads]
    head = ["network", "type", "MB", "peak MB", "million MACs", *columns]
    return f"| {' | '.join(head)} |\n| --- | --- |{' ---: |' * (len(head) - 2)}"


def with_interval(ratio: Estimate | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio.value:.2f}" if ratio.low is None else f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


def rows(name: str, report: Report, threads: list[int]) -> list[str]:
    lines = []
    for scheme in SCHEMES:
        mine = {m.threads: m for m in report.measurements if m.artifact.path.stem == f"{name}_{scheme}"}
        first = next(iter(mine.values()))
        macs = "" if first.artifact.macs is None else f"{first.artifact.macs / 1e6:.0f}"
        peak = "" if first.probe.peak_bytes is None else f"{first.probe.peak_bytes / 1e6:.0f}"
        cells = [name, scheme, f"{first.artifact.bytes / 1e6:.2f}", peak, macs]
        cells += [f"{mine[n].summary.median.value:.2f}" for n in threads]
        cells += [with_interval(mine[n].ratio) for n in threads]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
