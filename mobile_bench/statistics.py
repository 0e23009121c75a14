"""What latency samples say, and whether one configuration is really faster than another. Needs numpy alone.

Samples come in rounds: a round holds one block of calls of each configuration, one after the other. Calls of a block
share its luck (clock frequency, cache, neighbours), so the rounds are resampled, never the single calls, as in
T. Kalibera and R. Jones, "Rigorous Benchmarking in Reasonable Time" (ISMM 2013).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Rounds = Sequence[NDArray[np.int64]] | Sequence[NDArray[np.float64]]
"""One array of samples per round; their lengths may differ."""

Verdict = Literal["faster", "slower", "no difference shown"]

LEVEL = 0.99  # a percentile bootstrap of ten rounds covers some 2 points less than its nominal level
RESAMPLES = 2000
MIN_ROUNDS = 8  # from the least to the greatest of them a median lies at 1 - 2 / 2^8 = 99.2 %; of 7, at 98.4 %
RESOLUTION = 0.01  # the same network in two interpreters differs by as much: placement in memory, order of blocks
_CHUNK = 1 << 22  # numbers held at once while resampling


@dataclass(frozen=True)
class Estimate:
    """A value and its bootstrap interval, in the unit of the samples; None where the rounds are too few for one."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Summary:
    """Order statistics of all samples, in their unit. The interval of `min` bounds it from above only.

    Attributes:
        mad: median absolute deviation from the median.
    """

    min: Estimate
    p10: Estimate
    median: Estimate
    p90: Estimate
    p99: Estimate
    mad: float


QUANTILES = {"min": 0.0, "p10": 0.1, "median": 0.5, "p90": 0.9, "p99": 0.99}


def summarise(rounds: Rounds, *, seed: int = 0) -> Summary:
    """Minimum, 10th, 50th, 90th and 99th percentile of all samples with intervals over rounds, and their deviation.

    A quantile is the smallest sample that at least that share of the samples does not exceed.

    Raises:
        ValueError: no samples.
    """
    values = np.sort(np.concatenate([np.asarray(block, float) for block in rounds]))
    resampled = _resampled_quantiles(rounds, seed) if len(rounds) >= MIN_ROUNDS else None
    estimates = {}
    for index, (name, quantile) in enumerate(QUANTILES.items()):
        value = float(np.quantile(values, quantile, method="inverted_cdf"))
        estimates[name] = Estimate(value, *_interval(None if resampled is None else resampled[:, index]))
    deviation = float(np.median(np.abs(values - np.median(values))))
    return Summary(**estimates, mad=deviation)


def compare(rounds: Rounds, reference: Rounds, *, seed: int = 0) -> Estimate:
    """How long a configuration takes relative to a reference measured in the same rounds; below 1 is faster.

    The ratio is the median over rounds of p10 / p10 of the reference: what slows a whole round cancels, and the tenth
    percentile of a block is what the machine's other work disturbs least. Of the longer block of a round as many calls
    are taken as the other has: of few calls the tenth percentile is their minimum, of one that call.

    Rounds are drawn as if they were independent; those that share a load of the model are less so, and the interval of
    a model that is dear to load is narrower for it.

    Raises:
        ValueError: the numbers of rounds differ.
    """
    if len(rounds) != len(reference):
        raise ValueError(f"{len(rounds)} rounds are compared with {len(reference)} of the reference; give as many")
    lengths = [min(len(own), len(other)) for own, other in zip(rounds, reference, strict=True)]
    ratios = p10(_cut(rounds, lengths)) / p10(_cut(reference, lengths))
    if len(ratios) < MIN_ROUNDS:
        return Estimate(float(np.median(ratios)), None, None)
    return Estimate(float(np.median(ratios)), *_interval(_medians(ratios, np.random.default_rng(seed))))


def compare_apart(rounds: Rounds, reference: Rounds, *, seed: int = 0) -> Estimate:
    """The same where the two were not measured in the same rounds: the ratio of the medians of p10.

    The rounds of each are drawn by themselves, so what the machine did between the two is in the interval's value. Of
    each round as many calls are taken as the shortest has.
    """
    shortest = min(map(len, (*rounds, *reference)))
    own, other = (p10(_cut(side, [shortest] * len(side))) for side in (rounds, reference))
    value = float(np.median(own) / np.median(other))
    if min(len(own), len(other)) < MIN_ROUNDS:
        return Estimate(value, None, None)
    rng = np.random.default_rng(seed)
    denominators = _medians(other, rng)
    return Estimate(value, *_interval(_medians(own, rng) / denominators))


def verdict(ratio: Estimate) -> Verdict:
    """What the ratio's interval supports: it has to lie beyond 1 by more than RESOLUTION as a whole."""
    if ratio.high is not None and ratio.high < 1 / (1 + RESOLUTION):
        return "faster"
    if ratio.low is not None and ratio.low > 1 + RESOLUTION:
        return "slower"
    return "no difference shown"


def p10(rounds: Rounds) -> NDArray[np.float64]:
    """The tenth percentile of each round."""
    return np.array([np.quantile(block, QUANTILES["p10"], method="inverted_cdf") for block in rounds], float)


def _cut(rounds: Rounds, lengths: Sequence[int]) -> list[NDArray[Any]]:
    return [block[:length] for block, length in zip(rounds, lengths, strict=True)]


def _medians(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """RESAMPLES medians of values drawn with replacement."""
    draws = (rng.integers(0, len(values), (rows, len(values))) for rows in _chunks(len(values)))
    return np.concatenate([np.median(values[chosen], axis=1) for chosen in draws])


def _resampled_quantiles(rounds: Rounds, seed: int) -> NDArray[np.float64]:
    """QUANTILES of the pooled samples of rounds drawn with replacement, shape (RESAMPLES, len(QUANTILES))."""
    values = np.concatenate([np.asarray(block, float) for block in rounds])
    order = np.argsort(values, kind="stable")
    owner = np.repeat(np.arange(len(rounds)), [len(block) for block in rounds])[order]
    ascending, rng, even = values[order], np.random.default_rng(seed), np.full(len(rounds), 1 / len(rounds))
    draws = (rng.multinomial(len(rounds), even, rows) for rows in _chunks(len(values)))
    return np.concatenate([_weighted_quantiles(ascending, weights[:, owner]) for weights in draws])


def _chunks(length: int) -> Iterator[int]:
    """RESAMPLES rows of so many numbers in parts that hold at most _CHUNK of them, or a row."""
    rows = max(1, _CHUNK // length)
    yield from (min(rows, RESAMPLES - start) for start in range(0, RESAMPLES, rows))


def _weighted_quantiles(ascending: NDArray[np.float64], weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """QUANTILES of values, each counted as often as its weight says; weights of shape (rows, values)."""
    reached = np.cumsum(weights, axis=1)
    wanted = (np.maximum(quantile * reached[:, -1:], 1) for quantile in QUANTILES.values())
    return np.stack([ascending[(reached >= count).argmax(axis=1)] for count in wanted], axis=1)


def _interval(resampled: NDArray[np.float64] | None) -> tuple[float | None, float | None]:
    if resampled is None:
        return None, None
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
