"""TensorFlow Lite's `benchmark_model` on a device: pushed, run once per block, its text read.

It tells no single calls: a sample here is the mean of one run of so many calls, and a round has one.
"""

import hashlib
import random
import re
import shlex
import time
from collections.abc import Iterator, Set
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError
from ..events import Block, Event, Failed, Probed, Profiled, Seen, Warmed
from ..measure import DISCARDED, plan, rounds_to_do
from ..order import Configuration, Order
from ..runners import Description
from ..session import references
from .shell import Shell, ask, short, temporary_folder

FIRST_CALLS = 20  # of warm-up, before the first block
RUN_SECONDS = 600
NUMBER = r"([-+0-9.eE]+)"
COUNT = re.compile(rf"count=\d+(?:.{{0,300}}?\bavg={NUMBER}|\s+curr={NUMBER})")
TIMINGS = re.compile(rf"Inference timings in us: Init: {NUMBER}, First inference: {NUMBER}")
PEAK = re.compile(rf"(?:Overall peak|Peak) memory footprint \(MB\)[^:=]{{0,100}}[:=]\s*{NUMBER}")
PARTLY = re.compile(r"partially executed by the delegate w/ (\d{1,4}) delegate kernels")
WHOLLY = "completely executed by the delegate"
MEANS = "benchmark_model tells no single calls: each sample is the mean of one run of up to {} calls"


class RefusalError(Exception):
    """Why the program does not run a model."""


@dataclass(frozen=True)
class Run:
    """What one run of benchmark_model says: times in nanoseconds; None where it does not say."""

    mean_ns: int
    load_ns: int
    first_ns: int
    peak_bytes: int | None
    partitions: int | None


def read_run(output: str) -> Run:
    """The run that printed `output`.

    Raises:
        ValueError: the lines with its timings are missing, or hold no positive numbers.
    """
    counts, timings = COUNT.findall(output), TIMINGS.search(output)
    if not counts or timings is None:
        raise ValueError("no timings in what it printed")
    mean, single = counts[-1]
    peak, partly = PEAK.search(output), PARTLY.search(output)
    return Run(
        mean_ns=_nanoseconds(mean or single),
        load_ns=_nanoseconds(timings[1]),
        first_ns=_nanoseconds(timings[2]),
        peak_bytes=None if peak is None else _bytes(peak[1]),
        partitions=int(partly[1]) if partly else 1 if WHOLLY in output else None,
    )


def _nanoseconds(microseconds: str) -> int:
    value = float(microseconds)
    if not 0 < value < 1e12:
        raise ValueError(f"{microseconds} microseconds")
    return max(1, round(value * 1000))


def _bytes(megabytes: str) -> int:
    value = float(megabytes)
    if not 0 <= value < 1e9:
        raise ValueError(f"{megabytes} MB")
    return round(value * 1e6)


def measure_with_benchmark_model(shell: Shell, order: Order, program: Path) -> Iterator[Event]:
    """Runs the order on the device, see targets.Target.measure.

    Raises:
        InputError: the device cannot be reached, or is lost in the middle.
    """
    if order.cpus:
        raise InputError(f"{shell.address}: benchmark_model cannot be kept on processors; leave --cpus out")
    yield Seen(_environment(shell))
    with temporary_folder(shell) as folder:
        shell.push(program, f"{folder}/benchmark_model")
        ask(shell, f"chmod 755 {folder}/benchmark_model")
        paths: dict[int, str] = {}
        for index, configuration in enumerate(order.configurations):
            try:
                paths[index] = f"{folder}/{index}.tflite"
                yield from _open(shell, index, configuration, paths[index], order, program)
            except RefusalError as error:
                del paths[index]
                yield Failed(index, short(f"{configuration.artifact}: {error}", 400))
        yield from _rounds(shell, order, paths)


