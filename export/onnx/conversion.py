"""Keras model -> .onnx file and card: graph, passes, emitter, Q/DQ, checks."""

import math
from collections.abc import Callable, Iterable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from ...errors import InputError, first_line
from ...files import refuse_overwrite, replacing
from ..answers import answers_of
from ..calibration import Calibration, Ranges, representative
from ..card import Card, calibration_facts, card_path
from ..graph import Graph, from_keras
from ..lowering.guard import Lowered, lower_under
from ..lowering.passes import PASSES
from ..origin import UNKNOWN, Origin
from ..schemes import Quantization, quantization
from ..tflite import Phase, silent
from .card import described
from .emitter import emit, missing_rules
from .options import LAYOUTS, ONNX_BOUNDARIES, ONNX_SCHEMES, Form, Layout, OnnxBoundary, OnnxScheme
from .parity import FLOAT16, FLOAT32, Parity, compare, images_of
from .quantize import Source, resolved
from .quantize import quantize as in_few_bits
from .runtime import OnnxRuntime

if TYPE_CHECKING:
    import keras

OPSETS, OPSET = range(13, 22), 17  # 13: a scale per channel; 21: int4; 17: TensorRT 8.5, ONNX Runtime 1.12 and later
INT4_OPSET = 21
PARITY_IMAGES = 4
WANTED = (
    "split-separable",
    "regular-pool",
    "remove-identities",
    "recognise-shuffle",
    "separate-activations",
    "fold-batch-norm",
)


def lower(graph: Graph) -> Graph:
    """What ONNX wants of it: convolutions bare, BN folded; padding and flattening are the emitter's."""
    return _lowered(graph).graph


def _lowered(graph: Graph) -> Lowered:
    """Compared is the file, later: here a pass that raises is left out."""
    return lower_under(graph, [each for each in PASSES if each.name in WANTED])


