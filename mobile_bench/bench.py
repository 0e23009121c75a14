"""From files to a report: read, probe, load, warm up, measure, compare."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, product
from typing import TypeVar

from ..errors import InputError
from .artifact import Artifact, read_artifact
from .environment import Environment, available_cores, environment
from .measure import DISCARDED, Samples, WarmUp, interleave, plan, warm_up
from .probe import Probe, probe
from .runners.litert import LiteRTRunner
from .statistics import Estimate, Summary, compare, summarise

T = TypeVar("T")

Watch = Callable[[int, int], None]
"""Told the steps done and the steps in all; never while something is timed."""


@dataclass(frozen=True)
class Settings:
    """What was asked for: kept calls per configuration, calls per block, seed of inputs, order and intervals."""

    threads: tuple[int, ...]
    runs: int
    block: int
    seed: int


@dataclass(frozen=True)
class Measurement:
    """One configuration: an artifact at a thread count.

    Attributes:
        summary: of the latency, in milliseconds.
        ratio: latency relative to the first artifact at the same thread count; None for that one itself.
    """

    artifact: Artifact
    threads: int
    probe: Probe
    warm_up: WarmUp
    samples: Samples
    summary: Summary
    ratio: Estimate | None


@dataclass(frozen=True)
class Report:
    """All that was measured; measurements in the order of artifacts, then of thread counts."""

    settings: Settings
    environment: Environment
    measurements: tuple[Measurement, ...]
    warnings: tuple[str, ...]


def benchmark(
    paths: Sequence[str | os.PathLike],
    *,
    threads: Sequence[int] = (1,),
    runs: int = 200,
    block: int = 20,
    seed: int = 0,
    watch: Watch = lambda done, total: None,
) -> Report:
    """Measures each .tflite file at each thread count on this host, all of them interleaved.

    Args:
        paths: files; the first is what the others are compared with. A card beside a file is read and checked.
        threads: thread counts.
        runs: kept calls per configuration.
        block: calls in a row of one configuration, of which the first three are discarded.
        seed: of the random inputs, the order of the blocks and the bootstrap.
        watch: told how far the work is.

    Raises:
        InputError: a value out of range, an unreadable, corrupt or mismatched file.
    """
    settings = Settings(tuple(dict.fromkeys(threads)), runs, block, seed)
    _check(settings, paths)
    here = environment()
    artifacts = [read_artifact(path) for path in paths]
    configurations = list(product(artifacts, settings.threads))
    kept = plan(runs, block)
    step = _steps(len(configurations) * (2 + len(kept)), watch)
    probes = [step(probe(artifact.path, threads=number, seed=seed)) for artifact, number in configurations]
    runners = [LiteRTRunner(artifact.path, threads=number, seed=seed) for artifact, number in configurations]
    warm_ups = [step(warm_up(runner.invoke)) for runner in runners]
    samples = interleave([runner.invoke for runner in runners], kept, seed=seed, after_block=lambda: step(None))
    measurements = []
    for index, (artifact, number) in enumerate(configurations):
        taken, first = samples[index].rounds, index % len(settings.threads)
        measurements.append(
            Measurement(
                artifact=artifact,
                threads=number,
                probe=probes[index],
                warm_up=warm_ups[index],
                samples=samples[index],
                summary=summarise(taken, seed=seed),
                ratio=None if index == first else compare(taken, samples[first].rounds, seed=seed),
            )
        )
    return Report(settings, here, tuple(measurements), tuple(_warnings(measurements)))


def _check(settings: Settings, paths: Sequence[str | os.PathLike]) -> None:
    if not paths:
        raise InputError("no files to measure; name at least one .tflite file")
    if settings.runs < 1:
        raise InputError(f"{settings.runs} runs cannot be measured; give at least 1")
    if settings.block <= DISCARDED:
        raise InputError(
            f"a block of {settings.block} calls leaves none, since its first {DISCARDED} are discarded; "
            f"give at least {DISCARDED + 1}"
        )
    if not settings.threads or min(settings.threads) < 1:
        raise InputError(f"{min(settings.threads, default=0)} threads cannot run a model; give at least 1")
    if settings.seed < 0:
        raise InputError(f"the seed {settings.seed} is negative; give 0 or more")


def _steps(total: int, watch: Watch) -> Callable[[T], T]:
    """A function that hands its argument on and tells `watch` of one more step done."""
    done = count(1)

    def step(result: T) -> T:
        watch(next(done), total)
        return result

    return step


def _warnings(measurements: Sequence[Measurement]) -> Iterator[str]:
    cores = available_cores()
    for threads in sorted({m.threads for m in measurements if m.threads > cores}):
        yield f"{threads} threads on {cores} cores wait for each other; their latency is not that of {threads} cores"
    for m in measurements:
        if not m.warm_up.steady:
            yield (
                f"{m.artifact.path} with {m.threads} threads was not steady after {m.warm_up.calls} calls of warm-up; "
                "other work on this machine may disturb it"
            )
