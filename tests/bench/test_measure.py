"""The schedule, on callables that write down when they were called."""

from collections.abc import Callable
from functools import partial

import pytest

from keras_cnnzoo.mobile_bench.measure import DISCARDED, MIN_ROUNDS, plan, time_block, warm_up


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


def test_a_block_is_as_long_as_asked() -> None:
    calls, invokes = recorders("a")
    starts, durations = time_block(invokes[0], 7)
    assert len(calls) == len(starts) == len(durations) == 7
    assert (durations >= 0).all()


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
