"""Does a model run on a microcontroller: kernels, arena, flash, and the same answers as LiteRT's reference kernels."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..files import write
from .artifact import read_artifact
from .child import CrashError, answer, ask
from .runners import random_inputs
from .runners.micro import ARENA_HERE, BEHIND, WRONG, RefusalError, missing_kernels, run, wrong_relu6
from .tflite_file import Graph, has_data_behind, pack, read_graph, unpack

COMPARED = 4  # random inputs
REFERENCE_SECONDS = 900  # reference kernels are slow
REFERENCE_WRONG = {"SUM"}  # int8: LiteRT's reference kernel is the one that is wrong


@dataclass(frozen=True)
class MicroReport:
    """What TFLite-Micro makes of a model; None where it does not get so far.

    Attributes:
        flash_bytes: of the file; the code of the kernels comes on top.
        missing: operators without a kernel.
        wrong: tensors that it computes wrong without a word.
        behind: its weights stand behind the flatbuffer, where TFLite-Micro does not look; what is told of arena and
            outputs is then that of a copy with the weights inside.
        refused: why it does not run the model.
        arena_bytes: the smallest arena that will do, of which `activation_bytes` are reused from layer to layer.
        largest_difference: from LiteRT's reference kernels, in the outputs' own units (steps, where quantized), over
            `compared` random inputs; 0 is bit-equal.
        rounding: the difference that rounding explains: a step, or 1e-4 of the largest float.
        arena_limit, flash_limit: what was given to fit into.
    """

    path: Path
    flash_bytes: int
    operators: dict[str, int]
    missing: tuple[str, ...]
    wrong: tuple[str, ...]
    behind: bool = False
    refused: str | None = None
    arena_bytes: int | None = None
    activation_bytes: int | None = None
    persistent_bytes: int | None = None
    largest_difference: float | None = None
    rounding: float = 0.0
    compared: int = 0
    arena_limit: int | None = None
    flash_limit: int | None = None

    def problems(self) -> list[str]:
        """Why it does not fit, or cannot be trusted there, a sentence each; none where all is well."""
        found = [BEHIND] if self.behind else []
        found += [f"TFLite-Micro has no kernel for {name}" for name in self.missing]
        if self.refused is not None and not self.missing:
            found.append(self.refused)
        if self.arena_limit is not None and self.arena_bytes is not None and self.arena_bytes > self.arena_limit:
            found.append(
                f"it needs an arena of {self.arena_bytes:,} bytes, more than the {self.arena_limit:,} there are"
            )
        if self.flash_limit is not None and self.flash_bytes > self.flash_limit:
            found.append(
                f"the file has {self.flash_bytes:,} bytes, more than the {self.flash_limit:,} of flash there are"
            )
        found += [f"{name} is {WRONG}" for name in self.wrong]
        if (self.largest_difference or 0.0) > self.rounding and not (REFERENCE_WRONG & set(self.operators)):
            found.append(
                f"its outputs differ from LiteRT's reference kernels by up to {self.largest_difference:g} "
                "(one step where quantized is 1)"
            )
        return found

    def notes(self) -> list[str]:
        """What the reader must know beside."""
        known = [ARENA_HERE] if self.arena_bytes is not None else []
        doubtful = sorted(REFERENCE_WRONG & set(self.operators))
        if doubtful and self.largest_difference:
            known.append(
                f"{', '.join(doubtful)}: LiteRT's own reference kernel is wrong in int8, so equality says nothing"
            )
        return known


def check_micro(path: Path, *, arena: int | None = None, flash: int | None = None, seed: int = 0) -> MicroReport:
    """Runs the model in TFLite-Micro and compares it with LiteRT's reference kernels.

    Args:
        path: a .tflite file.
        arena, flash: bytes to fit into.
        seed: of the inputs.

    Raises:
        InputError: no such file, not a model, or TFLite-Micro is not installed.
    """
    if find_spec("tflite_micro") is None:
        raise InputError("TFLite-Micro is not installed; pip install 'keras-cnnzoo[micro]'")
    for name, limit in (("arena", arena), ("flash", flash)):
        if limit is not None and limit < 1:
            raise InputError(f"--{name} {limit}: give at least 1 byte, as in 256K or 1M")
    artifact, graph, behind = read_artifact(path), read_graph(path), has_data_behind(path)
    with tempfile.TemporaryDirectory() as folder:
        inside = write_inside(path, Path(folder) / "inside.tflite") if behind else path
        report = MicroReport(
            path, artifact.bytes, graph.histogram, tuple(missing_kernels(inside, graph)), tuple(wrong_relu6(graph)),
            behind, arena_limit=arena, flash_limit=flash,
        )  # fmt: skip
        return _run(report, inside, graph, seed)


def write_inside(path: Path, target: Path, *, force: bool = True) -> Path:
    """The model with all its weights inside the flatbuffer, where TFLite-Micro looks for them.

    Raises:
        InputError: no such file, not a model, or the target exists.
    """
    read_artifact(path)
    read_graph(path)
    return write(target, pack(unpack(path)), force=force)


def _run(report: MicroReport, path: Path, graph: Graph, seed: int) -> MicroReport:
    try:
        inputs = _stacked([random_inputs(graph.inputs, seed + number) for number in range(COMPARED)])
        done = run(path, inputs, graph)
        reference = reference_outputs(path, inputs)
    except (RefusalError, ValueError) as error:
        return replace(report, refused=str(error))
    return replace(
        report,
        arena_bytes=done.arena_bytes,
        activation_bytes=done.activation_bytes,
        persistent_bytes=done.persistent_bytes,
        compared=COMPARED,
        largest_difference=_difference(done.outputs, reference),
        rounding=max(_rounding(values) for values in reference),
    )


def reference_outputs(path: Path, inputs: Sequence[NDArray]) -> list[NDArray]:
    """LiteRT's reference kernels, in a process of their own, on inputs with the runs in front; outputs likewise.

    Raises:
        RefusalError: LiteRT does not run the model.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, taken = Path(folder) / "inputs.npz", Path(folder) / "outputs.npz"
        np.savez(given, *inputs)
        question = {"path": str(path), "inputs": str(given), "outputs": str(taken)}
        try:
            count = ask(__name__, json.dumps(question), seconds=REFERENCE_SECONDS)["count"]
        except (CrashError, TimeoutError) as error:
            raise RefusalError(f"LiteRT's reference kernels did not survive it ({error})") from error
        except RuntimeError as error:
            raise RefusalError(f"LiteRT's reference kernels refuse it ({error})") from error
        with np.load(taken) as archive:
            return [archive[f"arr_{index}"] for index in range(count)]


