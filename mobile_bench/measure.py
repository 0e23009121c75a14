"""When each configuration is called, and how a call is timed. Needs numpy alone.

Blocks of some twenty calls of one configuration, the first three discarded, in an order drawn anew in each round:
drift then hits all alike, and each is measured with the caches that it warmed itself (alternating call by call costs
3 to 16 %). Between the two readings of the clock stands nothing but the call.
"""

import gc
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import statistics

Invoke = Callable[[], object]
"""Runs a model once; its inputs were set before."""

TimedCalls = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Start (on the clock of `time.perf_counter_ns`) and duration of each call, both in nanoseconds, shape (calls,)."""

TimeBlock = Callable[[int], TimedCalls]
"""Times so many calls in a row."""

DISCARDED = 3  # first calls of a block: they find another model's caches
MIN_ROUNDS = 10  # short runs get shorter blocks rather than fewer rounds, on which the intervals stand
FEWEST_ROUNDS = statistics.MIN_ROUNDS  # that a time budget is overdrawn for: fewer have no interval
AIMED_ROUNDS = 24  # of a time budget: slow models get shorter blocks until so many rounds fit

WINDOW, PATIENCE, TOLERANCE = 5, 3, 0.02  # of the warm-up: calls, windows, relative gain
LOADING_SHARE = 0.25  # of the time of measuring, at most, goes to loading models anew
WARM_UP_SECONDS, WARM_UP_CALLS = 3.0, 25  # it ends when both are spent


@dataclass(frozen=True)
class WarmUp:
    """How many calls it took until a configuration was steady, or that it was not within the limit.

    Attributes:
        call_ns: the fastest call.
    """

    calls: int
    steady: bool
    call_ns: int


def warm_up(time_calls: TimeBlock) -> WarmUp:
    """Calls until PATIENCE windows of WINDOW calls in a row brought none faster than all before by TOLERANCE."""
    best, calls, stale = float("inf"), 0, 0
    deadline = time.perf_counter() + WARM_UP_SECONDS
    while calls < WARM_UP_CALLS or time.perf_counter() < deadline:
        fastest = int(time_calls(WINDOW)[1].min())
        calls += WINDOW
        stale = stale + 1 if fastest > best * (1 - TOLERANCE) else 0
        best = min(best, fastest)
        if stale == PATIENCE:
            return WarmUp(calls, steady=True, call_ns=int(best))
    return WarmUp(calls, steady=False, call_ns=int(best))


def plan(runs: int, block: int) -> list[int]:
    """Kept calls of each round: `runs` in all, in blocks as equal as can be of at most `block` calls with DISCARDED."""
    rounds = max(-(-runs // (block - DISCARDED)), min(runs, MIN_ROUNDS))
    return [runs // rounds + (index < runs % rounds) for index in range(rounds)]


def rounds_to_do(
    calls: Sequence[int],
    done: Mapping[int, Set[int]],
    reference: Mapping[int, int],
    able: Set[int],
    first: int = 0,
) -> Iterator[tuple[int, dict[int, int]]]:
    """Numbers of the rounds that a journal lacks, each with the kept calls of the configurations that take part.

    They get numbers of their own, and what is compared is measured again beside what lacks rounds: those of two
    sittings were not side by side.

    Args:
        calls: of each round, as `plan` says.
        done: by configuration, the rounds that the journal holds.
        reference: by configuration, what it is compared with.
        able: the configurations that can be measured, now.
        first: the lowest number.
    """
    number = 1 + max((n for numbers in done.values() for n in numbers), default=first - 1)
    left = {index: calls[len(numbers) :] for index, numbers in done.items()}
    for step in range(max(map(len, left.values()), default=0)):
        lacking = {index: rest[step] for index, rest in left.items() if step < len(rest) and index in able}
        if lacking:
            beside = {index for index in able if compared(index, lacking, reference)}
            yield number + step, dict.fromkeys(beside, max(lacking.values())) | lacking


def compared(index: int, others: Collection[int], reference: Mapping[int, int]) -> bool:
    """Whether a configuration is one of the others, the reference of one, or compared with one."""
    return reference[index] in others or any(index in (other, reference[other]) for other in others)


def kept_in_budget(seconds: float, calls_ns: Mapping[int, int], block: int) -> dict[int, int]:
    """Kept calls of a block of each configuration, so that AIMED_ROUNDS rounds fit into a time.

    Args:
        seconds: for all of them together.
        calls_ns: by configuration, the duration of a call.
        block: the most calls in a block, DISCARDED included.
    """
    share = seconds * 1e9 / AIMED_ROUNDS / len(calls_ns)
    return {
        index: int(min(max(share / max(call, 1) - DISCARDED, 1), block - DISCARDED)) for index, call in calls_ns.items()
    }


def neediest(deviations: Mapping[int, float], reference: Mapping[int, int]) -> set[int]:
    """The half of the configurations whose ratio to their reference is known least, with these references.

    Args:
        deviations: by configuration, the standard error of its ratio.
        reference: by configuration, what it is compared with.
    """
    ranked = sorted(deviations, key=lambda index: -deviations[index])
    chosen = set(ranked[: -(-len(ranked) // 2)])
    return chosen | {reference[index] for index in chosen if reference[index] in deviations}


def rounds_of_a_load(load_ns: int, block_ns: int) -> int:
    """After how many blocks a model is loaded anew, so that loading takes at most LOADING_SHARE of a block's time."""
    return max(1, -(-load_ns // int(LOADING_SHARE * block_ns + 1)))


def standard_error(ratios: Sequence[float]) -> float:
    """Of the median of some ratios, relative to it and robust against outliers."""
    values = np.asarray(ratios, float)
    median = float(np.median(values))
    return 1.2533 * 1.4826 * float(np.median(np.abs(values - median))) / median / len(values) ** 0.5


def time_block(invoke: Invoke, calls: int) -> TimedCalls:
    """Times so many calls in a row; Python's garbage collector waits until they are over."""
    clock = time.perf_counter_ns
    starts, ends = [0] * calls, [0] * calls
    with without_garbage_collection():
        for index in range(calls):
            starts[index] = clock()
            invoke()
            ends[index] = clock()
    began = np.array(starts, np.int64)
    return began, np.array(ends, np.int64) - began


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Python's collector does not run inside."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
