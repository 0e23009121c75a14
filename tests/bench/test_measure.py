"""The schedule, on callables that write down when they were called."""

import gc
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from keras_cnnzoo.mobile_bench.measure import DISCARDED, MIN_ROUNDS, interleave, plan, time_block, warm_up


def recorders(names: str) -> tuple[list[str], list[Callable[[], None]]]:
    calls: list[str] = []
    return calls, [lambda name=name: calls.append(name) for name in names]  # type: ignore[misc]


def blocks_of(calls: list[str]) -> list[tuple[str, int]]:
    """Runs of equal calls and their lengths."""
    edges = [0, *(i for i in range(1, len(calls)) if calls[i] != calls[i - 1]), len(calls)]
    return [(calls[a], b - a) for a, b in pairwise(edges)]


@pytest.mark.parametrize("runs", [1, 3, 10, 99, 200, 1000])
def test_a_plan_keeps_as_many_calls_as_were_asked_for(runs: int) -> None:
    kept = plan(runs, block=20)
    assert sum(kept) == runs
    assert max(kept) - min(kept) <= 1
    assert max(kept) + DISCARDED <= 20
    assert len(kept) >= min(runs, MIN_ROUNDS)


def test_every_round_holds_one_block_of_every_configuration() -> None:
    calls, invokes = recorders("abc")
    interleave(invokes, [5] * 30)
    per_round = 3 * (5 + DISCARDED)
    for start in range(0, len(calls), per_round):
        inside = calls[start : start + per_round]
        assert sorted(blocks_of(inside)) == [(name, 5 + DISCARDED) for name in "abc"]


def test_the_order_within_rounds_varies_and_is_the_seed_s() -> None:
    def order(seed: int) -> list[str]:
        calls, invokes = recorders("abc")
        interleave(invokes, [1] * 20, seed=seed)
        return calls

    assert order(0) == order(0)
    assert order(0) != order(1)
    width = 3 * (1 + DISCARDED)
    assert len({tuple(order(0)[i : i + width]) for i in range(0, 20 * width, width)}) == 6


def test_the_first_calls_of_a_block_are_discarded() -> None:
    _, invokes = recorders("ab")
    for samples in interleave(invokes, [4, 5, 6]):
        assert [len(block) for block in samples.durations_ns] == [4, 5, 6]
        assert [len(block) for block in samples.starts_ns] == [4, 5, 6]


def test_samples_are_in_the_order_of_time_and_cannot_be_changed() -> None:
    _, invokes = recorders("ab")
    samples = interleave(invokes, [4] * 3)[0]
    starts = np.concatenate(samples.starts_ns)
    assert (np.diff(starts) > 0).all()
    assert starts[0] >= 0
    with pytest.raises(ValueError, match="read-only"):
        samples.durations_ns[0][0] = 1


def test_rounds_are_in_milliseconds() -> None:
    _, invokes = recorders("a")
    samples = interleave(invokes, [2])[0]
    np.testing.assert_allclose(samples.rounds[0] * 1e6, samples.durations_ns[0])


def test_nothing_is_told_while_a_block_is_timed() -> None:
    calls, invokes = recorders("a")
    interleave(invokes, [4] * 3, after_block=lambda: calls.append("told"))
    assert blocks_of(calls) == [("a", 4 + DISCARDED), ("told", 1)] * 3


def test_garbage_is_not_collected_while_timing_and_is_afterwards() -> None:
    states = []
    interleave([lambda: states.append(gc.isenabled())], [2])
    assert not any(states)
    assert gc.isenabled()


def test_a_block_is_as_long_as_asked() -> None:
    calls, invokes = recorders("a")
    starts, durations = time_block(invokes[0], 7)
    assert len(calls) == len(starts) == len(durations) == 7
    assert (durations >= 0).all()


def test_a_warm_up_ends_and_says_how_many_calls_it_took() -> None:
    calls, invokes = recorders("a")
    assert warm_up(invokes[0]).calls == len(calls)


def test_a_warm_up_that_keeps_getting_faster_is_bounded_and_not_steady(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0]
    step = [10**9]

    def invoke() -> None:
        step[0] = step[0] * 9 // 10
        now[0] += step[0]

    monkeypatch.setattr("time.perf_counter_ns", lambda: now[0])
    monkeypatch.setattr("time.perf_counter", lambda: now[0] / 1e9)
    warm = warm_up(invoke)
    assert not warm.steady
    assert warm.calls == 25
