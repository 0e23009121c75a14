"""Measures an order on the machine that it runs on, here or at the far end of a wire. Needs numpy alone."""

import os
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from ..errors import InputError
from .child import BROKEN, reason_of
from .environment import environment
from .events import Block, Event, Failed, Probed, Profiled, Seen, Warmed
from .health import EnergyMeter, HealthMeter
from .measure import (
    DISCARDED,
    FEWEST_ROUNDS,
    MIN_ROUNDS,
    compared,
    kept_in_budget,
    neediest,
    plan,
    rounds_of_a_load,
    rounds_to_do,
    standard_error,
    warm_up,
)
from .order import Configuration, Order
from .probe import probe
from .profile import profile
from .runners import Runner, check, open_runner
from .statistics import p10

SHIFT = 16  # configurations that are loaded at a time; more of them measure each other's memory
LOOKS = 16  # of a budget's rounds so far, the part that goes by between two looks at who needs most
ROUNDS_APART = 1_000_000  # so that rounds of two shifts have different numbers: they are not side by side


def measure(order: Order) -> Iterator[Event]:
    """Tells every event as soon as it is known; what a configuration gets wrong is one of them.

    Raises:
        InputError: the processors of the order are not to be had.
    """
    pin(order.cpus)
    yield Seen(asdict(environment()))
    parts = shifts(order.configurations)
    for number, part in enumerate(parts):
        seconds = None if order.seconds is None else order.seconds / len(parts)
        yield from _Shift(order, part, seconds, number * ROUNDS_APART).measure()


def pin(cpus: Sequence[int]) -> None:
    """Keeps this process on these processors.

    Raises:
        InputError: there are none of that number, or they are not ours.
    """
    if not cpus:
        return
    try:
        os.sched_setaffinity(0, cpus)
    except (OSError, ValueError, OverflowError) as error:
        allowed = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
        raise InputError(
            f"--cpus {','.join(map(str, cpus))}: this process may use {allowed}; choose of these"
        ) from error


def references(configurations: Sequence[Configuration]) -> list[int]:
    """By configuration, the index of the first with as many threads: what it is compared with."""
    first: dict[int, int] = {}
    return [first.setdefault(c.threads, index) for index, c in enumerate(configurations)]


def shifts(configurations: Sequence[Configuration]) -> list[list[int]]:
    """Indices in groups of at most SHIFT, each with the references of its members; a reference may be in several."""
    reference = references(configurations)
    groups: list[list[int]] = [[]]
    for index in sorted(range(len(configurations)), key=lambda i: (reference[i], i)):
        if len({*groups[-1], index, reference[index]}) > SHIFT:
            groups.append([])
        groups[-1] += [i for i in dict.fromkeys((reference[index], index)) if i not in groups[-1]]
    return groups


@dataclass
class _Loaded:
    """A runner, what it cost to load and what a call takes."""

    runner: Runner
    load_ns: int
    call_ns: int = 0
    rounds: int = 0


