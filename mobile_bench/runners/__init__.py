"""What runs an artifact: each runner a file here, with the software it needs imported where it is used."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, one_line
from ..measure import TimedCalls, time_block
from ..order import Configuration


@dataclass(frozen=True)
class Tensor:
    """An input or output of a model; `scale` is 0 where it is not quantized."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0


@dataclass(frozen=True)
class Layer:
    """An operator of a profile: its type, a name that tells it from others of its type, its median time."""

    type: str
    name: str
    microseconds: float


@dataclass(frozen=True)
class Description:
    """What a runner is.

    Attributes:
        versions: of the software that runs the model, by name.
        device: on which it runs, in words.
        flags: what was switched on or off, in words by name.
        operators: the number of each type in the model, where it can be known.
        undelegated: those of them that run outside the delegate; None where there is no such thing.
        partitions: pieces that the delegate runs; one is best.
        arena_bytes: of activations, where they can be known.
        timed: whether its host time is a latency; of a simulator it is not, and no calls are measured.
        notes: what the reader of the report must know, a sentence each.
    """

    versions: dict[str, str]
    device: str
    flags: dict[str, str]
    operators: dict[str, int] = field(default_factory=dict)
    undelegated: dict[str, int] | None = None
    partitions: int | None = None
    arena_bytes: int | None = None
    timed: bool = True
    notes: tuple[str, ...] = ()


class Runner(Protocol):
    """A model with random inputs set, ready to be called.

    Its class is called with the path, and by keyword with `threads`, `seed` (of the inputs) and the options that its
    Kind names; it raises InputError, ValueError, RuntimeError or OSError where it cannot load the file. `invoke` does
    all of one inference and comes back when it is finished, on a GPU too. A runner may have
    `profile(runs: int) -> list[Layer]` as well: the median time of each operator.
    """

    inputs: tuple[Tensor, ...]

    def invoke(self) -> object:
        """Runs the model once on the inputs that are set."""
        ...

    def time_block(self, calls: int) -> TimedCalls:
        """Times so many calls in a row; see measure.time_block. The first are not discarded."""
        ...

    def outputs(self, inputs: Sequence[NDArray]) -> list[NDArray]:
        """The model's outputs for inputs of its own shapes and types; these inputs stay set."""
        ...

    def describe(self) -> Description:
        """What it is."""
        ...

    def close(self) -> None:
        """Frees it, worker processes included."""
        ...


class InProcess:
    """What runners share that are called in this process."""

    def invoke(self) -> object:
        raise NotImplementedError

    def time_block(self, calls: int) -> TimedCalls:
        return time_block(self.invoke, calls)

    def close(self) -> None:
        return None


@dataclass(frozen=True)
class Kind:
    """A runner by name.

    Attributes:
        where: module here and class in it.
        suffixes: of the files that it can run; it is the one chosen for those that come first with it.
        package: the module that runs the model, if it is one in Python.
        install: how to get it, in words.
        options: keyword arguments of the class beside path, threads and seed.
        patience: seconds to load a model and call it a few times; longer than what it waits for itself.
    """

    where: tuple[str, str]
    suffixes: tuple[str, ...]
    package: str | None
    install: str
    options: tuple[str, ...] = ()
    patience: int = 300


RUNNERS = {
    "litert": Kind(
        ("litert", "LiteRTRunner"),
        (".tflite",),
        "ai_edge_litert.interpreter",
        "pip install ai-edge-litert",
        ("xnnpack", "delegate"),
    ),
    "onnxruntime": Kind(
        ("onnxruntime", "OnnxRuntimeRunner"),
        (".onnx",),
        "onnxruntime",
        "pip install onnxruntime",
        ("provider", "batch"),
    ),
    "keras": Kind(
        ("keras", "KerasRunner"), (".keras",), "keras", "pip install keras", ("backend", "mode", "precision", "batch")
    ),
    "tensorrt": Kind(("tensorrt", "tensorrt_runner"), (".onnx",), None, "it comes with TensorRT", patience=4500),
    "web": Kind(("web", "WebRunner"), (".tflite",), None, "", ("accelerator", "litertjs", "install"), patience=900),
    "micro": Kind(("micro", "MicroRunner"), (".tflite",), "tflite_micro", "pip install tflite-micro", patience=900),
}
"""For a file, the first runner that takes its suffix is the default."""

