"""The schedule of a session, on runners that write down when they were called."""

import gc
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from keras_cnnzoo import InputError
from keras_cnnzoo.mobile_bench import session
from keras_cnnzoo.mobile_bench.events import Block, Failed, Probed, Seen, Warmed
from keras_cnnzoo.mobile_bench.measure import DISCARDED, MIN_ROUNDS, time_block
from keras_cnnzoo.mobile_bench.order import Configuration, Order

CALLS: list[str] = []


class Recorder:
    """A runner named after its file; "broken" fails at its 41st call, "gone" at its 2nd load."""

    def __init__(self, name: str) -> None:
        if name == "gone" and "gone closed" in CALLS:
            raise RuntimeError("the file is gone")
        self.name = name

    def invoke(self) -> None:
        assert not gc.isenabled()
        if self.name == "broken" and CALLS.count(self.name) == 40:
            raise RuntimeError("the cable was pulled")
        CALLS.append(self.name)

    def time_block(self, calls: int) -> tuple[np.ndarray, np.ndarray]:
        return time_block(self.invoke, calls)

    def close(self) -> None:
        CALLS.append(f"{self.name} closed")


@pytest.fixture(autouse=True)
def recorders(monkeypatch: pytest.MonkeyPatch) -> None:
    CALLS.clear()
    monkeypatch.setattr(session, "check", lambda configuration: None)
    monkeypatch.setattr(session, "probe", lambda configuration, seed: ({}, {"timed": configuration.threads != 9}))
    monkeypatch.setattr(session, "rounds_of_a_load", lambda load_ns, block_ns: 1)
    monkeypatch.setattr(session, "open_runner", lambda configuration, seed: Recorder(configuration.artifact.stem))


def order_of(names: str, **settings: object) -> Order:
    return Order(tuple(Configuration(Path(f"{name}.tflite"), "litert") for name in names.split()), **settings)  # type: ignore[arg-type]


def events(order: Order, kind: type = Block) -> list:
    return [event for event in session.measure(order) if isinstance(event, kind)]


def test_every_round_holds_one_block_of_every_configuration() -> None:
    found = events(order_of("a b c", runs=170))
    for number in range(10):
        assert sorted(b.configuration for b in found if b.round == number) == [0, 1, 2]
    assert {len(b.durations_ns) for b in found} == {17}


def test_the_order_within_rounds_varies_and_is_the_seed_s() -> None:
    def order(seed: int) -> list[int]:
        return [block.configuration for block in events(order_of("a b c", runs=20, seed=seed))]

    assert order(0) == order(0)
    assert order(0) != order(1)
    assert len({tuple(order(0)[i : i + 3]) for i in range(0, 30, 3)}) >= 4


def test_the_first_calls_of_a_block_are_discarded() -> None:
    found = list(session.measure(order_of("a", runs=34)))
    warmed = sum(event.calls for event in found if isinstance(event, Warmed))
    blocks = [event for event in found if isinstance(event, Block)]
    assert sum(len(block.durations_ns) for block in blocks) == 34
    assert [len(block.starts_ns) for block in blocks] == [len(block.durations_ns) for block in blocks]
    loads = CALLS.count("a closed")
    assert loads == len(blocks)
    assert CALLS.count("a") == warmed + 34 + DISCARDED * (len(blocks) + loads - 1)


def test_the_calls_of_a_block_that_are_kept_are_its_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recorder, "time_block", lambda runner, calls: (np.arange(calls), np.arange(1, calls + 1)))
    blocks = events(order_of("a", runs=34))
    assert {tuple(block.durations_ns[:2]) for block in blocks} == {(DISCARDED + 1, DISCARDED + 2)}
    assert sum(len(block.durations_ns) for block in blocks) == 34


def test_the_energy_of_a_block_is_told_by_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session.EnergyMeter, "joules", lambda meter: 40.0)
    for block in events(order_of("a", runs=34)):
        assert block.energy_j == 40 / (len(block.durations_ns) + DISCARDED)


def test_samples_carry_unix_time_in_order() -> None:
    starts = np.concatenate([block.starts_ns for block in events(order_of("a", runs=30))])
    assert (np.diff(starts) > 0).all()
    assert starts[0] > 1.6e18


def test_a_runner_that_fails_in_the_middle_keeps_its_samples_and_leaves_the_others_alone() -> None:
    found = list(session.measure(order_of("a broken", runs=100)))
    failures = [event for event in found if isinstance(event, Failed)]
    assert [event.configuration for event in failures] == [1]
    assert "the cable was pulled" in failures[0].reason
    assert sum(len(b.durations_ns) for b in found if isinstance(b, Block) and b.configuration == 0) == 100
    assert "broken closed" in CALLS
    assert "a closed" in CALLS


