"""From files to a report: read, order, measure at each target, put together, compare."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

from numpy.typing import NDArray

from ..errors import InputError
from . import targets as places
from .artifact import Artifact, read_artifact
from .environment import Environment, environment
from .events import Event, Failed, Health, Scalar, Warmed
from .journal import Journal
from .measure import DISCARDED, plan
from .order import Configuration, Option, Order
from .runners import RUNNERS, default_runner
from .session import references
from .statistics import Estimate, Rounds, Summary, compare, summarise
from .taken import Probe, Taken, probe_of

Watch = Callable[[float, float], None]
"""Told the work done and the work in all, in blocks or in seconds; never while something is timed."""


@dataclass(frozen=True)
class Settings:
    """What was asked for; as in order.Order."""

    threads: tuple[int, ...]
    runs: int
    seconds: float | None
    block: int
    seed: int
    cpus: tuple[int, ...]
    targets: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Samples:
    """The kept calls of one configuration, one read-only array per round, in nanoseconds.

    Attributes:
        numbers: of the rounds, ascending.
        starts_ns: Unix time at which each call began.
        durations_ns: how long each call took.
    """

    numbers: tuple[int, ...]
    starts_ns: tuple[NDArray, ...]
    durations_ns: tuple[NDArray, ...]

    @property
    def rounds(self) -> Rounds:
        """The durations in milliseconds, one array per round."""
        return [block / 1e6 for block in self.durations_ns]


@dataclass(frozen=True)
class Measurement:
    """An artifact at a target, under a runner with its settings.

    Attributes:
        summary: of the latency, in milliseconds.
        ratio: latency relative to the target's first configuration with as many threads; None for that one itself,
            and where the two have no round in common.
        failure: why it was not measured to the end; None if it was.
    """

    target: str
    artifact: Artifact
    runner: str
    threads: int
    options: Mapping[str, Option]
    probe: Probe
    warm_up: Warmed
    samples: Samples
    summary: Summary
    ratio: Estimate | None
    failure: str | None = None


@dataclass(frozen=True)
class Unmeasured:
    """A configuration without a latency: it failed, or its runner is no place to time it.

    Attributes:
        reason: of the failure, in a sentence; None where there was none.
        probe: what is known of it all the same.
    """

    target: str
    artifact: Artifact
    runner: str
    threads: int
    options: Mapping[str, Option]
    reason: str | None
    probe: Probe | None


@dataclass(frozen=True)
class Report:
    """All that was measured; in the order of targets, artifacts, runners and their settings.

    Attributes:
        environment: the machine that asked.
        environments: what each target says of itself.
        health: of each target, round by round.
    """

    settings: Settings
    environment: Environment
    measurements: tuple[Measurement, ...]
    warnings: tuple[str, ...]
    unmeasured: tuple[Unmeasured, ...] = ()
    environments: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)
    health: Mapping[str, tuple[Health, ...]] = field(default_factory=dict)


def benchmark(
    paths: Sequence[str | os.PathLike],
    *,
    threads: Sequence[int] = (1,),
    runs: int = 200,
    seconds: float | None = None,
    block: int = 20,
    seed: int = 0,
    runners: Sequence[str] = (),
    options: Mapping[str, Sequence[Option]] | None = None,
    cpus: Sequence[int] = (),
    targets: Sequence[str] = ("local",),
    connection: places.Settings | None = None,
    journal: str | os.PathLike | None = None,
    watch: Watch = lambda done, total: None,
) -> Report:
    """Measures each file at each target, under each runner with each of its settings, all of them interleaved.

    Args:
        paths: files; the first is what the others are compared with. A card beside a file is read and checked.
        threads: thread counts.
        runs: kept calls per configuration.
        seconds: of measuring at each target, in place of `runs`.
        block: calls in a row of one configuration, of which the first three are discarded.
        seed: of the random inputs, the order of the blocks and the bootstrap.
        runners: names in runners.RUNNERS; what suits each file where none is given.
        options: values of runners' options; each runner gets those that it knows, in every combination.
        cpus: the process is pinned to them.
        targets: local, ssh://user@host[:port], adb://serial.
        connection: for targets elsewhere.
        journal: a file that keeps every sample; if it is there, the measurement goes on where it ended.
        watch: told how far the work is.

    Raises:
        InputError: a value out of range, an unreadable, corrupt or mismatched file; nothing could be measured at all.
    """
    settings = Settings(tuple(dict.fromkeys(threads)), runs, seconds, block, seed, tuple(cpus), tuple(targets))
    _check(settings, paths)
    found = [places.target(address, connection) for address in dict.fromkeys(targets)]
    here = environment()
    artifacts = {Path(path): read_artifact(path) for path in paths}
    configurations = tuple(_configurations([Path(path) for path in paths], settings.threads, runners, options or {}))
    order = Order(configurations, runs, seconds, block, seed, tuple(cpus))
    taken = [Taken() for _ in found]
    hashes = [artifact.sha256 for artifact in artifacts.values()]
    with Journal(None if journal is None else Path(journal), targets, order, hashes) as kept:
        kept.replay(lambda index, event: taken[index].add(event))
        count = _Progress(order, len(found), watch)
        for index, place in enumerate(found):
            count.start(index, taken[index])
            for event in _events(place, order, taken[index]):
                taken[index].add(event)
                kept.add(index, event)
                count.step()
    return _report(settings, here, artifacts, order, {p.address: t for p, t in zip(found, taken, strict=True)})


def _events(place: places.Target, order: Order, taken: Taken) -> Iterator[Event]:
    left = None if order.seconds is None else order.seconds - taken.seconds()
    if left is not None and left <= 0:
        return
    try:
        yield from place.measure(replace(order, seconds=left, done=taken.done()))
    except InputError as error:
        yield Failed(None, str(error))


def _configurations(
    paths: Sequence[Path], threads: Sequence[int], runners: Sequence[str], options: Mapping[str, Sequence[Option]]
) -> Iterator[Configuration]:
    used = {runner for path in paths for runner in _runners_for(path, runners)}
    for name in options:
        if not any(name in RUNNERS[runner].options for runner in used):
            raise InputError(f"--{name}: none of the runners {', '.join(sorted(used))} has this option")
    for path in paths:
        for runner in _runners_for(path, runners):
            known = {name: values for name, values in options.items() if name in RUNNERS[runner].options}
            for number in threads:
                for values in product(*known.values()):
                    yield Configuration(path, runner, number, dict(zip(known, values, strict=True)))


def _runners_for(path: Path, runners: Sequence[str]) -> list[str]:
    """Those of the runners that take such a file; where none is named, the one that suits it."""
    for name in runners:
        if name not in RUNNERS:
            raise InputError(f"--runner {name}: there is none of that name; give {', '.join(RUNNERS)}")
    suited = [name for name in runners if path.suffix in RUNNERS[name].suffixes]
    if runners and not suited:
        raise InputError(f"{path}: none of the runners {', '.join(runners)} takes such a file")
    return suited or [default_runner(path)]


def _check(settings: Settings, paths: Sequence[str | os.PathLike]) -> None:
    if not paths:
        raise InputError("no files to measure; name at least one .tflite, .onnx or .keras file")
    if settings.runs < 1:
        raise InputError(f"{settings.runs} runs cannot be measured; give at least 1")
    if settings.seconds is not None and not 0 < settings.seconds < 1e6:
        raise InputError(f"a budget of {settings.seconds} s cannot be measured in; give more than 0, as in 60s")
    if settings.block <= DISCARDED:
        raise InputError(
            f"a block of {settings.block} calls leaves none, since its first {DISCARDED} are discarded; "
            f"give at least {DISCARDED + 1}"
        )
    if not settings.threads or min(settings.threads) < 1:
        raise InputError(f"{min(settings.threads, default=0)} threads cannot run a model; give at least 1")
    if settings.seed < 0:
        raise InputError(f"the seed {settings.seed} is negative; give 0 or more")
    if not settings.targets:
        raise InputError("no target to measure at; give local, ssh://user@host[:port] or adb://serial")


class _Progress:
    """Counts events against those expected, or seconds against the budget."""

    def __init__(self, order: Order, targets: int, watch: Watch) -> None:
        self.order, self.targets, self.watch = order, targets, watch
        self.per_target = len(order.configurations) * (2 + len(plan(order.runs, order.block)))
        self.done = 0

    def start(self, target: int, taken: Taken) -> None:
        self.target, self.taken = target, taken

    def step(self) -> None:
        taken, order = self.taken, self.order
        if order.seconds is not None:
            spent = min(taken.seconds(), order.seconds)
            self.watch(self.target * order.seconds + spent, self.targets * order.seconds)
            return
        blocks = sum(map(len, taken.blocks.values()))
        done = self.target * self.per_target + len(taken.probed) + len(taken.warmed) + blocks
        if done > self.done:
            self.done = done
            self.watch(done, self.targets * self.per_target)


def _report(
    settings: Settings,
    here: Environment,
    artifacts: Mapping[Path, Artifact],
    order: Order,
    taken: Mapping[str, Taken],
) -> Report:
    measurements, unmeasured = [], []
    for address, told in taken.items():
        for index in range(len(order.configurations)):
            if told.blocks.get(index) and index in told.probed and index in told.warmed:
                measurements.append(_measurement(address, artifacts, order, told, index))
            else:
                unmeasured.append(_unmeasured(address, artifacts, order, told, index))
    failures = [entry.reason for entry in unmeasured if entry.reason is not None]
    if not measurements and len(failures) == len(unmeasured):
        raise InputError(
            failures[0] if len(set(failures)) == 1 else f"nothing could be measured: {'; '.join(failures)}"
        )
    return Report(
        settings,
        here,
        tuple(measurements),
        tuple(_warnings(measurements, taken)),
        tuple(unmeasured),
        {address: told.environment for address, told in taken.items()},
        {address: tuple(told.health) for address, told in taken.items()},
    )


def _measurement(
    address: str, artifacts: Mapping[Path, Artifact], order: Order, told: Taken, index: int
) -> Measurement:
    configuration, first = order.configurations[index], references(order.configurations)[index]
    samples, seed = _samples(told, index), order.seed
    common = sorted(told.blocks[index].keys() & told.blocks.get(first, {}).keys())
    pair = [[told.blocks[i][n].durations_ns / 1e6 for n in common] for i in (index, first)] if common else None
    return Measurement(
        target=address,
        artifact=artifacts[configuration.artifact],
        runner=configuration.runner,
        threads=configuration.threads,
        options=configuration.options,
        probe=probe_of(told.probed[index]),
        warm_up=told.warmed[index],
        samples=samples,
        summary=summarise(samples.rounds, seed=seed),
        ratio=None if index == first or pair is None else compare(*pair, seed=seed),
        failure=told.failed.get(index, told.failed.get(None)),
    )


def _unmeasured(address: str, artifacts: Mapping[Path, Artifact], order: Order, told: Taken, index: int) -> Unmeasured:
    configuration, probed = order.configurations[index], told.probed.get(index)
    silent = None if probed is not None and not probed.description.get("timed", True) else "it was not measured"
    return Unmeasured(
        target=address,
        artifact=artifacts[configuration.artifact],
        runner=configuration.runner,
        threads=configuration.threads,
        options=configuration.options,
        reason=told.failed.get(index, told.failed.get(None, silent)),
        probe=None if probed is None else probe_of(probed),
    )


def _samples(told: Taken, index: int) -> Samples:
    numbers = tuple(sorted(told.blocks[index]))
    blocks = [told.blocks[index][number] for number in numbers]
    return Samples(numbers, tuple(b.starts_ns for b in blocks), tuple(b.durations_ns for b in blocks))


def _warnings(measurements: Sequence[Measurement], taken: Mapping[str, Taken]) -> Iterator[str]:
    for address, told in taken.items():
        cores = told.environment.get("cores")
        for threads in sorted({m.threads for m in measurements if m.target == address}):
            if isinstance(cores, int) and threads > cores:
                yield (
                    f"{threads} threads on {cores} cores wait for each other; "
                    f"their latency is not that of {threads} cores"
                )
    for m in measurements:
        if not m.warm_up.steady:
            yield (
                f"{m.artifact.path} with {m.threads} threads was not steady after {m.warm_up.calls} calls of warm-up; "
                "other work on this machine may disturb it"
            )
