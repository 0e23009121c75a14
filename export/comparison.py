"""Verification's answers as a job that any process can do: what to run is named, not held."""

from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from pathlib import Path

from ..preprocessing import Preprocessing
from .runners import Runner, is_artifact, read_artifact, runner
from .verify import Answers, Pictures, both


@dataclass(frozen=True)
class Comparison:
    """The answers of a file and of what it is compared with, to a part of the images.

    Args:
        file: the .tflite or .onnx file.
        against: a network's name, a model's file, or another artifact.
        weights: of a network by name.
        settings: its builder's options, KEY=VALUE.
        prepare: the file's preprocessing.
        prepare_model: the other's.
    """

    file: str | PathLike[str]
    against: str
    weights: str | None
    settings: tuple[str, ...]
    prepare: Preprocessing
    prepare_model: Preprocessing

    def __call__(self, part: Pictures) -> Answers:
        reference = opened(self.against, self.weights, self.settings)
        return both(opened(str(self.file)), reference, self.prepare, self.prepare_model)(part)


@lru_cache(maxsize=2)
def opened(source: str, weights: str | None = None, settings: tuple[str, ...] = ()) -> Runner:
    """A file or a network as a runner; a process keeps the two that it compares."""
    if is_artifact(source):
        return runner(source, *read_artifact(Path(source)))
    from .runners import KerasRunner
    from .sources import load

    return KerasRunner(load(source, weights, list(settings))[0])
