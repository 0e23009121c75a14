"""Two reports of the same configurations, on one machine at two times: what became slower."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from .statistics import Estimate, compare_apart, p10

FACTS = ("cpu", "machine", "cores", "governor", "system", "python")  # of a target that make another measurement
Key = tuple[str, str, int]


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

    @property
    def decided(self) -> bool:
        """Whether there were rounds enough for an interval."""
        return self.ratio.low is not None

    def slower_than(self, share: float) -> bool:
        """Whether its whole interval lies beyond 1 + share."""
        return self.ratio.low is not None and self.ratio.low > 1 + share


@dataclass(frozen=True)
class Comparison:
    """What two reports say together.

    Attributes:
        changes: of what they share.
        gone, added: labels of what the old or the new one alone has a latency of.
        differences: between the machines and the software, in sentences.
    """

    changes: tuple[Change, ...]
    gone: tuple[str, ...]
    added: tuple[str, ...]
    differences: tuple[str, ...]


def compare_reports(old: Mapping[str, Any], new: Mapping[str, Any], *, seed: int = 0) -> Comparison:
    """Two documents of report.as_json; configurations are told by file name, runner, settings and target.

    The two were not measured in the same rounds, so each one's rounds are drawn by themselves.

    Raises:
        InputError: they share none.
    """
    before, after = _by_name(old["measurements"]), _by_name(new["measurements"])
    shared = [key for key in after if key in before]
    if not shared:
        raise InputError(
            "the two reports share no configuration; measure again with the same file name, runner, settings and target"
        )
    return Comparison(
        tuple(_change(before[key], after[key], seed) for key in shared),
        tuple(key[0] for key in before if key not in after),
        tuple(key[0] for key in after if key not in before),
        tuple(dict.fromkeys((*_machines(old, new), *_software((before[key], after[key]) for key in shared)))),
    )


def _by_name(measurements: Sequence[Mapping[str, Any]]) -> dict[Key, Mapping[str, Any]]:
    """By label, target and how many of that name came before."""
    seen: Counter[tuple[str, str]] = Counter()
    found = {}
    for measurement in measurements:
        name = measurement["label"], measurement["target"]
        found[*name, seen[name]] = measurement
        seen[name] += 1
    return found


def _change(old: Mapping[str, Any], new: Mapping[str, Any], seed: int) -> Change:
    before, after = ([np.array(b) for b in m["samples"]["durations_ns"]] for m in (old, new))
    milliseconds = float(np.median(p10(before))) / 1e6, float(np.median(p10(after))) / 1e6
    return Change(new["label"], new["target"], *milliseconds, compare_apart(after, before, seed=seed))


def _machines(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for address, facts in new["environments"].items():
        before = old["environments"].get(address, {})
        for name in FACTS:
            if before.get(name) != facts.get(name):
                yield f"{address}: {name} was {before.get(name)}, is {facts.get(name)}"


def _software(pairs: Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Iterator[str]:
    for old, new in pairs:
        before, after = (dict((m["probe"] or {}).get("versions") or {}) for m in (old, new))
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                yield f"{new['target']}: {name} was {before.get(name)}, is {after.get(name)}"
