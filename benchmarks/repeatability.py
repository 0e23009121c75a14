"""Whether an A/B ratio from a time budget repeats, on a quiet machine and on a busy one.

    python benchmarks/repeatability.py a.tflite b.tflite --budget 30 --repeats 10 [--busy] [--markdown FILE]

`--busy` runs it with one process per core that does nothing but compute (stress-ng where it is there, else Python).
What is shown is each repeat's ratio with its interval, and how far the ratios lie from their median.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
from conversion import where

from keras_cnnzoo.mobile_bench import Estimate, benchmark
from keras_cnnzoo.mobile_bench.environment import environment

LIMITS = {False: 0.02, True: 0.05}  # quiet, busy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs=2)
    parser.add_argument("--budget", type=float, default=30.0, help="seconds of each repeat")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--markdown", type=argparse.FileType("w"), default=sys.stdout)
    arguments = parser.parse_args()
    with busy_cores() if arguments.busy else nullcontext():
        ratios = [ratio(arguments.files, arguments.budget, arguments.threads, n) for n in range(arguments.repeats)]
    print(table(ratios, arguments.busy, arguments.budget), file=arguments.markdown)


def ratio(files: list[str], seconds: float, threads: int, seed: int) -> Estimate:
    """Of the second file to the first; each repeat loads both anew and draws another order."""
    report = benchmark(files, threads=(threads,), seconds=seconds, seed=seed)
    found = report.measurements[1].ratio
    assert found is not None
    print(f"repeat {seed}: {found.value:.4f}", file=sys.stderr)
    return found


def table(ratios: list[Estimate], busy: bool, seconds: float) -> str:
    values = np.array([estimate.value for estimate in ratios])
    furthest = float(np.abs(values / np.median(values) - 1).max())
    word = "within" if furthest <= LIMITS[busy] else "NOT within"
    lines = ["| repeat | ratio | interval |", "| ---: | ---: | --- |"]
    for number, estimate in enumerate(ratios, 1):
        interval = "" if estimate.low is None else f"{estimate.low:.4f} to {estimate.high:.4f}"
        lines.append(f"| {number} | {estimate.value:.4f} | {interval} |")
    load, state = environment().load_average, "one busy process per core" if busy else "nothing else running"
    lines += [
        "",
        f"Furthest from their median {np.median(values):.4f}: {furthest:.2%} ({word} {LIMITS[busy]:.0%}).",
        f"{seconds:g} s each, {state}, load {load}. {where()}.",
    ]
    return "\n".join(lines)


@contextmanager
def busy_cores() -> Iterator[None]:
    """A process per core that computes without end."""
    cores = len(os.sched_getaffinity(0))
    if shutil.which("stress-ng"):
        commands = [["stress-ng", "--quiet", "--cpu", str(cores)]]
    else:
        commands = [[sys.executable, "-c", "while True: pass"]] * cores
    processes = [subprocess.Popen(command, process_group=0) for command in commands]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that they end with this script, however it is ended
    try:
        yield
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


if __name__ == "__main__":
    main()
