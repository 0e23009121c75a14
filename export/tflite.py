"""Keras model -> .tflite file and card: graph, passes, emitter, quantizer, checks."""

import datetime
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..complexity import complexity
from ..errors import InputError
from ..files import refuse_overwrite, replacing
from .calibration import Calibration, Ranges, representative
from .card import Card, artifact_facts, calibration_facts, card_path, model_facts, tool_versions
from .contents import histogram, normalisations, operators, parse, quantization_of, require_integer, tensor_types
from .emit import missing_rules
from .graph import Graph, of_one_input
from .interpreter import LiteRT
from .lowering.accuracy import Accuracy, AccuracyGate
from .lowering.guard import Lowered, lower_under
from .lowering.parity import Parity
from .lowering.passes import choose
from .metadata import expressible, with_metadata
from .origin import UNKNOWN, Origin
from .pipeline import Phase, in_scheme
from .quantize import with_boundary
from .schemes import Boundary, Quantization, Scheme, check_boundary, quantization
from .targets import on_target, place_of

if TYPE_CHECKING:
    import keras


@contextmanager
def silent(name: str, total: float | None) -> Iterator[Callable[[float], object]]:
    """A phase that shows nothing."""
    yield lambda amount: None


def to_tflite(
    model: "keras.Model",
    path: str | PathLike[str],
    *,
    quantize: Scheme | Quantization = "float32",
    calibration: Calibration | np.ndarray | Iterable[np.ndarray] | None = None,
    inputs: Boundary | None = None,
    outputs: Boundary | None = None,
    batch: int = 1,
    lower: str | Sequence[str] = "auto",
    costs_of: str | None = None,
    target: str | None = None,
    accuracy: Accuracy | None = None,
    learned: Ranges | None = None,
    origin: Origin = UNKNOWN,
    verification: Callable[[bytes], dict[str, Any]] | None = None,
    force: bool = False,
    phase: Phase = silent,
) -> Card:
    """Writes a functional Keras model as a .tflite file, its JSON card beside it, and returns the card.

    Args:
        model: functional, one input of known height and width; softmax is exported where the model has it.
        path: of the .tflite file.
        quantize: a scheme's name ("float32", "float16", "dynamic", "dynamic-int4", "int8", "int16", "int4"; that the
            last three hold no float operator is asserted), or a `Quantization`, which says more.
        calibration: for these three, preprocessed images (n, height, width, channels), or batches of them.
        inputs: for these three, the type that the file reads: its own integers, "float32", or "uint8" but for int16.
        outputs: and the type that it returns.
        batch: images a call, fixed in the file.
        lower: the passes: "auto" (those that the measured costs speak for), "none", or names (see export/lowering).
        costs_of: the machine whose measured costs "auto" goes by: a name in costs.toml, "this", or a .toml file; None
            for all of them.
        target: where it shall run, see targets.toml: what that would not take is an error or stands in the card.
        accuracy: for int8, the images over which no pass may lose more than it says.
        learned: for int8, ranges by layer that quantization-aware training found; kernels are then rounded to nearest,
            as they were in training, and calibration serves the tensors that no layer has by name.
        origin: what the card shall say of the model.
        verification: takes the file's bytes before they are written; what it returns goes into the card.
        force: replace files that exist.
        phase: shows progress.

    Returns:
        The card as written.

    Raises:
        InputError: a model, dataset or place that will not do; nothing is then written.
    """
    options = quantization(quantize)
    options = options if learned is None else options.after_training()
    place = None if target is None else place_of(target, options.scheme)
    check(path, options, calibration, inputs, outputs, batch, force)
    inputs, outputs = inputs or options.activation, outputs or options.activation
    data = None if calibration is None or not options.static else representative(calibration)
    passes = choose(lower, options.scheme, costs_of)
    with phase("lower", None):
        plain = _readable(model, data)
        check_labels(model, origin.labels)
        gate = None if accuracy is None or options.scheme != "int8" else _gate(model, options, data, accuracy)
        lowered = lower_under(plain, passes, Parity.of(model, data), gate)
    graph = lowered.graph
    missing = missing_rules(graph)
    reason = f"no rule for {', '.join(missing)}" if missing else lowered.fault
    kept: tuple[str, ...] = ()
    if reason and learned is not None:
        raise InputError(
            f"{model.name}: TensorFlow's converter takes no ranges from training ({reason}); choose a method without "
            "qat"
        )
    if reason:
        with phase("convert with TensorFlow", None):
            from .converter import convert

            content = convert(model, options.plain(model.name), data, inputs, outputs, batch)
        options = replace(options, corrections=())  # the card's
    else:
        content, kept = in_scheme(graph, options, data, batch, phase, learned)
        content = with_boundary(content, inputs, outputs) if options.static else content
    floats = (*normalisations(content), *(kept if options.keep_in == "float32" else ())) if options.static else ()
    islands = require_integer(content, floats) if options.static else {}
    placed = None if place is None else on_target(content, place)
    if origin.labels and origin.preprocessing and expressible(origin.preprocessing, content):
        content = with_metadata(content, model.name, origin.preprocessing, origin.labels)
    proof = None if verification is None else verification(content)
    card = _card(model, content, Path(path).name, options, data, origin, reason, lowered, proof)
    found = card.quantization | {"kept": list(kept), "float_islands": islands}
    card = replace(card, target=placed, quantization=found)
    with replacing(path, force=force) as temporary:
        temporary.write_bytes(content)
        card.write(path)  # before the file takes its place, so that no file stands without the card that is its own
    return card


