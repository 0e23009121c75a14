"""What the seeds say of a claim: the mean effect with its interval, and a word for it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from .framework import Claim, Rows

Word = Literal["confirmed", "counted", "not shown", "contradicted"]
LEVEL = 0.95
# Student's t at 97.5 % for 1 to 9 degrees of freedom; beyond them its expansion in the normal quantile is exact to 1e-3
FEW = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622)


@dataclass(frozen=True)
class Verdict:
    """A claim's statistic.

    Args:
        says: the claim.
        word: "confirmed" where the whole interval lies above 0, "contradicted" where it lies below, else "not shown";
            "counted" where it holds and no chance is in it.
        effect: mean over the seeds, in `unit`; None where no seed says anything.
        low: of its 95 % interval by Student's t; None for fewer than two seeds, and for what is counted.
        high: the same.
        seeds: those that say something.
        silent: those that do not: a network into which the lab looks diverged, or learned nothing.
        unit: of the effect.
    """

    says: str
    word: Word
    effect: float | None
    low: float | None
    high: float | None
    seeds: int
    silent: int
    unit: str


def decide(claim: Claim, rows: Rows) -> Verdict:
    """The claim's verdict over all seeds that the rows have."""
    found = [claim.effect(rows.where(seed=seed)) for seed in rows.distinct("seed")]
    effects = [effect for effect in found if math.isfinite(effect)]
    mean = float(np.mean(effects)) if effects else None
    low, high = (None, None) if claim.counted else interval(effects)
    said = word(low, high)
    if claim.counted and mean is not None:
        said = "counted" if mean > 0 else "contradicted"
    return Verdict(claim.says, said, mean, low, high, len(effects), len(found) - len(effects), claim.unit)


def word(low: float | None, high: float | None) -> Word:
    """What an interval says of an effect above 0."""
    if low is None or high is None or low <= 0 <= high:
        return "not shown"
    return "confirmed" if low > 0 else "contradicted"


def interval(effects: Sequence[float]) -> tuple[float | None, float | None]:
    """The 95 % interval of the mean of independent effects, by Student's t; none of fewer than two."""
    if len(effects) < 2 or not np.isfinite(effects).all():
        return None, None
    mean = float(np.mean(effects))
    reach = student(len(effects) - 1) * float(np.std(effects, ddof=1)) / math.sqrt(len(effects))
    return mean - reach, mean + reach


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t (Abramowitz and Stegun, 26.7.5)."""
    if freedom <= len(FEW):
        return FEW[freedom - 1]
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))
