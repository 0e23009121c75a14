"""What disturbed a measurement, in sentences: outliers, drift, throttling, other processes."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .events import Health
from .statistics import Rounds, p10

OUTLYING = 3.5  # modified z-score of Iglewicz and Hoaglin, "How to Detect and Handle Outliers" (1993)
SCALE = 0.6745  # of the median absolute deviation to a normal's standard deviation
MANY = 0.1  # share of outlying calls that is worth a sentence
SLOWED = 1.05  # last third of the rounds against the first
BUSY = 0.3  # cores' worth of others' work
BELOW, OFTEN = 1.25, 0.2  # a pulse against the shortest, share of the rounds
COOLED, HEATED = 0.95, 5.0  # share of the clock that is left, degrees gained


def outliers(rounds: Rounds) -> float:
    """The share of calls that took longer than their round's other calls let expect.

    Each is held against the median and deviation of its own round, so that drift makes none.
    """
    return float(np.mean(np.concatenate([_outlying(np.asarray(block, float)) for block in rounds])))


def slowdown(rounds_of_each: Sequence[Rounds]) -> float:
    """By what factor the last third of the rounds took longer than the first, median over configurations; 1 if few."""
    factors = []
    for rounds in rounds_of_each:
        third = len(rounds) // 3
        if third >= 2:
            fast = p10(rounds)
            factors.append(float(np.median(fast[-third:]) / np.median(fast[:third])))
    return float(np.median(factors)) if factors else 1.0


def disturbances(rounds_of_each: Mapping[str, Rounds], health: Sequence[Health]) -> Iterator[str]:
    """A sentence for whatever disturbed a target's measurement.

    Args:
        rounds_of_each: by the configurations' names.
        health: of the target, in the order of time.
    """
    for name, rounds in rounds_of_each.items():
        share = outliers(rounds)
        if share > MANY:
            yield f"{name}: {share:.0%} of the calls are outliers; medians and p10 bear that, p90 and p99 do not"
    factor = slowdown(list(rounds_of_each.values()))
    if factor > SLOWED:
        yield f"the machine slowed down by {factor - 1:.0%} from the first third to the last{_cause(health)}"
    elif factor < 1 / SLOWED:
        yield f"the machine got faster by {1 / factor - 1:.0%} from the first third to the last"
    others = [state.others for state in health if state.others is not None]
    if others and np.median(others) > BUSY:
        yield f"other processes used {np.median(others):.1f} cores meanwhile; latencies are too high, ratios are not"
    elif (share := slowed(health)) > OFTEN:
        yield (
            f"the processor was well below its own speed in {share:.0%} of the rounds, and no process here did it: its "
            "clock, or another tenant of the core; ratios of unlike work, as float32 to int8, differ from those at rest"
        )


def slowed(health: Sequence[Health]) -> float:
    """The share of the rounds in which the processor did fixed work clearly slower than at its best."""
    pulses = np.array([state.pulse_ns for state in health if state.pulse_ns], float)
    return float(np.mean(pulses > BELOW * pulses.min())) if len(pulses) else 0.0


def _outlying(block: NDArray[np.float64]) -> NDArray[np.bool_]:
    distance = block - np.median(block)
    deviation = max(float(np.median(np.abs(distance))), 1e-3 * float(np.median(block)))
    return SCALE * distance / deviation > OUTLYING


def _cause(health: Sequence[Health]) -> str:
    """Throttling, where clock or temperature show it."""
    third = max(1, len(health) // 3)
    clock = [_middle([state.frequency_mhz for state in part]) for part in (health[:third], health[-third:])]
    heat = [_middle([state.temperature_c for state in part]) for part in (health[:third], health[-third:])]
    if clock[0] and clock[1] and clock[1] < COOLED * clock[0]:
        degrees = f" at {heat[1]:.0f} degrees" if heat[1] is not None else ""
        return f": it was throttled, the clock fell from {clock[0]:.0f} to {clock[1]:.0f} MHz{degrees}"
    if heat[0] is not None and heat[1] is not None and heat[1] > heat[0] + HEATED:
        return f": it grew hotter, from {heat[0]:.0f} to {heat[1]:.0f} degrees"
    return ""


def _middle(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
