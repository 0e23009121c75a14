"""The part of `cnnzoo-export MODEL` that writes .onnx files: `--to onnx` and `--to tensorrt`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...console import terminal
from ..onnx.options import Form, Format, Layout, OnnxBoundary
from ..schemes import Quantization

if TYPE_CHECKING:
    import keras

    from ..calibration import Calibration
    from ..card import Card
    from ..onnx.tensorrt import Prepared
    from ..origin import Origin
    from ..pipeline import Phase


def export_onnx(
    to: Format,
    network: "keras.Model",
    path: Path,
    *,
    quantize: Quantization,
    calibration: "Calibration | None",
    opset: int | None,
    layout: Layout,
    batch: int,
    io: OnnxBoundary,
    origin: "Origin",
    verification: Callable[[bytes], dict[str, Any]] | None,
    force: bool,
    phase: "Phase",
) -> "Card":
    """Writes the file and its card; for TensorRT, what builds an engine of it as well. `batch` of 0 leaves it open."""
    common: dict[str, Any] = {
        "quantize": quantize,
        "calibration": calibration,
        "opset": opset,
        "batch": batch or None,
        "inputs": io,
        "outputs": io,
        "origin": origin,
        "verification": verification,
        "force": force,
        "phase": phase,
    }
    if to == "onnx":
        from ..onnx.conversion import to_onnx

        return to_onnx(network, path, layout=layout, **common)
    from ..onnx.tensorrt import to_tensorrt

    prepared = to_tensorrt(network, path, **common)
    _tell(prepared)
    return prepared.card


def check_onnx(
    to: Format,
    path: Path,
    options: Quantization,
    calibration: object,
    opset: int | None,
    layout: Layout,
    batch: int,
    io: str,
    force: bool,
) -> None:
    """Refuses what can be refused before the network is built."""
    from ...errors import InputError
    from ..onnx.conversion import check, opset_of
    from ..onnx.tensorrt import require_scheme

    if to == "tensorrt":
        require_scheme(options.scheme)
        if layout != "NCHW":
            raise InputError(f"--layout {layout}: TensorRT's convolutions are channels first; leave it away")
    form = Form(opset_of(options.scheme, opset), batch or None, layout)
    check(path, options, calibration, form, io, io, force)


def _tell(prepared: "Prepared") -> None:
    """The next steps, on standard error, so that --json stays one document."""
    from ..onnx.tensorrt import NEVER

    console = terminal(stderr=True)
    console.print(f"{NEVER}; on a machine that has it, in {prepared.script.parent}:")
    for line in prepared.commands:
        console.print(f"    {line}", soft_wrap=True, markup=False, highlight=False)
    if prepared.engine is not None:
        console.print(f"{prepared.engine}: {prepared.median_ms:.3f} ms, median, on this machine's GPU")