def _reference(question: dict[str, str]) -> dict[str, int]:
    """The other end of `reference_outputs`."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.BUILTIN_REF
    interpreter = Interpreter(model_path=question["path"], experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    with np.load(question["inputs"]) as archive:
        inputs = [archive[f"arr_{index}"] for index in range(len(archive.files))]
    results = []
    for number in range(len(inputs[0])):
        for detail, values in zip(interpreter.get_input_details(), inputs, strict=True):
            interpreter.set_tensor(detail["index"], values[number])
        interpreter.invoke()
        results.append([interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()])
    outputs = _stacked(results)
    np.savez(question["outputs"], *outputs)
    return {"count": len(outputs)}


def _stacked(runs: Sequence[Sequence[NDArray]]) -> list[NDArray]:
    return [np.stack(values) for values in zip(*runs, strict=True)]


def _rounding(values: NDArray) -> float:
    return 1.0 if values.dtype.kind in "iu" else 1e-4 * float(np.abs(np.nan_to_num(values)).max())


def _difference(outputs: Sequence[NDArray], reference: Sequence[NDArray]) -> float:
    """The largest; infinite where one is no number and the other is."""
    largest = 0.0
    for value, other in zip(outputs, reference, strict=True):
        if not np.array_equal(value, other, equal_nan=value.dtype.kind == "f"):
            difference = np.abs(value.astype(np.float64) - other.astype(np.float64))
            largest = max(largest, float(np.nan_to_num(difference, nan=np.inf).max()))
    return largest


if __name__ == "__main__":
    answer(_reference)