OTHER_PROCESSES = {"keras", "tensorrt", "web", "micro"}  # which run models in one whose memory is not measured

WHEREABOUTS = {"litertjs", "install"}  # options that say where software is; they make no other measurement


def default_runner(path: Path) -> str:
    """The runner for a file.

    Raises:
        InputError: no runner takes such a file.
    """
    for name, kind in RUNNERS.items():
        if path.suffix in kind.suffixes:
            return name
    known = sorted({suffix for kind in RUNNERS.values() for suffix in kind.suffixes})
    raise InputError(f"{path}: no runner takes a {path.suffix or 'nameless'} file; give {', '.join(known)}")


def check(configuration: Configuration) -> None:
    """Raises InputError where the runner is unknown, takes no such file or option, or its software is absent."""
    kind = RUNNERS.get(configuration.runner)
    if kind is None:
        raise InputError(f"--runner {configuration.runner}: there is none of that name; give {', '.join(RUNNERS)}")
    path = configuration.artifact
    if path.suffix not in kind.suffixes:
        raise InputError(
            f"{path}: the runner {configuration.runner} takes {', '.join(kind.suffixes)} files; name another --runner"
        )
    unknown = set(configuration.options) - set(kind.options)
    if unknown:
        raise InputError(
            f"the runner {configuration.runner} has no option {', '.join(sorted(unknown))}; it has "
            f"{', '.join(kind.options) or 'none'}"
        )
    package = kind.package and kind.package.split(".")[0]
    if package is not None and find_spec(package) is None:
        raise InputError(f"the runner {configuration.runner} needs {package}, which is not there; {kind.install}")


def import_software(runner: str) -> None:
    """Imports what a runner runs models with in this process: loading it is not to be taken for loading a model.

    Raises:
        InputError: it is there and cannot be loaded.
    """
    package = RUNNERS[runner].package
    if package is None or runner in OTHER_PROCESSES:
        return
    try:
        import_module(package)
    except ImportError as error:
        raise InputError(
            f"{package} cannot be loaded here ({one_line(error)}); install it anew: {RUNNERS[runner].install}"
        ) from error


def open_runner(configuration: Configuration, *, seed: int = 0) -> Runner:
    """Loads the artifact.

    Raises:
        InputError: as `check`.
        ValueError, RuntimeError, OSError: the runner's software refuses the file.
    """
    check(configuration)
    module, name = RUNNERS[configuration.runner].where
    runner_class = getattr(import_module(f".{module}", __name__), name)
    opened: Runner = runner_class(
        configuration.artifact, threads=configuration.threads, seed=seed, **configuration.options
    )
    return opened


def random_inputs(inputs: Sequence[Tensor], seed: int) -> list[NDArray]:
    """A value for each input, drawn by the seed."""
    rng = np.random.default_rng(seed)
    return [random_input(tensor.shape, tensor.dtype, rng) for tensor in inputs]


def random_input(shape: Sequence[int], dtype: Any, rng: np.random.Generator) -> NDArray:
    """Standard normal floats, 8-bit integers over their whole range, other integers from 0 to 127, true and false.

    Raises:
        ValueError: another type.
    """
    try:
        kind: np.dtype[Any] = np.dtype(dtype)
    except TypeError as error:
        raise ValueError(f"it takes an input of type {dtype}, only numbers can be made up") from error
    if kind.kind == "f":
        return rng.standard_normal(shape).astype(kind)
    if kind in (np.int8, np.uint8):
        limits = np.iinfo(kind)
        return rng.integers(limits.min, limits.max, shape, kind, endpoint=True)
    if kind.kind in "iub":
        return rng.integers(0, 2 if kind.kind == "b" else 128, shape).astype(kind)
    raise ValueError(f"it takes an input of type {kind}, only numbers can be made up")
