"""Two reports of the same configurations, on one machine at two times: what became slower."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .statistics import LEVEL, MIN_ROUNDS, RESAMPLES, Estimate


@dataclass(frozen=True)
class Change:
    """A configuration in both reports.

    Attributes:
        old_ms, new_ms: median over the rounds of the tenth percentile.
        ratio: new to old, with its interval over the rounds of each.
    """

    label: str
    target: str
    old_ms: float
    new_ms: float
    ratio: Estimate

    def slower_than(self, share: float) -> bool:
        """Whether its whole interval lies beyond 1 + share."""
        return self.ratio.low is not None and self.ratio.low > 1 + share


def changes(old: Mapping[str, Any], new: Mapping[str, Any], *, seed: int = 0) -> list[Change]:
    """The configurations that two documents of report.as_json share, told by file name, runner, settings and target.

    The two were not measured in the same rounds, so each one's rounds are drawn by themselves.

    Raises:
        InputError: they share none.
    """
    before, after = _by_name(old["measurements"]), _by_name(new["measurements"])
    shared = [key for key in after if key in before]
    if not shared:
        raise InputError("the two reports share no configuration: same file name, runner, settings and target")
    return [_change(before[key], after[key], seed) for key in shared]


def _by_name(measurements: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, int], Mapping[str, Any]]:
    """By label, target and how many of that name came before."""
    seen: Counter[tuple[str, str]] = Counter()
    found = {}
    for measurement in measurements:
        name = measurement["label"], measurement["target"]
        found[*name, seen[name]] = measurement
        seen[name] += 1
    return found


def _change(old: Mapping[str, Any], new: Mapping[str, Any], seed: int) -> Change:
    before, after = (_p10(measurement["samples"]["durations_ns"]) for measurement in (old, new))
    milliseconds = float(np.median(before)) / 1e6, float(np.median(after)) / 1e6
    return Change(new["label"], new["target"], *milliseconds, _ratio(before, after, seed))


def _p10(blocks: list[list[int]]) -> NDArray[np.float64]:
    return np.array([np.quantile(block, 0.1, method="inverted_cdf") for block in blocks], float)


def _ratio(old: NDArray[np.float64], new: NDArray[np.float64], seed: int) -> Estimate:
    value = float(np.median(new) / np.median(old))
    if min(len(old), len(new)) < MIN_ROUNDS:
        return Estimate(value, None, None)
    rng = np.random.default_rng(seed)
    drawn = [np.median(p[rng.integers(0, len(p), (RESAMPLES, len(p)))], axis=1) for p in (old, new)]
    low, high = np.quantile(drawn[1] / drawn[0], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))
