"""Where a file begins to differ from the network that it was made of: tensor by tensor, in order of execution.

Both are .tflite files (a network is emitted as float32 for it), run by LiteRT without a delegate and with every tensor
kept. Tensors that carry the same name are compared, so a quantized file is followed layer by layer.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .contents import parse
from .emit import emit, missing_rules
from .graph import from_keras
from .interpreter import dequantized, quantized, threads
from .lowering import lower
from .runners import KerasRunner, Runner

ROUNDING_DB = 200.0  # what two equal tensors are said to have


@dataclass(frozen=True)
class Layer:
    """A tensor of both files.

    Args:
        name: in both.
        op: the operator that makes it in the file.
        dtype: there.
        sqnr_db: signal-to-quantization-noise ratio over the images; 200 where the tensors are equal.
        largest_difference: of any two elements.
        largest_value: in magnitude, of the reference.
    """

    name: str
    op: str
    dtype: str
    sqnr_db: float
    largest_difference: float
    largest_value: float


def as_tflite(against: str, reference: Runner) -> bytes:
    """A reference as the .tflite file whose tensors are compared.

    Args:
        against: its name, or its file.
        reference: what answers for it.

    Raises:
        InputError: an .onnx file, or a network with a layer without a rule.
    """
    if not isinstance(reference, KerasRunner):
        if not against.endswith(".tflite"):
            raise InputError(f"{against}: --layers compares with a Keras network or a .tflite file; drop it")
        return Path(against).read_bytes()
    graph = lower(from_keras(reference.model))
    if missing := missing_rules(graph):
        raise InputError(f"{against}: --layers needs a rule for {', '.join(missing)}; compare without it")
    return emit(graph)


def layers(
    content: bytes, reference: bytes, inputs: np.ndarray, reference_inputs: np.ndarray | None = None
) -> list[Layer]:
    """The tensors that both files have, in the order in which the first makes them.

    Args:
        content: a .tflite file.
        reference: another, mostly the float32 one.
        inputs: (n, height, width, channels) float32, preprocessed.
        reference_inputs: the same images as the reference reads them, where that is otherwise.

    Raises:
        InputError: they share no tensor but the output.
    """
    file, other = _Watched(content), _Watched(reference)
    common = {name: op for name, op in file.makers.items() if other.shapes.get(name) == file.shapes[name]}
    if len(common) < 2:
        raise InputError(
            "the two files have no tensors of the same names between input and output (another converter made one of "
            "them), so no layer can be compared; compare without --layers"
        )
    sums = {name: np.zeros(2) for name in common}
    largest = {name: np.zeros(2) for name in common}
    for image, same in zip(inputs, inputs if reference_inputs is None else reference_inputs, strict=True):
        file.run(image)
        other.run(same)
        for name in common:
            expected, found = other.values(name), file.values(name)
            gap = np.abs(expected - found)
            sums[name] += np.square(expected, dtype=np.float64).sum(), np.square(gap, dtype=np.float64).sum()
            largest[name] = np.maximum(largest[name], (gap.max(), np.abs(expected).max()))
    return [
        Layer(name, op, file.dtype(name), _decibels(*sums[name]), *map(float, largest[name]))
        for name, op in common.items()
    ]


def first_below(found: list[Layer], threshold: float) -> Layer | None:
    """The first tensor whose ratio lies below `threshold` dB."""
    return next((layer for layer in found if layer.sqnr_db < threshold), None)


def _decibels(signal: float, noise: float) -> float:
    if not noise:
        return ROUNDING_DB
    return min(ROUNDING_DB, 10 * math.log10(signal / noise)) if signal else 0.0


class _Watched:
    """A .tflite file whose tensors can be looked at after a call."""

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        parse(content)  # refuses what is no such file in a sentence
        self._interpreter = Interpreter(
            model_content=content,
            num_threads=threads(),
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        self._interpreter.allocate_tensors()
        (self._input,) = self._interpreter.get_input_details()
        self._tensors: dict[str, dict[str, Any]] = {}
        self.makers: dict[str, str] = {}
        details = {detail["index"]: detail for detail in self._interpreter.get_tensor_details()}
        for operator in self._interpreter._get_ops_details():  # LiteRT has no public way
            for index in operator["outputs"]:
                detail = details[int(index)]
                self._tensors[detail["name"]] = detail
                self.makers[detail["name"]] = operator["op_name"]
        self.shapes = {name: tuple(detail["shape"][1:]) for name, detail in self._tensors.items()}

    def run(self, image: np.ndarray) -> None:
        """Calls the file on one image, repeated to its batch."""
        batch = np.broadcast_to(image, self._input["shape"])
        self._interpreter.set_tensor(self._input["index"], quantized(batch, self._input))
        self._interpreter.invoke()

    def values(self, name: str) -> np.ndarray:
        """A tensor's real values for the last image."""
        detail = self._tensors[name]
        return dequantized(self._interpreter.get_tensor(detail["index"])[:1], detail)

    def dtype(self, name: str) -> str:
        return np.dtype(self._tensors[name]["dtype"]).name
