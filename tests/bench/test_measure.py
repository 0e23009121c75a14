"""The schedule, on callables that write down when they were called."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from keras_cnnzoo.mobile_bench.measure import (
    DISCARDED,
    MIN_ROUNDS,
    kept_in_budget,
    neediest,
    plan,
    rounds_of_a_load,
    rounds_to_do,
    standard_error,
    time_block,
    warm_up,
)


def recorders(names: str) -> tuple[list[str], list[Callable[[], None]]]:
    calls: list[str] = []
    return calls, [lambda name=name: calls.append(name) for name in names]  # type: ignore[misc]


@pytest.mark.parametrize("runs", [1, 3, 10, 99, 200, 1000])
def test_a_plan_keeps_as_many_calls_as_were_asked_for(runs: int) -> None:
    kept = plan(runs, block=20)
    assert sum(kept) == runs
    assert max(kept) - min(kept) <= 1
    assert max(kept) + DISCARDED <= 20
    assert len(kept) >= min(runs, MIN_ROUNDS)


def test_rounds_that_a_journal_lacks_keep_as_many_calls_as_were_asked_for() -> None:
    calls, reference = plan(25, block=20), {0: 0, 1: 0, 2: 0}
    whole = list(rounds_to_do(calls, {0: set(), 1: set(), 2: set()}, reference, {0, 1, 2}))
    assert whole == [(number, dict.fromkeys((0, 1, 2), kept)) for number, kept in enumerate(calls)]
    left = list(rounds_to_do(calls, {0: set(range(10)), 1: {0, 1}, 2: set(range(10))}, reference, {0, 1, 2}, 0))
    assert [number for number, _ in left] == [*range(10, 18)]
    assert sum(kept[1] for _, kept in left) == sum(calls[2:])
    assert all(kept == {0: kept[1], 1: kept[1]} for _, kept in left)


def test_rounds_end_where_nothing_that_lacks_some_can_be_measured_any_more() -> None:
    able = {0, 1}
    rounds = rounds_to_do(plan(10, block=20), {0: set(range(10)), 1: set()}, {0: 0, 1: 0}, able)
    assert next(rounds) == (10, {0: 1, 1: 1})
    able.remove(1)
    assert list(rounds) == []


def test_a_budget_gives_slow_models_shorter_blocks_so_that_all_have_rounds() -> None:
    kept = kept_in_budget(24, {0: 1_000_000, 1: 40_000_000, 2: 10**9}, block=20)
    assert kept[0] == 20 - DISCARDED
    assert kept[1] == 5  # 24 s are 24 rounds of a second, a third of it for each: 8 calls of 40 ms
    assert kept[2] == 1


def test_the_half_that_is_known_least_goes_on_with_its_references() -> None:
    errors = {0: 0.01, 1: 0.05, 2: 0.001, 3: 0.03, 4: 0.002}
    assert neediest(errors, dict.fromkeys(errors, 2)) == {0, 1, 3, 2}
    assert neediest({0: 0.1, 1: 0.0}, {0: 0, 1: 0}) == {0}


@pytest.mark.parametrize(("load_ms", "rounds"), [(0, 1), (9, 1), (100, 10), (5000, 500)])
def test_a_load_lives_for_so_many_blocks_that_loading_takes_a_quarter_of_their_time(load_ms: int, rounds: int) -> None:
    assert rounds_of_a_load(load_ms * 10**6, 40 * 10**6) == rounds


def test_the_standard_error_of_a_median_is_that_of_many_draws() -> None:
    draws = np.random.default_rng(0).normal(1, 0.05, (2000, 40))
    estimated = np.median([standard_error(list(draw)) for draw in draws])
    assert estimated == pytest.approx(np.median(draws, axis=1).std(), rel=0.1)


def test_a_block_has_as_many_calls_as_asked_and_times_each(monkeypatch: pytest.MonkeyPatch) -> None:
    now, steps = [0], iter((7, 11, 13, 17))

    def invoke() -> None:
        now[0] += next(steps)

    monkeypatch.setattr("time.perf_counter_ns", lambda: now[0])
    starts, durations = time_block(invoke, 3)
    assert starts.tolist() == [0, 7, 18]
    assert durations.tolist() == [7, 11, 13]


def test_a_warm_up_ends_and_says_how_many_calls_it_took() -> None:
    calls, invokes = recorders("a")
    assert warm_up(partial(time_block, invokes[0])).calls == len(calls)


def test_a_warm_up_that_keeps_getting_faster_is_bounded_and_not_steady(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0]
    step = [10**9]

    def invoke() -> None:
        step[0] = step[0] * 9 // 10
        now[0] += step[0]

    monkeypatch.setattr("time.perf_counter_ns", lambda: now[0])
    monkeypatch.setattr("time.perf_counter", lambda: now[0] / 1e9)
    warm = warm_up(partial(time_block, invoke))
    assert not warm.steady
    assert warm.calls == 25
