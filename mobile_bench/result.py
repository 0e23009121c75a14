"""What came out of a measurement, as values; put together from what the targets told."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from numpy.typing import NDArray

from ..errors import InputError
from .accuracy import Accuracy
from .artifact import Artifact
from .disturbances import disturbances
from .environment import Environment
from .events import Health, Scalar, Warmed
from .order import Option, Order
from .runners import WHEREABOUTS, Layer
from .session import references
from .statistics import Estimate, Rounds, Summary, compare, summarise
from .taken import Probe, Taken, probe_of


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
        is_reference: whether it is what others are compared with.
        energy_j: of the machine per call, median over the blocks; None where it does not tell.
        layers: the time of each operator, where it was asked for.
        accuracy: on labelled pictures, where they were given.
        failure: why it was not measured to the end, or has no accuracy though pictures were given; else None.
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
    is_reference: bool = False
    energy_j: float | None = None
    layers: tuple[Layer, ...] = ()
    accuracy: Accuracy | None = None
    failure: str | None = None

    @property
    def label(self) -> str:
        """File, runner, settings and threads in a few words."""
        return label(self.artifact.name, self.runner, self.threads, self.options)


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

    @property
    def label(self) -> str:
        """File, runner, settings and threads in a few words."""
        return label(self.artifact.name, self.runner, self.threads, self.options)


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


def assemble(
    settings: Settings,
    here: Environment,
    artifacts: Mapping[Path, Artifact],
    order: Order,
    taken: Mapping[str, Taken],
    accuracies: Mapping[int, Accuracy | InputError] | None,
) -> Report:
    """What the targets told as a report.

    Args:
        settings: what was asked for.
        here: this machine.
        artifacts: by path.
        order: of the measurement, the same for all targets.
        taken: by address, what each target told.
        accuracies: by configuration, or why there is none; None where no pictures were given.

    Raises:
        InputError: nothing was measured at all.
    """
    measurements, unmeasured = [], []
    for address, told in taken.items():
        for index in range(len(order.configurations)):
            if told.blocks.get(index) and index in told.probed and index in told.warmed:
                found = (accuracies or {}).get(index)
                measurements.append(_measurement(address, artifacts, order, told, index, found))
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
        (*_warnings(measurements, taken), *(_unasked(unmeasured) if accuracies is not None else ())),
        tuple(unmeasured),
        {address: told.environment for address, told in taken.items()},
        {address: tuple(told.health) for address, told in taken.items()},
    )


def _measurement(
    address: str,
    artifacts: Mapping[Path, Artifact],
    order: Order,
    told: Taken,
    index: int,
    found: Accuracy | InputError | None,
) -> Measurement:
    configuration, first = order.configurations[index], references(order.configurations)[index]
    samples, seed = _samples(told, index), order.seed
    accuracy, why = (None, str(found)) if isinstance(found, InputError) else (found, None)
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
        is_reference=index == first,
        energy_j=_energy(told, index),
        layers=tuple(Layer(**layer) for layer in told.profiled[index].layers) if index in told.profiled else (),
        accuracy=accuracy,
        failure=told.failed.get(index, told.failed.get(None, why)),
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
        here = "" if len(taken) == 1 else f"{address}: "
        own = [m for m in measurements if m.target == address]
        cores = told.environment.get("cores")
        for threads in sorted({m.threads for m in own}):
            if isinstance(cores, int) and threads > cores:
                yield (
                    f"{here}{threads} threads on {cores} cores wait for each other; "
                    f"their latency is not that of {threads} cores"
                )
        for m in own:
            if m.warm_up.steady is False:
                yield (
                    f"{here}{m.label} was not steady after {m.warm_up.calls} calls of warm-up; other work on this "
                    "machine may disturb it"
                )
        yield from (f"{here}{p.missing}" for p in told.profiled.values() if p.missing is not None)
        rounds = {m.label: m.samples.rounds for m in own}
        yield from (f"{here}{sentence}" for sentence in disturbances(rounds, told.health))


def _unasked(unmeasured: Sequence[Unmeasured]) -> list[str]:
    """A sentence for each that runs and has no latency; the same at all targets."""
    labels = dict.fromkeys(entry.label for entry in unmeasured if entry.reason is None)
    return [
        f"{label}: it has no accuracy either, for only what was timed is asked for the pictures" for label in labels
    ]


def _energy(told: Taken, index: int) -> float | None:
    known = [block.energy_j for block in told.blocks[index].values() if block.energy_j is not None]
    return median(known) if known else None


def label(file: str, runner: str, threads: int, options: Mapping[str, Option]) -> str:
    """In a few words; what is the default is left out."""
    count = f"{threads} thread{'s' * (threads > 1)}"
    words = [*([] if runner == "litert" else [runner]), *setting_words(options), count]
    return f"{file} ({', '.join(words)})"


def setting_words(options: Mapping[str, Option]) -> list[str]:
    """A runner's options for readers, without those that say where software is."""
    return [f"{name} {value}" for name, value in options.items() if name not in WHEREABOUTS]