def _open(
    shell: Shell, index: int, configuration: Configuration, path: str, order: Order, program: Path
) -> Iterator[Event]:
    """The first run, which warms up and shows what the model costs."""
    if configuration.runner != "litert" or set(configuration.options) - {"xnnpack"}:
        raise RefusalError(f"benchmark_model runs LiteRT on the CPU only, not {configuration.runner} with its options")
    shell.push(configuration.artifact, path)
    first = _run(shell, configuration, path, calls=order.block, warm_up=FIRST_CALLS)
    description = Description(
        versions={"benchmark_model": hashlib.sha256(program.read_bytes()).hexdigest()[:12]},
        device="Android's CPU",
        flags={"xnnpack": "on" if configuration.options.get("xnnpack", True) else "off"},
        partitions=first.partitions,
        notes=(MEANS.format(order.block - DISCARDED),),
    )
    cost = {"peak_bytes": first.peak_bytes, "load_ns": first.load_ns, "first_ns": first.first_ns}
    yield Probed(index, cost, asdict(description))
    if order.profile:
        yield Profiled(
            index, (), f"{configuration.artifact}: no profile by operator: benchmark_model is asked for none"
        )
    yield Warmed(index, FIRST_CALLS, None)


def _rounds(shell: Shell, order: Order, paths: dict[int, str]) -> Iterator[Event]:
    draw, deadline = random.Random(order.seed), time.monotonic() + (order.seconds or 0)
    for number, kept in _schedule(order, paths.keys()):
        if not paths or (order.seconds is not None and time.monotonic() > deadline):
            return
        for index in draw.sample(sorted(kept), len(kept)):
            began = time.time_ns()
            try:
                run = _run(shell, order.configurations[index], paths[index], calls=kept[index], warm_up=DISCARDED)
            except RefusalError as error:
                del paths[index]
                yield Failed(index, short(f"{order.configurations[index].artifact}: {error}", 400))
                continue
            yield Block(index, number, np.array([began], np.int64), np.array([run.mean_ns], np.int64))


def _schedule(order: Order, able: Set[int]) -> Iterator[tuple[int, dict[int, int]]]:
    """Rounds with the calls of those who take part; without end where a time is given."""
    done = {index: set(order.done.get(index, ())) for index in range(len(order.configurations))}
    if order.seconds is None:
        reference = dict(enumerate(references(order.configurations)))
        yield from rounds_to_do(plan(order.runs, order.block), done, reference, able)
        return
    number = 1 + max((n for rounds in done.values() for n in rounds), default=-1)
    while True:
        yield number, dict.fromkeys(able, order.block - DISCARDED)
        number += 1


def _run(shell: Shell, configuration: Configuration, path: str, *, calls: int, warm_up: int) -> Run:
    """Raises RefusalError where the program refuses the model or prints something else."""
    xnnpack = str(configuration.options.get("xnnpack", True)).lower()
    options = {
        "graph": path, "num_threads": configuration.threads, "num_runs": calls, "warmup_runs": warm_up,
        "min_secs": 0, "warmup_min_secs": 0, "use_xnnpack": xnnpack, "report_peak_memory_footprint": "true",
    }  # fmt: skip
    program = f"{path.rsplit('/', 1)[0]}/benchmark_model"
    command = shlex.join([program, *(f"--{name}={value}" for name, value in options.items())])
    answer = ask(shell, command, seconds=RUN_SECONDS)
    said = answer.output + answer.errors
    if answer.returncode != 0:
        lines = [line for line in said.splitlines() if re.search("error|fail|not", line, re.IGNORECASE)] or [
            "no reason"
        ]
        raise RefusalError(f"benchmark_model ended with code {answer.returncode} ({short(lines[-1])})")
    try:
        return read_run(said)
    except ValueError as error:
        raise RefusalError(f"benchmark_model says nothing that can be understood ({error})") from error


def _environment(shell: Shell) -> dict[str, str | int | float | bool | None]:
    """What Android says of the device, under the names of environment.Environment."""
    names = {"cpu": "ro.soc.model", "device": "ro.product.model", "system": "ro.build.version.release"}
    command = "; ".join(f"getprop {name}" for name in names.values()) + "; uname -m; nproc"
    said = [short(line, 60) for line in ask(shell, command).output.splitlines()]
    cpu, device, system, machine, cores = (said + [""] * 5)[:5]
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
        "system": f"Android {system}".strip(),
        "machine": machine,
        "cpu": f"{cpu} ({device})",
        "cores": int(cores) if re.fullmatch(r"\d{1,4}", cores) else 1,
    }
