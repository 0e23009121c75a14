"""An ONNX file for TensorRT 10 and 11: fp16 or Q/DQ, its rules checked, and what builds the engine beside it.

TensorRT itself has never run here: the numbers are proven in ONNX Runtime, the rules by `check_qdq`, and the code that
builds and times an engine against a small fake of the module's interface.
"""

import importlib.util
import shlex
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from ...errors import InputError
from ...files import refuse_overwrite, write
from ..calibration import Calibration
from ..card import Card
from ..origin import UNKNOWN, Origin
from ..schemes import Quantization, quantization
from ..tflite import Phase, silent
from .check import check_qdq
from .conversion import to_onnx
from .options import OnnxBoundary, OnnxScheme

if TYPE_CHECKING:
    import keras

SCHEMES = ("float32", "float16", "int8")
SCRIPT = "build_engine.py"
NEVER = "TensorRT itself has never run here"


@dataclass(frozen=True)
class Prepared:
    """What stands beside the file.

    Args:
        card: of the ONNX file.
        script: builds the engine and times it.
        commands: the same by NVIDIA's own tools, and a comparison with ONNX Runtime.
        engine: of this machine, where `tensorrt` is installed.
        median_ms: of its runs.
    """

    card: Card
    script: Path
    commands: tuple[str, ...]
    engine: Path | None = None
    median_ms: float | None = None


def to_tensorrt(
    model: "keras.Model",
    path: str | PathLike[str],
    *,
    quantize: OnnxScheme | Quantization = "float16",
    calibration: Calibration | np.ndarray | Iterable[np.ndarray] | None = None,
    opset: int | None = None,
    batch: int | None = 1,
    inputs: OnnxBoundary = "float32",
    outputs: OnnxBoundary = "float32",
    origin: Origin = UNKNOWN,
    verification: Callable[[bytes], dict[str, Any]] | None = None,
    force: bool = False,
    phase: Phase = silent,
) -> Prepared:
    """`to_onnx`, in channels first, with the rules of TensorRT checked and build_engine.py beside the file.

    Where the `tensorrt` module is installed, the engine is built and timed as well.

    Raises:
        InputError: as `to_onnx`; int4, which TensorRT takes only in blocks of a Gemm; or a graph that breaks its rules.
    """
    require_scheme(quantization(quantize).scheme)
    script = Path(path).parent / SCRIPT
    refuse_overwrite(script, force=force or _is_ours(script))
    runs_here = importlib.util.find_spec("tensorrt") is not None
    if runs_here:
        refuse_overwrite(Path(path).with_suffix(".engine"), force=force)
    card = to_onnx(
        model,
        path,
        quantize=quantize,
        calibration=calibration,
        opset=opset,
        batch=batch,
        inputs=inputs,
        outputs=outputs,
        origin=origin,
        verification=verification,
        approval=_require_rules,
        force=force,
        phase=phase,
    )
    write(script, (files(__package__) / SCRIPT).read_text())
    prepared = Prepared(card, script, commands(Path(path), card))
    if not runs_here:
        return prepared
    with phase("build the engine", None):
        return _with_engine(prepared, Path(path), batch or 1)


def require_scheme(scheme: str) -> None:
    """Raises InputError for a scheme that TensorRT does not take of a convolutional network."""
    if scheme not in SCHEMES:
        raise InputError(
            f"quantize={scheme!r}: TensorRT takes {', '.join(SCHEMES)} of a convolutional network; choose one of these"
        )


def commands(path: Path, card: Card) -> tuple[str, ...]:
    """The lines for build_engine.py, trtexec and polygraphy; an open batch is 1 in them."""
    name, engine = shlex.quote(path.name), shlex.quote(path.with_suffix(".engine").name)
    shapes = {tensor["name"]: [side or 1 for side in tensor["shape"]] for tensor in card.inputs}
    is_open = any(None in tensor["shape"] for tensor in card.inputs)
    by_x = shlex.quote(",".join(f"{key}:{'x'.join(map(str, shape))}" for key, shape in shapes.items()))
    in_brackets = " ".join(shlex.quote(f"{key}:[{','.join(map(str, shape))}]") for key, shape in shapes.items())
    profile = f" --minShapes={by_x} --optShapes={by_x} --maxShapes={by_x}" if is_open else ""
    given = f" --input-shapes {in_brackets}" if is_open else ""
    tolerance = "1e-4" if card.quantization["scheme"] == "float32" else "1e-1"
    return (
        f"python {SCRIPT} {name}",
        f"trtexec --onnx={name} --stronglyTyped --saveEngine={engine}{profile}",
        f"polygraphy run {name} --trt --onnxrt --strongly-typed --atol {tolerance} --rtol {tolerance}{given}",
    )


def _require_rules(file: onnx.ModelProto) -> None:
    """Raises InputError where the file breaks a rule."""
    broken = check_qdq(file)
    if broken:
        raise InputError(
            f"{file.graph.name}: {len(broken)} places that TensorRT would not fuse, the first at {broken[0].node!r} "
            f"({broken[0].found}); nothing is written"
        )


def _is_ours(script: Path) -> bool:
    """The script is the same for every file, so that one already there may be replaced."""
    first = (files(__package__) / SCRIPT).read_text().partition("\n")[0]
    return script.is_file() and script.read_text(errors="replace").startswith(first)


def _with_engine(prepared: Prepared, path: Path, batch: int) -> Prepared:
    """The engine of this machine, built and timed by the script's own functions."""
    from .build_engine import build, measure

    engine = path.with_suffix(".engine")
    try:
        build(path, engine, batch)
        taken = measure(engine, batch=batch)
    except (RuntimeError, ImportError) as error:  # cuda-python may be missing
        raise InputError(
            f"{path} is written, but TensorRT builds and times no engine of it here ({error}); run the {SCRIPT} beside "
            "it where TensorRT and cuda-python are"
        ) from error
    return replace(prepared, engine=engine, median_ms=statistics.median(taken))