def test_a_model_is_loaded_anew_for_each_block_where_that_is_cheap() -> None:
    blocks = events(order_of("a b", runs=200))
    assert [CALLS.count(f"{name} closed") for name in "ab"] == [len(blocks) // 2] * 2


def test_a_model_that_is_dear_to_load_keeps_its_load_for_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "rounds_of_a_load", lambda load_ns, block_ns: 4)
    assert len(events(order_of("a", runs=200))) == 12
    assert CALLS.count("a closed") == 3


def test_a_model_that_cannot_be_loaded_anew_keeps_its_samples() -> None:
    found = list(session.measure(order_of("a gone", runs=100)))
    assert [event.configuration for event in found if isinstance(event, Failed)] == [1]
    assert [event.configuration for event in found if isinstance(event, Block)].count(1) >= 1
    assert CALLS.count("gone closed") == 1


def test_what_is_no_latency_is_not_timed() -> None:
    order = Order((Configuration(Path("a.tflite"), "micro", threads=9),), runs=20)
    kinds = [type(event) for event in session.measure(order)]
    assert kinds == [Seen, Probed]


def test_rounds_of_a_journal_are_not_measured_again() -> None:
    order = order_of("a", runs=10, done={0: (0, 1, 2)})
    assert [b.round for b in events(order)] == [*range(3, 10)]
    assert list(map(type, session.measure(order_of("a", runs=10, done={0: tuple(range(10))})))) == [Seen]


def test_what_a_journal_lacks_is_measured_beside_its_reference_under_new_numbers() -> None:
    done = {0: tuple(range(10)), 1: (0, 1, 2), 2: tuple(range(10))}
    found = {(b.configuration, b.round) for b in events(order_of("a b c", runs=10, done=done))}
    assert found == {(index, number) for index in (0, 1) for number in range(10, 17)}


def test_a_reference_that_was_not_there_is_measured_beside_what_is_compared_with_it() -> None:
    found = {(b.configuration, b.round) for b in events(order_of("a b", runs=10, done={1: tuple(range(10))}))}
    assert found == {(index, number) for index in (0, 1) for number in range(10, 20)}


def test_what_fails_in_its_warm_up_is_closed_and_never_called_again() -> None:
    CALLS.extend(["broken"] * 38)
    found = list(session.measure(order_of("a broken", runs=20)))
    assert [event.configuration for event in found if isinstance(event, Failed)] == [1]
    assert "broken closed" in CALLS
    assert not [event for event in found if isinstance(event, Block) and event.configuration == 1]


def test_without_a_reference_a_budget_goes_to_what_is_known_least() -> None:
    shift = session._Shift(order_of("a b c d", seconds=1.0), [0, 1, 2, 3], 1.0, 0)
    shift.loaded = dict.fromkeys((1, 2, 3))  # type: ignore[arg-type]
    shift.p10 = {0: {}, 1: {0: 1.0, 1: 1.0}, 2: {0: 1.0, 1: 2.0}, 3: {0: 1.0, 1: 3.0}}
    assert shift._neediest() == {2, 3}


def test_more_configurations_than_a_shift_holds_go_in_shifts_with_their_reference() -> None:
    configurations = [Configuration(Path(f"{i}.tflite"), "litert", 1 + i % 2) for i in range(40)]
    groups = session.shifts(configurations)
    assert max(map(len, groups)) <= session.SHIFT
    assert {i for group in groups for i in group} == set(range(40))
    for group in groups:
        assert all(session.references(configurations)[i] in group for i in group)


def test_rounds_of_two_shifts_have_different_numbers_and_a_second_reference() -> None:
    found = events(order_of(" ".join(f"m{i}" for i in range(20)), runs=10))
    rounds = [{b.round for b in found if b.configuration == index} for index in range(20)]
    assert len(rounds[0]) == 2 * len(rounds[1])
    assert all(own <= rounds[0] for own in rounds)
    assert not rounds[1] & rounds[19]


def test_a_budget_is_kept_by_the_clock_and_the_rounds_that_an_interval_needs_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks = count()
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks) / 100)  # a hundredth of a second for each look
    for seconds, all_have, some_have, most in ((0.01, 8, 8, 8), (5.0, MIN_ROUNDS, 40, 500)):
        blocks = events(order_of("a b c d", seconds=seconds))
        rounds = [sum(block.configuration == index for block in blocks) for index in range(4)]
        assert all_have <= min(rounds)
        assert some_have <= max(rounds) <= most


@pytest.mark.parametrize("cpu", [999, 99999999999, -1])
def test_processors_that_are_not_there_are_refused(cpu: int) -> None:
    with pytest.raises(InputError, match=rf"--cpus {cpu}: this process may use "):
        list(session.measure(order_of("a", cpus=(cpu,))))


def test_who_needs_most_is_asked_ever_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, ticks = [], count()
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks) / 100)
    monkeypatch.setattr(session._Shift, "_neediest", lambda shift: looks.append(0) or {0, 1})
    rounds = len({block.round for block in events(order_of("a b", seconds=60.0))})
    assert rounds > 1000
    assert len(looks) < 100