class _Shift:
    """Configurations that are measured side by side."""

    def __init__(self, order: Order, members: list[int], seconds: float | None, first_round: int) -> None:
        self.order, self.members, self.seconds, self.first_round = order, members, seconds, first_round
        self.reference = dict(enumerate(references(order.configurations)))
        self.loaded: dict[int, _Loaded] = {}
        self.p10: dict[int, dict[int, float]] = {index: {} for index in members}

    def measure(self) -> Iterator[Event]:
        try:
            for index in self.members:
                yield from self._open(index)
            self.deadline = time.perf_counter() + (self.seconds or 0)
            yield from self._rounds()
        finally:
            for loaded in self.loaded.values():
                loaded.runner.close()

    def _open(self, index: int) -> Iterator[Event]:
        """Probes, loads and warms up a configuration that has rounds to do."""
        if not self._to_do(index):
            return
        configuration, seed = self.order.configurations[index], self.order.seed
        try:
            check(configuration)
            cost, description = probe(configuration, seed=seed)
            yield Probed(index, cost, description)
            if self.order.profile:
                yield from self._profile(index)
            if not description.get("timed", True):
                return
            loaded = self._load(index)
            warmed = warm_up(loaded.runner.time_block)
        except BROKEN as error:
            yield self._dropped(index, error)
            return
        loaded.call_ns = warmed.call_ns
        yield Warmed(index, warmed.calls, warmed.steady)

    def _load(self, index: int) -> _Loaded:
        start = time.perf_counter_ns()
        runner = open_runner(self.order.configurations[index], seed=self.order.seed)
        self.loaded[index] = _Loaded(runner, time.perf_counter_ns() - start)
        return self.loaded[index]

    def _profile(self, index: int) -> Iterator[Event]:
        """Operators and their times; where they cannot be had the measurement goes on, and the reason is told."""
        try:
            yield Profiled(index, tuple(profile(self.order.configurations[index])), None)
        except InputError as error:
            yield Profiled(index, (), str(error))

    def _to_do(self, index: int) -> bool:
        """Whether the journal lacks rounds of a configuration, of its reference, or of one that is compared with it."""
        if self.seconds is not None:
            return True
        rounds = len(plan(self.order.runs, self.order.block))
        lacking = [other for other in self.members if len(self._done(other)) < rounds]
        return compared(index, lacking, self.reference)

    def _done(self, index: int) -> set[int]:
        """Rounds of this shift that the journal holds."""
        numbers = range(self.first_round, self.first_round + ROUNDS_APART)
        return {number for number in self.order.done.get(index, ()) if number in numbers}

    def _rounds(self) -> Iterator[Event]:
        meter, order = HealthMeter(), random.Random(self.order.seed)
        self.energy = EnergyMeter()
        for number, kept in self._schedule():
            for index in order.sample(sorted(kept), len(kept)):
                if index in self.loaded:
                    yield self._block(index, number, kept[index])
            yield meter.read()

    def _schedule(self) -> Iterator[tuple[int, dict[int, int]]]:
        """Rounds, each with the kept calls of the configurations that take part."""
        if self.seconds is not None:
            yield from self._schedule_in_time()
            return
        done = {index: self._done(index) for index in self.members}
        calls = plan(self.order.runs, self.order.block)
        yield from rounds_to_do(calls, done, self.reference, self.loaded.keys(), self.first_round)

    def _schedule_in_time(self) -> Iterator[tuple[int, dict[int, int]]]:
        if not self.loaded:
            return
        calls_ns = {index: loaded.call_ns for index, loaded in self.loaded.items()}
        kept = kept_in_budget(self.seconds or 0, calls_ns, self.order.block)
        done = [number for index in self.members for number in self._done(index)]
        first = number = 1 + max(done, default=self.first_round - 1)
        chosen, again = set(self.loaded), first
        while self.loaded and (number < first + FEWEST_ROUNDS or time.perf_counter() < self.deadline):
            if number >= again or not chosen <= self.loaded.keys():
                chosen = set(self.loaded) if number - first < MIN_ROUNDS else self._neediest()
                again = number + 1 + (number - first) // LOOKS  # a look at each would cost ever more
            yield number, {index: kept[index] for index in chosen}
            number += 1

    def _neediest(self) -> set[int]:
        errors = {}
        for index in self.loaded:
            own, other = self.p10[index], self.p10[self.reference[index]]
            ratios = list(own.values()) if own is other else [own[n] / other[n] for n in own if n in other]
            errors[index] = standard_error(ratios or list(own.values()))  # a reference may be one that did not load
        return neediest(errors, self.reference)

    def _block(self, index: int, number: int, kept: int) -> Event:
        calls = kept + DISCARDED
        try:
            runner = self._placed_anew(index, calls)
            self.energy.restart()
            starts, durations = runner.time_block(calls)
        except BROKEN as error:
            return self._dropped(index, error)
        joules = self.energy.joules()
        self.p10[index][number] = float(p10([durations[DISCARDED:]])[0])
        offset = time.time_ns() - time.perf_counter_ns()
        return Block(
            index,
            number,
            starts[DISCARDED:] + offset,
            durations[DISCARDED:],
            None if joules is None else joules / calls,
        )

    def _placed_anew(self, index: int, calls: int) -> Runner:
        """The runner of a configuration: one model is loaded anew after so many blocks that loading costs little.

        Where a load puts its weights in memory can make it several percent faster or slower than the next, for as long
        as it lives; only rounds on different loads show that, and take the mean of it.
        """
        loaded = self.loaded[index]
        loaded.rounds += 1
        if loaded.rounds > rounds_of_a_load(loaded.load_ns, calls * loaded.call_ns):
            self.loaded.pop(index).runner.close()
            call_ns, loaded = loaded.call_ns, self._load(index)
            loaded.call_ns, loaded.rounds = call_ns, 1
            loaded.runner.time_block(DISCARDED)
        return loaded.runner

    def _dropped(self, index: int, error: BaseException) -> Failed:
        """What failed is closed, if it was loaded, and measured no further."""
        if index in self.loaded:
            self.loaded.pop(index).runner.close()
        path = self.order.configurations[index].artifact
        reason = reason_of(error)
        return Failed(index, reason if isinstance(error, InputError) else f"{path}: it cannot be run ({reason})")