def check(
    path: str | PathLike[str],
    quantize: Scheme | Quantization,
    calibration: Any,
    inputs: Boundary | None,
    outputs: Boundary | None,
    batch: int,
    force: bool,
) -> None:
    """Refuses what can be refused before any work; see `to_tflite`."""
    options = quantization(quantize)
    check_boundary("inputs", inputs, options)
    check_boundary("outputs", outputs, options)
    if options.static and calibration is None:
        raise InputError(
            f"{options.scheme} needs calibration images; give some 100 to 500 of the kind that the network will see"
        )
    if options.keep_in != "float32" and (options.scheme == "int16" or not (options.keep or options.auto_mixed)):
        raise InputError(
            f"keep_in={options.keep_in!r} is for layers that int8 or int4 keeps; give keep or auto_mixed, or drop it"
        )
    if batch < 1:
        raise InputError(f"batch={batch}: at least 1 image a call")
    if not str(path).endswith(".tflite"):
        raise InputError(f"{path}: a TFLite file's name ends in .tflite; name it so")
    refuse_overwrite(path, force=force)
    refuse_overwrite(card_path(path), force=force)


def check_labels(model: "keras.Model", labels: Sequence[str] | None) -> None:
    """Raises InputError where there is not a name for each class."""
    if labels is None:
        return
    shape = model.outputs[0].shape
    if len(shape) == 2 and len(labels) != shape[-1]:
        raise InputError(
            f"labels: {len(labels)} names, but {model.name} answers {shape[-1]} classes; name each, in their order"
        )


def _readable(model: "keras.Model", data: Calibration | None) -> Graph:
    """The graph of a model of one input, which reads what it is calibrated with."""
    graph = of_one_input(model)
    if data is not None and data.inputs.shape[1:] != graph.inputs[0].shape:
        raise InputError(
            f"the model reads {graph.inputs[0].shape} but calibration has {data.inputs.shape[1:]}; scale the images, "
            "or build it with their input_shape"
        )
    return graph


def emitted(
    graph: Graph, scheme: Scheme | Quantization, data: Calibration | None = None, learned: Ranges | None = None
) -> bytes:
    """Our own way: emit, watch the ranges, quantize; of a lowered graph, each of whose nodes has a rule."""
    options = quantization(scheme)
    content, _ = in_scheme(graph, options if learned is None else options.after_training(), data, 1, silent, learned)
    return content


def _gate(model: "keras.Model", options: Quantization, data: Calibration | None, accuracy: Accuracy) -> AccuracyGate:
    """Compares int8 files of before and after a pass, by their first output."""
    import keras

    expected = np.asarray(keras.tree.flatten(model.predict(accuracy.inputs, verbose=0))[0])
    return AccuracyGate(accuracy, expected, lambda graph: emitted(graph, options, data))


def _card(
    model: "keras.Model",
    content: bytes,
    name: str,
    options: Quantization,
    data: Calibration | None,
    origin: Origin,
    reason: str | None,
    lowered: Lowered,
    proof: dict[str, Any] | None,
) -> Card:
    file = parse(content)
    graph, (signature,) = file.subgraphs[0], file.signatureDefs
    return Card(
        artifact=artifact_facts(name, content),
        model=model_facts(model.name, complexity(model), origin),
        inputs=[_tensor(graph.tensors[entry.tensorIndex], entry.name) for entry in signature.inputs],
        outputs=[_tensor(graph.tensors[entry.tensorIndex], entry.name) for entry in signature.outputs],
        preprocessing=None if origin.preprocessing is None else origin.preprocessing.to_dict(),
        labels=None if origin.labels is None else list(origin.labels),
        quantization=options.to_dict() | {"calibration": calibration_facts(data)},
        operators=histogram(operators(content)),
        delegate=_delegation(content),
        conversion={
            "by": "TFLiteConverter" if reason else "emitter",
            "reason": reason,
            "lowering": [] if reason else lowered.passes,
            "refused": [] if reason else lowered.refused,
        },
        verification=proof,
        versions=tool_versions(),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _tensor(tensor: Any, name: bytes) -> dict[str, Any]:
    scale, zero_point = quantization_of(tensor) or (None, None)
    return {
        "name": name.decode(),
        "shape": [int(side) for side in tensor.shape],
        "dtype": tensor_types()[tensor.type].lower(),
        "scale": scale,
        "zero_point": zero_point,
        "layout": "NHWC" if len(tensor.shape) == 4 else None,
    }


def _delegation(content: bytes) -> dict[str, Any]:
    """What this host's XNNPACK takes of the file: how many partitions, and which operators run outside them."""
    partitions, outside = LiteRT(content).delegation()
    return {"name": "XNNPACK", "partitions": partitions, "outside": outside}
