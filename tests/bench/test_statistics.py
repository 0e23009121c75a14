"""Synthetic latencies, whose truth is known: intervals cover it and verdicts are right at the stated rates."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from keras_cnnzoo.mobile_bench import statistics
from keras_cnnzoo.mobile_bench.statistics import Estimate, Verdict, compare, compare_apart, summarise, verdict

ROUNDS, KEPT, TRIALS = 12, 17, 200
Noise = Callable[[np.random.Generator], np.ndarray]
"""Relative noise of two configurations in the same rounds, shape (2, ROUNDS, KEPT)."""


def independent(rng: np.random.Generator) -> np.ndarray:
    return rng.gamma(2.0, 0.02, (2, ROUNDS, KEPT))


def autocorrelated(rng: np.random.Generator) -> np.ndarray:
    """What hits a whole block: another luck for each of the two."""
    return independent(rng) + rng.normal(0, 0.03, (2, ROUNDS, 1))


def bursts(rng: np.random.Generator) -> np.ndarray:
    """A tenth of the blocks are disturbed and take up to three times as long."""
    return independent(rng) + rng.uniform(0, 2, (2, ROUNDS, 1)) * (rng.random((2, ROUNDS, 1)) < 0.1)


def drift(rng: np.random.Generator) -> np.ndarray:
    """The machine slows down by half; the blocks of a round see the same of it."""
    return independent(rng) + np.linspace(0, 0.5, ROUNDS)[None, :, None]


def pair(noise: Noise, seed: int, ratio: float = 1.0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    first, second = 5.0 * (1 + noise(np.random.default_rng(seed)))
    return list(first), list(second * ratio)


@pytest.mark.parametrize("noise", [independent, autocorrelated, bursts, drift])
def test_two_equal_configurations_show_no_difference_in_95_of_100_trials(noise: Noise) -> None:
    verdicts = [verdict(compare(*pair(noise, seed))) for seed in range(TRIALS)]
    assert verdicts.count("no difference shown") >= 0.95 * TRIALS


@pytest.mark.parametrize(("noise", "share"), [(independent, 1), (autocorrelated, 0.95), (drift, 1), (bursts, 0.66)])
def test_a_tenth_is_found_in_both_directions(noise: Noise, share: float) -> None:
    pairs = [pair(noise, seed, ratio=1.1) for seed in range(60)]
    found: dict[Verdict, list[Verdict]] = {
        "slower": [verdict(compare(slower, reference)) for reference, slower in pairs],
        "faster": [verdict(compare(reference, slower)) for reference, slower in pairs],
    }
    for expected, verdicts in found.items():
        assert verdicts.count(expected) >= share * len(pairs)
        assert set(verdicts) <= {expected, "no difference shown"}


@pytest.mark.parametrize("noise", [independent, autocorrelated, bursts, drift])
def test_the_interval_of_the_ratio_covers_the_truth(noise: Noise) -> None:
    covered = 0
    for seed in range(TRIALS):
        reference, other = pair(noise, seed, ratio=1.25)
        estimate = compare(other, reference)
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low <= 1.25 <= estimate.high
    assert covered >= 0.95 * TRIALS


@pytest.mark.parametrize("name", ["p10", "median", "p90"])
def test_the_interval_of_a_quantile_covers_the_truth(name: str) -> None:
    quantile = {"p10": 0.1, "median": 0.5, "p90": 0.9}[name]
    truth = 5.0 * (1 + np.quantile(np.random.default_rng(1).gamma(2.0, 0.02, 1_000_000), quantile))
    covered = 0
    for seed in range(TRIALS):
        estimate = getattr(summarise(pair(independent, seed)[0]), name)
        covered += estimate.low <= truth <= estimate.high
    assert covered >= 0.95 * TRIALS


def test_a_summary_is_ordered_and_its_intervals_hold_its_values() -> None:
    summary = summarise(pair(bursts, 3)[0])
    estimates = summary.min, summary.p10, summary.median, summary.p90, summary.p99
    assert [e.value for e in estimates] == sorted(e.value for e in estimates)
    for estimate in estimates:
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low <= estimate.value <= estimate.high


def test_quantiles_of_a_summary_are_those_of_all_samples_though_rounds_differ_in_length() -> None:
    rounds = [np.arange(100)[start::7] for start in range(7)]
    summary = summarise(rounds)
    found = summary.min, summary.p10, summary.median, summary.p90, summary.p99
    assert [estimate.value for estimate in found] == [0, 9, 49, 89, 98]
    assert summary.mad == 25


def test_the_ratio_is_the_median_over_rounds_of_the_ratio_of_p10() -> None:
    reference = [np.full(10, 2.0)] * 7
    rounds = [np.full(10, 2.0 * ratio) for ratio in (1, 1.5, 1.5, 1.5, 9, 1.5, 1)]
    assert compare(rounds, reference).value == 1.5


def test_a_seed_repeats_the_intervals_and_another_does_not() -> None:
    rounds = pair(independent, 0)[0]
    assert summarise(rounds, seed=1) == summarise(rounds, seed=1)
    assert summarise(rounds, seed=1) != summarise(rounds, seed=2)


def test_what_is_drawn_in_parts_is_drawn_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds, reference = pair(bursts, 0)
    whole = summarise(rounds), compare(rounds, reference), compare_apart(rounds, reference)
    for held in (1, 1000):
        monkeypatch.setattr(statistics, "_CHUNK", held)
        assert (summarise(rounds), compare(rounds, reference), compare_apart(rounds, reference)) == whole


def test_memory_does_not_grow_with_the_number_of_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "_CHUNK", 1 << 16)
    rounds = list(np.random.default_rng(0).gamma(2.0, 0.02, (4_000, 1)))
    tracemalloc.start()
    try:
        summarise(rounds)
        compare(rounds, rounds)
        assert tracemalloc.get_traced_memory()[1] < 20e6  # all draws at once take 64 MB, twice
    finally:
        tracemalloc.stop()


def test_of_the_longer_block_as_many_calls_are_compared_as_the_other_has() -> None:
    calls = 5 * (1 + np.abs(np.random.default_rng(0).normal(0, 0.1, (2, 200, 17))))
    for function in (compare, compare_apart):
        for own, other in ((1, 17), (17, 2)):
            estimate = function([block[:own] for block in calls[0]], [block[:other] for block in calls[1]])
            assert estimate.value == pytest.approx(1, abs=0.015)
            assert verdict(estimate) == "no difference shown"


def test_few_rounds_have_no_interval_and_show_no_difference() -> None:
    rounds = [np.full(3, 5)] * 7  # of which the least and the greatest hold a median at 98.4 % only
    assert summarise(rounds).median == Estimate(5.0, None, None)
    ratio = compare([block * 9 for block in rounds], rounds)
    assert ratio == Estimate(9.0, None, None)
    assert verdict(ratio) == "no difference shown"


def test_an_interval_within_one_percent_of_one_shows_no_difference() -> None:
    assert verdict(Estimate(1.005, 1.004, 1.006)) == "no difference shown"
    assert verdict(Estimate(1.02, 1.011, 1.03)) == "slower"
    assert verdict(Estimate(0.98, 0.97, 0.989)) == "faster"


def test_rounds_that_differ_in_number_are_not_compared() -> None:
    rounds = [np.full(3, 5)] * 8
    with pytest.raises(ValueError, match="8 rounds are compared with 1 of the reference"):
        compare(rounds, rounds[:1])