def to_onnx(
    model: "keras.Model",
    path: str | PathLike[str],
    *,
    quantize: OnnxScheme | Quantization = "float32",
    calibration: Calibration | np.ndarray | Iterable[np.ndarray] | None = None,
    learned: Ranges | None = None,
    opset: int | None = None,
    layout: Layout = "NCHW",
    batch: int | None = 1,
    inputs: OnnxBoundary = "float32",
    outputs: OnnxBoundary = "float32",
    origin: Origin = UNKNOWN,
    verification: Callable[[bytes], dict[str, Any]] | None = None,
    approval: Callable[[onnx.ModelProto], object] = lambda model: None,
    force: bool = False,
    phase: Phase = silent,
) -> Card:
    """Writes a functional Keras model as an .onnx file, its JSON card beside it, and returns the card.

    The file is checked by onnx.checker and against the model in ONNX Runtime before it is written. Of int8 and int4 it
    is the float32 file that they are made of which must answer alike; how far they are from the model, the card says.

    Args:
        model: functional or sequential, inputs of known sizes; softmax is exported where the model has it.
        path: of the .onnx file.
        quantize: "float32", "float16" (all of it: weights and activations), "int8" (explicit symmetric Q/DQ, as
            TensorRT wants it) or "int4" (weights of convolutions and dense layers, activations float32); or a
            `Quantization`, which says more: layers to keep, the estimator of ranges, corrections.
        calibration: preprocessed images (n, height, width, channels), or batches of them; int8 needs them, int4 rounds
            better with them, and every file is compared with the model over the first of them.
        learned: for int8, ranges by layer that quantization-aware training found; the others are calibrated, and
            kernels are rounded to nearest, as they were in training.
        opset: 13 to 21; 17 (21 for int4) where None.
        layout: "NCHW", or "NHWC": a Transpose at the input, one at each output that is a map.
        batch: images a call; None leaves it open.
        inputs: what a float16 file reads: "float32" or "float16".
        outputs: and what it returns.
        origin: what the card shall say of the model.
        verification: takes the file's bytes before they are written; what it returns goes into the card.
        approval: takes the model before it is written, and raises InputError where it will not do.
        force: replace files that exist.
        phase: shows progress.

    Returns:
        The card as written.

    Raises:
        InputError: a model, dataset or place that will not do, or a file that does not answer as the model does;
            nothing is then written.
    """
    options = quantization(quantize)
    form = Form(opset_of(options.scheme, opset), batch, layout)
    check(path, options, calibration, form, inputs, outputs, force)
    with phase("lower", None):
        lowered = _lowered(from_keras(model))
    graph = lowered.graph
    given = _given(graph, calibration)
    data = given if options.static else None
    missing = missing_rules(graph)
    options = resolved(options, data is not None, learned is not None, ours=not missing)
    with phase("emit", None):
        whole = emit(graph, **form.to_dict()) if not missing else _by_tf2onnx(model, missing, form)
    with phase("compare in ONNX Runtime", None):
        shapes = [node.shape for node in graph.inputs]
        samples = images_of(shapes, -(-PARITY_IMAGES // (batch or 1)) * (batch or 1), given)
        expected = answers_of(model, samples)
        parity = _parity(whole, expected, samples, layout, FLOAT32)
    small = whole
    kept: tuple[str, ...] = ()
    if options.scheme == "float16":
        small = _float16(graph, missing, form, (np.dtype(inputs), np.dtype(outputs)))
        parity = _parity(small, expected, samples, layout, FLOAT16)
    elif options.static:
        source = Source(whole, None if missing else graph, form)
        small, kept = in_few_bits(source, options, data, learned or {}, phase)
    approval(small)
    content = checked(small)
    if options.static:  # its own, which is told and not limited
        parity = _parity(small, expected, samples, layout, math.inf)
    proof = {"parity": parity.to_dict()} | ({} if verification is None else verification(content))
    scheme = options.to_dict() | {"calibration": calibration_facts(data), "kept": list(kept)}
    card = described(model, small, content, Path(path).name, scheme, layout, origin, missing, lowered, proof)
    with replacing(path, force=force) as temporary:
        temporary.write_bytes(content)
        card.write(path)  # before the file takes its place: neither stands without the other
    return card


def opset_of(scheme: str, given: int | None) -> int:
    """As given, else the least that serves the scheme well."""
    if given is not None:
        return given
    return INT4_OPSET if scheme == "int4" else OPSET


def check(
    path: str | PathLike[str],
    options: Quantization,
    calibration: Any,
    form: Form,
    inputs: str,
    outputs: str,
    force: bool,
) -> None:
    """Refuses what can be refused before any work; see `to_onnx`."""
    scheme, batch = options.scheme, form.batch
    for option, value, choices in (
        ("quantize", scheme, ONNX_SCHEMES),
        ("layout", form.layout, LAYOUTS),
        ("inputs", inputs, ONNX_BOUNDARIES),
        ("outputs", outputs, ONNX_BOUNDARIES),
        ("opset", form.opset, OPSETS),
    ):
        if value not in choices:
            raise InputError(f"{option}={value!r}: choose one of {', '.join(map(str, choices))}")
    if scheme == "int8" and calibration is None:
        raise InputError("int8 needs calibration images; give some 100 to 500 of the kind that the network will see")
    resolved(options, calibration is not None, learned=False)
    if scheme == "int4" and form.opset < INT4_OPSET:
        raise InputError(f"opset={form.opset}: int4 is known since opset {INT4_OPSET}; leave the opset away")
    if "float16" in (inputs, outputs) and scheme != "float16":
        raise InputError(f"inputs and outputs of float16 need a float16 file, not {scheme}; leave them float32")
    if batch is not None and batch < 1:
        raise InputError(f"batch={batch}: at least 1 image a call, or None for any number")
    if not str(path).endswith(".onnx"):
        raise InputError(f"{path}: an ONNX file's name ends in .onnx; name it so")
    refuse_overwrite(path, force=force)
    refuse_overwrite(card_path(path), force=force)


def checked(model: onnx.ModelProto) -> bytes:
    """The file, as onnx.checker finds it right (shapes and types inferred throughout).

    Raises:
        InputError: it does not, or the file would be larger than protobuf's 2 GB.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        raise InputError(
            f"{model.graph.name}: not a valid ONNX model ({first_line(error)}); nothing is written, "
            "export a .tflite file"
        ) from error


def _given(graph: Graph, calibration: Calibration | np.ndarray | Iterable[np.ndarray] | None) -> Calibration | None:
    """The calibration data, which fit the graph's only input.

    Raises:
        InputError: they do not.
    """
    if calibration is None:
        return None
    if len(graph.inputs) != 1:
        raise InputError(
            f"{graph.name} has {len(graph.inputs)} inputs, and calibration images serve one; export float32 or float16 "
            "without them"
        )
    data, (image,) = representative(calibration), graph.inputs
    if data.inputs.shape[1:] != image.shape:
        raise InputError(
            f"the model reads {image.shape} but calibration has {data.inputs.shape[1:]}; scale the images, or build it "
            "with their input_shape"
        )
    return data


def _by_tf2onnx(model: "keras.Model", missing: list[str], form: Form) -> onnx.ModelProto:
    from .fallback import convert

    return convert(model, missing, form.opset, form.batch, form.layout)


def _float16(graph: Graph, missing: list[str], form: Form, border: tuple[np.dtype, np.dtype]) -> onnx.ModelProto:
    if missing:
        raise InputError(
            f"{graph.name}: float16 needs rules of ours, and there is none for {', '.join(missing)}; export float32"
        )
    inputs, outputs = border
    with np.errstate(over="ignore"):
        small = emit(graph, **form.to_dict(), dtype=np.dtype(np.float16), inputs=inputs, outputs=outputs)
    for tensor in small.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT16 and not np.isfinite(onnx.numpy_helper.to_array(tensor)).all():
            raise InputError(
                f"{graph.name}: {tensor.name!r} holds values beyond float16's 65504; export float32 or int8"
            )
    return small


def _parity(
    file: onnx.ModelProto, expected: list[np.ndarray], samples: list[np.ndarray], layout: Layout, limit: float
) -> Parity:
    found = compare(expected, OnnxRuntime(file)(*samples, channels_last=layout == "NHWC"))
    if found.largest_difference > limit:
        raise InputError(
            f"{file.graph.name}: ONNX Runtime answers {found.largest_difference:.2g} of the largest output away from "
            f"Keras, and {limit:g} is allowed; nothing is written: give calibration images of the range that the "
            "network reads, or export a .tflite file"
        )
    return found
