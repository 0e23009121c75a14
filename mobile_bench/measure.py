"""When each configuration is called, and how a call is timed.

Blocks of some twenty calls of one configuration, the first three discarded, in an order drawn anew in each round:
drift then hits all alike, and each is measured with the caches that it warmed itself (alternating call by call costs
3 to 16 %). Between the two readings of the clock stands nothing but the call.
"""

import gc
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .statistics import Rounds

Invoke = Callable[[], object]
"""Runs a model once; its inputs were set before."""

DISCARDED = 3  # first calls of a block: they find another model's caches
MIN_ROUNDS = 10  # short runs get shorter blocks rather than fewer rounds, on which the intervals stand

WINDOW, PATIENCE, TOLERANCE = 5, 3, 0.02  # of the warm-up: calls, windows, relative gain
WARM_UP_SECONDS, WARM_UP_CALLS = 3.0, 25  # it ends when both are spent


@dataclass(frozen=True, eq=False)
class Samples:
    """The kept calls of one configuration: one read-only array per round, in nanoseconds.

    Attributes:
        starts_ns: when each call began, since the first block of the measurement did.
        durations_ns: how long each call took.
    """

    starts_ns: tuple[NDArray[np.int64], ...]
    durations_ns: tuple[NDArray[np.int64], ...]

    @property
    def rounds(self) -> Rounds:
        """The durations in milliseconds, one array per round."""
        return [block / 1e6 for block in self.durations_ns]


@dataclass(frozen=True)
class WarmUp:
    """How many calls it took until a configuration was steady, or that it was not within the limit."""

    calls: int
    steady: bool


def warm_up(invoke: Invoke) -> WarmUp:
    """Calls until PATIENCE windows of WINDOW calls in a row brought none faster than all before by TOLERANCE."""
    best, calls, stale = float("inf"), 0, 0
    deadline = time.perf_counter() + WARM_UP_SECONDS
    while calls < WARM_UP_CALLS or time.perf_counter() < deadline:
        fastest = int(time_block(invoke, WINDOW)[1].min())
        calls += WINDOW
        stale = stale + 1 if fastest > best * (1 - TOLERANCE) else 0
        best = min(best, fastest)
        if stale == PATIENCE:
            return WarmUp(calls, steady=True)
    return WarmUp(calls, steady=False)


def plan(runs: int, block: int) -> list[int]:
    """Kept calls of each round: `runs` in all, in blocks as equal as can be of at most `block` calls with DISCARDED."""
    rounds = max(-(-runs // (block - DISCARDED)), min(runs, MIN_ROUNDS))
    return [runs // rounds + (index < runs % rounds) for index in range(rounds)]


def interleave(
    invokes: Sequence[Invoke], kept: Sequence[int], *, seed: int = 0, after_block: Invoke = lambda: None
) -> tuple[Samples, ...]:
    """Measures all configurations in rounds.

    Args:
        invokes: one callable per configuration.
        kept: kept calls of each configuration in each round.
        seed: of the order within the rounds.
        after_block: called between blocks, while nothing is timed.

    Returns:
        The samples of each configuration, in the order of `invokes`.
    """
    order = random.Random(seed)
    blocks: list[list[tuple[NDArray[np.int64], NDArray[np.int64]]]] = [[] for _ in invokes]
    with without_garbage_collection():
        origin = time.perf_counter_ns()
        for calls in kept:
            for index in order.sample(range(len(invokes)), len(invokes)):
                starts, durations = time_block(invokes[index], calls + DISCARDED)
                blocks[index].append((starts[DISCARDED:] - origin, durations[DISCARDED:]))
                after_block()
    return tuple(_samples(taken) for taken in blocks)


def time_block(invoke: Invoke, calls: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start (on the clock of `time.perf_counter_ns`) and duration of each call, both in nanoseconds, shape (calls,)."""
    clock = time.perf_counter_ns
    starts, ends = [0] * calls, [0] * calls
    for index in range(calls):
        starts[index] = clock()
        invoke()
        ends[index] = clock()
    began = np.array(starts, np.int64)
    return began, np.array(ends, np.int64) - began


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Python's collector runs before the block and not in it."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _samples(blocks: list[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> Samples:
    for array in (array for block in blocks for array in block):
        array.setflags(write=False)
    return Samples(tuple(starts for starts, _ in blocks), tuple(durations for _, durations in blocks))
