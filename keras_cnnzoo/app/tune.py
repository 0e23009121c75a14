"""Tries combinations of lowering passes on this machine, a board or a phone, and keeps the fastest file."""

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..export.calibration import Calibration
from ..export.emit import without_rule
from ..export.graph import Graph, from_keras
from ..export.lowering.guard import lower_under
from ..export.lowering.parity import Parity
from ..export.lowering.passes import CANONICAL, NAMES, PASSES, choose
from ..export.schemes import Scheme
from ..export.tflite import emitted
from ..mobile_bench import Estimate, benchmark
from ..mobile_bench.targets import Settings
from ..mobile_bench.targets import target as target_at

if TYPE_CHECKING:
    import keras

Names = tuple[str, ...]
Measure = Callable[[Sequence[Path]], list[tuple[float, float, float]]]
"""Latency of each file relative to the first, with its interval: (value, low, high); the first is (1, 1, 1)."""


@dataclass(frozen=True)
class Trial:
    """One combination and its latency relative to the best before it."""

    passes: Names
    ratio: float
    low: float
    high: float
    kept: bool


@dataclass(frozen=True)
class Tuned:
    """The fastest combination found, what was tried, and how it compares with no pass at all (latency ratio)."""

    passes: Names
    ratio: float
    trials: tuple[Trial, ...]
    complete: bool
    undone: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def seconds_of(budget: str) -> float:
    """ "90", "90s" and "1.5m" as seconds.

    Raises:
        InputError: no such time.
    """
    number, unit = (budget[:-1], budget[-1]) if budget[-1:] in ("s", "m") else (budget, "s")
    try:
        seconds = float(number) * (60 if unit == "m" else 1)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise InputError(f"--budget {budget}: give a time such as 60s or 2m")
    return seconds


def _bounded(ratio: Estimate | None) -> tuple[float, float, float]:
    """A ratio and its interval: 1 for the reference itself, without bounds where the rounds were too few for any."""
    if ratio is None:
        return 1.0, 1.0, 1.0
    low, high = ratio.low, ratio.high
    return ratio.value, 0.0 if low is None else low, math.inf if high is None else high


def load(source: str, weights: str | None, settings: Sequence[str]) -> "keras.Model":
    """The network that the command line names."""
    from ..export import sources

    return sources.load(source, weights, settings)[0]


def connected(target: str, remote_python: str | None, benchmark_model: str | None, ssh_config: str | None) -> Settings:
    """How a target is reached; refuses an address that is none before any work."""
    settings = Settings(False, remote_python, benchmark_model, ssh_config)
    target_at(target, settings)
    return settings


def measuring(
    target: str = "local", connection: Settings | None = None, *, threads: int = 1, runs: int = 60
) -> Measure:
    """Measures through the bench.

    Args:
        target: local, ssh://user@host[:port] or adb://serial.
        connection: for targets elsewhere.
        threads: of the interpreter.
        runs: kept calls of each file.
    """

    def measure(paths: Sequence[Path]) -> list[tuple[float, float, float]]:
        report = benchmark(paths, threads=(threads,), runs=runs, targets=(target,), connection=connection)
        if report.unmeasured:
            raise InputError(report.unmeasured[0].reason or f"{report.unmeasured[0].label} has no latency there")
        return [_bounded(m.ratio) for m in report.measurements]

    return measure


def tune_model(
    model: "keras.Model",
    *,
    budget: float,
    scheme: Scheme = "float32",
    calibration: Calibration | None = None,
    measure: Measure | None = None,
    step: Callable[[float], object] = lambda seconds: None,
) -> Tuned:
    """Finds the passes that make the file fastest: none, auto and all first, then the best of them with one changed.

    A challenger takes the place only where the whole interval of its latency ratio to the best lies below 1. Passes
    that change an answer are undone by the guard and take no part.

    Args:
        model: functional, one input, whose layers the emitter knows.
        budget: seconds; a measurement under way is finished.
        scheme: of the files.
        calibration: for int8; noise unless given.
        measure: on which machine; this one unless given.
        step: told the seconds spent.

    Raises:
        InputError: a layer that only TensorFlow's converter can write; a target that cannot be reached or is lost.
    """
    search = _Search(model, scheme, calibration, measure or measuring(), time.perf_counter() + budget, step)
    with tempfile.TemporaryDirectory() as folder:
        return search.run(Path(folder))


class _Search:
    def __init__(
        self,
        model: "keras.Model",
        scheme: Scheme,
        calibration: Calibration | None,
        measure: Measure,
        deadline: float,
        step: Callable[[float], object],
    ) -> None:
        self.graph, self.check, self.scheme = from_keras(model), Parity.of(model, calibration), scheme
        self.data = calibration or Calibration.noise(2, tuple(model.inputs[0].shape[1:]))
        self.measure, self.deadline, self.step = measure, deadline, step
        self.trials: list[Trial] = []
        self.kept: Names = ()  # the best so far

    def run(self, folder: Path) -> Tuned:
        lowered = lower_under(self.graph, PASSES, self.check)
        missing = without_rule(lowered.graph)
        if missing:
            raise InputError(f"{self.graph.name}: no rule for {missing[0].op}, so there is nothing to choose from")
        found = tuple(name for name in lowered.passes if name in NAMES)
        plain = best = self._file(folder, ())
        complete = True
        for passes in self._challengers(found):
            if time.perf_counter() > self.deadline:
                complete = False
                break
            challenger = self._file(folder, passes)
            start = time.perf_counter()
            _, (ratio, low, high) = self.measure([best, challenger])
            self.step(time.perf_counter() - start)
            self.trials.append(Trial(passes, ratio, low, high, high < 1))
            if high < 1:
                best, self.kept = challenger, passes
        ratio = self.measure([plain, best])[1][0] if self.kept else 1.0
        undone = {step.name: step.fault or "" for step in lowered.undone}
        return Tuned(self.kept, ratio, tuple(self.trials), complete, undone)

    def _challengers(self, found: Names) -> Iterator[Names]:
        """Each combination once; those around the best follow it as it moves."""
        auto = {p.name for p in choose("auto", self.scheme)}
        seen: set[Names] = {()}
        for first in (tuple(n for n in found if n in auto), found):
            if first not in seen:
                seen.add(first)
                yield first
        moved = True
        while moved:
            before = self.kept
            for name in found:
                around = tuple(n for n in found if (n in self.kept) != (n == name))
                if around not in seen:
                    seen.add(around)
                    yield around
            moved = self.kept != before

    def _file(self, folder: Path, passes: Names) -> Path:
        chosen = [p for p in PASSES if p in CANONICAL or p.name in passes]
        graph: Graph = lower_under(self.graph, chosen, self.check).graph
        path = folder / f"{'_'.join(passes) or 'none'}.tflite"
        if not path.exists():
            path.write_bytes(emitted(graph, self.scheme, self.data if self.scheme == "int8" else None))
        return path
