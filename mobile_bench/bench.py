"""From files to a report: read, order, measure at each target, put together, compare."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from pathlib import Path

from ..errors import InputError
from . import targets as places
from .accuracy import Accuracy, accuracy, check_data
from .artifact import read_artifact, short_names
from .environment import environment
from .events import Event, Failed
from .journal import Journal
from .measure import DISCARDED, plan
from .order import Configuration, Option, Order
from .result import Report, Settings, assemble
from .runners import RUNNERS, default_runner
from .session import ROUNDS_APART
from .taken import Taken

LONGEST = 1_000_000  # seconds of a budget

Watch = Callable[[float, float], None]
"""Told the work done and the work in all, in blocks or in seconds; never while something is timed."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in the middle; `report` holds what was measured until then."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self.report = report


def benchmark(
    paths: Sequence[str | os.PathLike[str]],
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
    profile: bool = False,
    data: str | os.PathLike[str] | None = None,
    images: int | None = None,
    journal: str | os.PathLike[str] | None = None,
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
        profile: the time of each operator as well, where the runner can tell.
        data: labelled pictures, a folder of a folder a class or an .npz file: top-1 and top-5 of each artifact on them.
        images: at most so many of them.
        journal: a file that keeps every sample; if it is there, the measurement goes on where it ended.
        watch: told how far the work is.

    Raises:
        InputError: a value out of range, an unreadable, corrupt or mismatched file; nothing could be measured at all.
        Interrupted: Ctrl-C, once there is something to report.
    """
    settings = Settings(tuple(dict.fromkeys(threads)), runs, seconds, block, seed, tuple(cpus), tuple(targets))
    _check(settings, paths)
    if data is not None:
        check_data(Path(data), images)
    elif images is not None:
        raise InputError(f"--images {images}: they are pictures of --data; name these too, or leave it out")
    found = [places.target(address, connection) for address in dict.fromkeys(targets)]
    here = environment()
    names = short_names(dict.fromkeys(map(Path, paths)))
    artifacts = {path: replace(read_artifact(path), named=name) for path, name in names.items()}
    configurations = tuple(_configurations([Path(path) for path in paths], settings.threads, runners, options or {}))
    _check_places(configurations, settings.targets)
    _check_connection(connection or places.Settings(), configurations, settings.targets)
    order = Order(configurations, runs, seconds, block, seed, tuple(cpus), profile)
    taken = [Taken() for _ in found]
    hashes = [artifact.sha256 for artifact in artifacts.values()]
    told = {place.address: t for place, t in zip(found, taken, strict=True)}
    report = partial(assemble, settings, here, artifacts, order, told)
    try:
        with Journal(None if journal is None else Path(journal), targets, order, hashes) as kept:
            kept.replay(lambda index, event: taken[index].add(event))
            _measure(found, order, taken, kept, _Progress(order, len(found), watch))
        return report(None if data is None else _accuracies(configurations, taken, Path(data), images))
    except KeyboardInterrupt as interrupt:
        if any(t.blocks for t in taken):
            raise Interrupted(report(None)) from interrupt
        raise


def _measure(
    found: Sequence[places.Target], order: Order, taken: Sequence[Taken], kept: Journal, count: "_Progress"
) -> None:
    for index, place in enumerate(found):
        count.start(index, taken[index])
        try:
            for event in _events(place, order, taken[index]):
                taken[index].add(event)
                kept.add(index, event)
                count.step()
        except KeyboardInterrupt:
            taken[index].add(Failed(None, "it was interrupted"))
            raise
        except InputError as error:  # of the journal; what was measured until then is worth a report
            taken[index].add(Failed(None, str(error)))
            return


def _accuracies(
    configurations: Sequence[Configuration], taken: Sequence[Taken], data: Path, images: int | None
) -> dict[int, Accuracy | InputError]:
    """By configuration that was measured, what this host finds; the same for all thread counts."""
    found: dict[str, Accuracy | InputError] = {}
    measured = {
        index: f"{c.artifact} {c.runner} {sorted(c.options.items())}"
        for index, c in enumerate(configurations)
        if any(index in told.blocks for told in taken)
    }
    for index, key in measured.items():
        if key not in found:
            try:
                found[key] = accuracy(configurations[index], data, images)
            except InputError as error:
                found[key] = error
    return {index: found[key] for index, key in measured.items()}


def _events(place: places.Target, order: Order, taken: Taken) -> Iterator[Event]:
    left = None if order.seconds is None else order.seconds - taken.seconds()
    if left is not None and left <= 0:
        return
    taken.failed.clear()  # what failed before is tried again
    rounds = len(plan(order.runs, order.block))
    indices = range(len(order.configurations))
    if left is None and all(len(taken.blocks.get(index, ())) >= rounds for index in indices):
        return  # a journal holds all of it: the target is not even asked whether it is there
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
            raise InputError(
                f"--{name}: none of the runners {', '.join(sorted(used))} has this option; drop it, or name a --runner "
                "that has it"
            )
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
        raise InputError(
            f"{path}: none of the runners {', '.join(runners)} takes such a file; name another, or leave --runner out"
        )
    return suited or [default_runner(path)]


def _check(settings: Settings, paths: Sequence[str | os.PathLike[str]]) -> None:
    if not paths:
        raise InputError("no files to measure; name at least one .tflite, .onnx or .keras file")
    if settings.runs < 1:
        raise InputError(f"{settings.runs} runs cannot be measured; give at least 1")
    if settings.seconds is not None and not 0 < settings.seconds < LONGEST:
        raise InputError(
            f"a budget of {settings.seconds:g} s cannot be measured in; give more than 0 and less than {LONGEST:,}, as "
            "in 60s"
        )
    if settings.block <= DISCARDED:
        raise InputError(
            f"a block of {settings.block} calls leaves none, since its first {DISCARDED} are discarded; "
            f"give at least {DISCARDED + 1}"
        )
    if settings.runs > ROUNDS_APART * (settings.block - DISCARDED):
        raise InputError(
            f"{settings.runs} runs in blocks of {settings.block} calls are more than {ROUNDS_APART:,} rounds; give at "
            f"most {ROUNDS_APART * (settings.block - DISCARDED):,}"
        )
    if not settings.threads or min(settings.threads) < 1:
        raise InputError(f"{min(settings.threads, default=0)} threads cannot run a model; give at least 1")
    if settings.seed < 0:
        raise InputError(f"the seed {settings.seed} is negative; give 0 or more")
    if not settings.targets:
        raise InputError("no target to measure at; give local, ssh://user@host[:port] or adb://serial")


def _check_places(configurations: Sequence[Configuration], targets: Sequence[str]) -> None:
    elsewhere = [address for address in targets if address != "local"]
    if elsewhere and any(configuration.runner == "web" for configuration in configurations):
        raise InputError(f"--runner web: it needs this machine's browser; leave it out, or --target {elsewhere[0]}")


def _check_connection(
    connection: places.Settings, configurations: Sequence[Configuration], targets: Sequence[str]
) -> None:
    """Raises InputError where something is told of targets that none of these takes."""
    schemes = {address.partition("://")[0] for address in targets}
    for name, value in asdict(connection).items():
        used = schemes & places.TAKERS[name] or any(name in c.options for c in configurations)
        if value and not used:
            raise InputError(
                f"--{name.replace('_', '-')}: no target of {', '.join(targets)} has a use for it; leave it out, or "
                f"give a --target {' or '.join(f'{scheme}://' for scheme in sorted(places.TAKERS[name]))}"
            )
    if connection.benchmark_model and connection.remote_python and "ssh" not in schemes:
        raise InputError("--remote-python: --benchmark-model does without one; leave either out")


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
        here = min(len(taken.probed) + len(taken.warmed) + blocks, self.per_target)  # a reference may go on
        done = self.target * self.per_target + here
        if done > self.done:
            self.done = done
            self.watch(done, self.targets * self.per_target)
