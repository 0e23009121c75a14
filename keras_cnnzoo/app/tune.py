"""Tries combinations of lowering passes on this machine, a board or a phone: which file is the fastest."""

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..export.calibration import Calibration
from ..export.emit import emit, without_rule
from ..export.graph import from_keras
from ..export.interpreter import LiteRT
from ..export.lowering import lower
from ..export.lowering.accuracy import SQNR_LOSS, sqnr
from ..export.lowering.guard import Lowered, lower_under
from ..export.lowering.parity import Parity
from ..export.lowering.passes import NAMES, PASSES, Pass, choose
from ..export.origin import Origin
from ..export.schemes import Quantization, Scheme
from ..export.tflite import emitted, to_tflite
from ..mobile_bench import Estimate, benchmark, verdict
from ..mobile_bench.targets import Settings
from ..mobile_bench.targets import target as target_at

if TYPE_CHECKING:
    import keras

COMPARED, RUNS = 16, 60  # calibration inputs that the int8 files answer, kept calls of each file
Names = tuple[str, ...]
Measure = Callable[[Sequence[Path]], list[Estimate]]
"""Latency of each file relative to the first, whose own is 1."""
ITSELF = Estimate(1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Trial:
    """One combination and its latency relative to the best before it; no bounds where the rounds were too few."""

    passes: Names
    ratio: float
    low: float | None
    high: float | None
    kept: bool


@dataclass(frozen=True)
class Tuned:
    """The fastest combination found, and what was tried.

    Args:
        passes: of the fastest.
        ratio: its latency relative to the file without a pass of choice.
        low: of the ratio.
        high: of the ratio.
        trials: in their order.
        complete: whether the budget was enough for all.
        undone: passes and combinations that took no part since they change answers, and how.
    """

    passes: Names
    ratio: float
    low: float | None
    high: float | None
    trials: tuple[Trial, ...]
    complete: bool
    undone: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def connected(target: str, remote_python: str | None, benchmark_model: str | None, ssh_config: str | None) -> Settings:
    """How a target is reached; refuses an address that is none before any work."""
    settings = Settings(False, remote_python, benchmark_model, ssh_config)
    target_at(target, settings)
    return settings


def measuring(target: str = "local", connection: Settings | None = None, *, threads: int = 1) -> Measure:
    """Measures through the bench.

    Args:
        target: local, ssh://user@host[:port] or adb://serial.
        connection: for targets elsewhere.
        threads: of the interpreter.
    """

    def measure(paths: Sequence[Path]) -> list[Estimate]:
        report = benchmark(paths, threads=(threads,), runs=RUNS, targets=(target,), connection=connection)
        if report.unmeasured:
            raise InputError(report.unmeasured[0].reason or f"{report.unmeasured[0].label} has no latency there")
        return [m.ratio or ITSELF for m in report.measurements]

    return measure


def tune_model(
    model: "keras.Model",
    *,
    budget: float,
    scheme: Scheme = "float32",
    measure: Measure | None = None,
    step: Callable[[float], object] = lambda seconds: None,
) -> Tuned:
    """Finds the passes that make the file fastest: none, auto and all first, then the best of them with one changed.

    A challenger takes the place only where the bench's verdict is "faster". Passes that change an answer in float32 are
    undone by the guard, and an int8 file, calibrated with noise, whose answers to it lose more than a decibel to those
    of the file without passes takes no part. Of combinations that come to the same file one is measured.

    Args:
        model: functional, one input, whose layers the emitter knows.
        budget: seconds of measuring, to which making the files is not counted; a measurement under way is finished.
        scheme: of the files.
        measure: on which machine; this one unless given.
        step: told the seconds of measuring.

    Raises:
        InputError: several inputs; a layer that only TensorFlow's converter can write; a target that cannot be reached
            or is lost.
    """
    search = _Search(model, scheme, measure or measuring(), budget, step)
    with tempfile.TemporaryDirectory() as folder:
        return search.run(Path(folder))


def keep(model: "keras.Model", passes: Names, path: Path, scheme: Scheme, origin: Origin, *, force: bool) -> None:
    """Writes the file of a search without calibration data, and its card. Errors are those of `to_tflite`."""
    data = _noise(model) if scheme == "int8" else None
    to_tflite(model, path, quantize=scheme, calibration=data, lower=passes or "none", origin=origin, force=force)


def _noise(model: "keras.Model") -> Calibration:
    return Calibration.noise(2, tuple(model.inputs[0].shape[1:]))


@dataclass(frozen=True)
class _File:
    """Of a combination; `passes` are those that did something."""

    path: Path
    passes: Names


class _Search:
    def __init__(
        self,
        model: "keras.Model",
        scheme: Scheme,
        measure: Measure,
        budget: float,
        step: Callable[[float], object],
    ) -> None:
        self.graph, self.scheme = from_keras(model), scheme
        if len(self.graph.inputs) != 1:
            raise InputError(f"{model.name} has {len(self.graph.inputs)} inputs; networks of one are tuned")
        self.check, self.data = Parity.of(model), _noise(model)
        self.measure, self.left, self.step = measure, budget, step
        self.kept: Names = ()  # the best so far as it was asked for: some of it may find nothing to do
        self.seen: set[bytes] = set()  # digests of files
        self.reached: list[float] = []  # decibels of int8 files, the plain one's first
        self.undone: dict[str, str] = {}

    def run(self, folder: Path) -> Tuned:
        whole = self._lowered(NAMES)
        missing = without_rule(whole.graph)
        if missing:
            raise InputError(
                f"{self.graph.name}: no rule for {missing[0].op}, so there is nothing to choose from; export it untuned"
            )
        found = tuple(name for name in NAMES if name in whole.passes or name in self._alone(name))
        plain = self._file(folder, ())
        if plain is None:
            raise InputError(
                f"{self.graph.name}: {self.undone['none']}, so there is nothing to compare with; tune it in float32"
            )
        best, trials, complete = plain, [], True
        for asked in self._challengers(found):
            if self.left <= 0:
                complete = False
                break
            challenger = self._file(folder, asked)
            if challenger is None:
                continue
            ratio = self._compared(challenger, best)
            faster = verdict(ratio) == "faster"
            trials.append(Trial(challenger.passes, ratio.value, ratio.low, ratio.high, faster))
            if faster:
                best, self.kept = challenger, asked
        ratio = ITSELF if best is plain else self._compared(best, plain)
        return Tuned(best.passes, ratio.value, ratio.low, ratio.high, tuple(trials), complete, self.undone)

    def _compared(self, file: _File, reference: _File) -> Estimate:
        start = time.perf_counter()
        _, ratio = self.measure([reference.path, file.path])
        seconds = time.perf_counter() - start
        self.left -= seconds
        self.step(seconds)
        return ratio

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

    def _lowered(self, asked: Names) -> Lowered:
        lowered = lower_under(self.graph, _passes(asked), self.check)
        if lowered.fault:
            raise InputError(
                f"{self.graph.name}: {lowered.fault}; its files are TensorFlow's, and there is nothing to tune"
            )
        self.undone |= {step.name: step.fault or "" for step in lowered.undone}
        return lowered

    def _alone(self, name: str) -> list[str]:
        """What does something where the pass is the only one of choice: another may leave it nothing to do."""
        return lower_under(self.graph, _passes((name,))).passes

    def _file(self, folder: Path, asked: Names) -> _File | None:
        """The combination's file; None where it was made before, or answers worse."""
        lowered = self._lowered(asked)
        passes = tuple(name for name in lowered.passes if name in NAMES)
        path = folder / f"{'_'.join(passes) or 'none'}.tflite"
        if path.exists():
            return None
        plain = Quantization(self.scheme, corrections=())  # what passes cost shows best where nothing is mended
        content = emitted(lowered.graph, plain, self.data if self.scheme == "int8" else None)
        path.write_bytes(content)
        digest = hashlib.sha256(content).digest()
        if digest in self.seen:
            return None
        self.seen.add(digest)
        if fault := self._fault(content):
            self.undone[", ".join(passes) or "none"] = fault
            return None
        return _File(path, passes)

    def _fault(self, content: bytes) -> str | None:
        """What an int8 file loses to the plain one, where it is too much."""
        if self.scheme != "int8":
            return None
        self.reached.append(sqnr(self._expected, _joined(LiteRT(content)(self.data.inputs[:COMPARED]))))
        loss = self.reached[0] - self.reached[-1]
        return f"the int8 answers lose {loss:.1f} dB" if loss > SQNR_LOSS else None

    @cached_property
    def _expected(self) -> np.ndarray:
        return _joined(LiteRT(emit(lower(self.graph)))(self.data.inputs[:COMPARED]))


def _passes(asked: Names) -> list[Pass]:
    return [p for p in PASSES if p.canonical or p.name in asked]


def _joined(outputs: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([output.ravel() for output in outputs])
