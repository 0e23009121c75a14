"""Runs a .tflite file through TFLite-Micro on this machine: what a microcontroller would answer, and what it needs.

Its kernels here are the portable C++ ones. They answer as those of a microcontroller do, but their time says nothing
about one. Each run happens in a process of its own, which takes the blow where a small arena crashes TFLite-Micro.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..environment import package_version
from ..measure import TimedCalls
from ..tflite_file import Graph, has_data_behind, operator_names, pack, read_graph, unpack
from . import Description, random_inputs

PROGRAM = Path(__file__).with_name("micro_process.py")
TIMEOUT_SECONDS = 600
FIRST_ARENA, LAST_ARENA = 16 << 20, 1 << 30  # bytes; tried by fours
NO_LATENCY = "TFLite-Micro ran on this machine with its portable kernels: its time is no latency of a microcontroller"
ARENA_HERE = (
    "the arena was measured on a 64-bit host; its persistent part is likely smaller on a 32-bit microcontroller, and "
    "the scratch memory of optimised kernels (CMSIS-NN) is not in it"
)


class RefusalError(RuntimeError):
    """Why TFLite-Micro does not run a model; `small` where only the arena was too small."""

    def __init__(self, reason: str, *, small: bool = False) -> None:
        super().__init__(reason)
        self.small = small


@dataclass(frozen=True, eq=False)
class Run:
    """What came of some runs.

    Attributes:
        outputs: an array per output, the runs in front.
        arena_bytes: the smallest arena that will do; of it activations (shared) and what stays (persistent).
    """

    outputs: list[NDArray]
    arena_bytes: int
    activation_bytes: int
    persistent_bytes: int


class MicroRunner:
    """A model with random inputs set; see runners.Runner."""

    def __init__(self, path: str | os.PathLike[str], *, threads: int = 1, seed: int = 0) -> None:
        self.path, self.graph = Path(path), read_graph(Path(path))
        if has_data_behind(self.path):
            raise InputError(f"{path}: {BEHIND}")
        if threads != 1:
            raise InputError(f"{threads} threads: TFLite-Micro has one; measure it with --threads 1")
        self.inputs = self.graph.inputs
        self._set = random_inputs(self.inputs, seed)
        self.last: Run | None = None

    def invoke(self) -> None:
        self.outputs(self._set)

    def time_block(self, calls: int) -> TimedCalls:
        raise RuntimeError(NO_LATENCY)

    def outputs(self, inputs: Sequence[NDArray]) -> list[NDArray]:
        self._set = list(inputs)
        self.last = run(self.path, [value[None] for value in inputs], self.graph)
        return [value[0] for value in self.last.outputs]

    def describe(self) -> Description:
        done = self.last or run(self.path, [value[None] for value in self._set], self.graph)
        wrong = tuple(wrong_relu6(self.graph))
        return Description(
            versions={"tflite-micro": package_version("tflite-micro") or "unknown"},
            device="TFLite-Micro on this host",
            flags={"kernels": "portable"},
            operators=self.graph.histogram,
            arena_bytes=done.arena_bytes,
            timed=False,
            notes=(NO_LATENCY, ARENA_HERE, *(f"{name}: {WRONG}" for name in wrong)),
        )

    def close(self) -> None:
        return None


WRONG = "a RELU6 of its own whose input and output scales differ: TFLite-Micro answers wrong there, without a word"


BEHIND = (
    "its weights stand behind the flatbuffer, where TFLite-Micro does not look: it takes what is in its arena for "
    "them, without a word; write them inside with cnnzoo-bench micro FILE --inside NEW.tflite"
)


def run(path: Path, inputs: Sequence[NDArray], graph: Graph) -> Run:
    """Runs the model on inputs that have the runs in front, in an arena that is as large as it takes.

    Raises:
        RefusalError: an operator without a kernel, an arena beyond LAST_ARENA, or a crash.
    """
    arena = FIRST_ARENA
    while True:
        try:
            return run_in(path, inputs, arena, len(graph.outputs))
        except RefusalError as error:
            if not error.small or arena >= LAST_ARENA:
                raise
            arena *= 4


def run_in(path: Path, inputs: Sequence[NDArray], arena: int, outputs: int) -> Run:
    """The same in an arena of so many bytes, which may be too small; the model has so many outputs."""
    with tempfile.TemporaryDirectory() as folder:
        given, taken = Path(folder) / "inputs.npz", Path(folder) / "outputs.npz"
        np.savez(given, *inputs)
        code, errors = _process(path, given, taken, outputs, arena)
        if code != 0:
            raise _refusal(code, errors, arena)
        with np.load(taken) as archive:
            results = [archive[f"arr_{index}"] for index in range(outputs)]
    return Run(results, *(_allocated(errors, what) for what in ("total", "head", "tail")))


def _process(path: Path, given: Path, taken: Path, outputs: int, arena: int) -> tuple[int, str]:
    command = [sys.executable, str(PROGRAM), *map(str, (path, given, taken, outputs, arena))]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RefusalError(f"TFLite-Micro did not run it within {TIMEOUT_SECONDS} s") from error
    return done.returncode, done.stderr


def _refusal(code: int, errors: str, arena: int) -> RefusalError:
    missing = re.search(r"Didn't find op for builtin opcode '(\w+)'", errors)
    if missing:
        return RefusalError(f"TFLite-Micro has no kernel for {missing[1]}")
    if "ModuleNotFoundError" in errors:
        return RefusalError(
            f"TFLite-Micro cannot be loaded ({errors.strip().splitlines()[-1]}); pip install tflite-micro"
        )
    if re.search(r"Failed to resize buffer|Failed to allocate (?!tensors)", errors):
        return RefusalError(f"an arena of {arena} bytes is too small", small=True)
    if code == -signal.SIGSEGV:
        return RefusalError(f"TFLite-Micro crashed with an arena of {arena} bytes", small=arena < 1 << 12)
    lines = [line for line in errors.strip().splitlines() if line.strip() and not line.startswith(" ")] or [
        f"code {code}"
    ]
    told = next((line for line in lines if re.search(r"\.cc|only supports|failed|not supported", line)), lines[-1])
    return RefusalError(f"TFLite-Micro refuses it ({' '.join(told.split())[:200]})")


def _allocated(errors: str, what: str) -> int:
    found = re.search(rf"Arena allocation {what} (\d+) bytes", errors)
    if found is None:
        raise RefusalError("TFLite-Micro does not tell how much of its arena it used; another version of it is needed")
    return int(found[1])


def wrong_relu6(graph: Graph) -> list[str]:
    """Outputs of the RELU6 operators that TFLite-Micro gets wrong: int8, on their own, scale or zero point changed.

    Its kernel clips and copies, it does not rescale (tensorflow/lite/micro/kernels/activations_common.cc).
    """
    return [
        operator.output_name
        for operator in graph.operators
        if operator.name == "RELU6"
        and operator.dtype == "int8"
        and (operator.scales[0] != operator.scales[1] or operator.zero_points[0] != operator.zero_points[1])
    ]


def missing_kernels(path: Path, graph: Graph) -> list[str]:
    """Names of the operators that TFLite-Micro has no kernel for.

    It names the first one only, so that one is turned into an ADD in a copy of the file, until it finds all.
    """
    from ai_edge_litert import schema_py_generated as schema

    found = [operator.name for operator in graph.operators if operator.name.startswith("custom ")]
    model, names = unpack(path), operator_names(schema)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.tflite"
        for _ in graph.histogram:
            np.savez(Path(folder) / "none.npz", np.zeros(0))
            copy.write_bytes(pack(model))
            _, errors = _process(copy, Path(folder) / "none.npz", Path(folder) / "out.npz", 0, FIRST_ARENA)
            missing = re.search(r"Didn't find op for builtin opcode '(\w+)'", errors)
            if missing is None:
                break
            found.append(missing[1])
            for code in model.operatorCodes:
                if names.get(max(code.builtinCode, code.deprecatedBuiltinCode)) == missing[1]:
                    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ADD
                    code.version = 1
    return list(dict.fromkeys(found))
