"""What stands in a .tflite file: its operators, the types they touch, its inputs and outputs. Nothing is run."""

import struct
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError

CORRUPT = (AttributeError, IndexError, KeyError, MemoryError, OverflowError, TypeError, ValueError, struct.error)
"""What the schema's classes raise over bytes that are no .tflite file."""


@dataclass(frozen=True)
class Operator:
    """One operator.

    Args:
        name: of its kind, as in the schema.
        inputs: types of its input tensors, constants included.
        outputs: of its output tensors.
        output: name of the first of these: the layer's, or "layer/step" within it.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    output: str = ""

    def is_of(self, layers: Collection[str]) -> bool:
        """Whether one of these layers is made of it."""
        return any(self.output == layer or self.output.startswith(f"{layer}/") for layer in layers)

    @property
    def is_float(self) -> bool:
        return any(dtype.startswith("FLOAT") for dtype in self.inputs + self.outputs)


def parse(content: bytes) -> Any:
    """The file as the schema's ModelT, its arrays views of `content`.

    Raises:
        InputError: not a .tflite file, or a truncated one.
    """
    from ai_edge_litert import schema_py_generated as schema

    if content[4:8] != b"TFL3":
        raise InputError("not a .tflite file (its identifier is not TFL3); export or fetch it again")
    try:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        if not model.subgraphs:
            raise ValueError("no graph in it")
        for buffer in model.buffers:
            if buffer.offset > 1:  # litert-quantizer writes large data behind the flatbuffer
                buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
                buffer.offset = buffer.size = 0
        _follow_references(model)
    except CORRUPT as error:
        raise InputError(f"a corrupt or truncated .tflite file ({error}); export or fetch it again") from error
    return model


def _follow_references(model: Any) -> None:
    """Raises one of CORRUPT where an index, a name or a type leads nowhere, so that who reads on need not look."""
    types, graph = tensor_types(), model.subgraphs[0]
    for tensor in graph.tensors:
        tensor.name = tensor.name or b""
        tensor.name.decode()
        if tensor.type not in types or not 0 <= tensor.buffer < len(model.buffers):
            raise ValueError(f"the tensor {tensor.name.decode()} has no known type, or no data")
    ends = [*graph.inputs, *graph.outputs]
    for kind, operator in zip(operator_names(model), graph.operators or (), strict=True):
        operator.inputs = np.zeros(0, np.int32) if operator.inputs is None else operator.inputs
        if operator.outputs is None or not len(operator.outputs):
            raise ValueError(f"an operator {kind} without output")
        ends += [*operator.inputs, *operator.outputs]
    if ends and not -1 <= min(ends) <= max(ends) < len(graph.tensors):
        raise ValueError(f"an operator of a tensor that is not there, of {len(graph.tensors)}")


def tensor_types() -> dict[int, str]:
    """The schema's names of the tensors' types, by their numbers."""
    from ai_edge_litert import schema_py_generated as schema

    return {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}


def operator_names(model: Any) -> list[str]:
    """The kind of each operator of a ModelT, as the schema calls it."""
    from ai_edge_litert import schema_py_generated as schema

    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    codes = [names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]
    return [codes[operator.opcodeIndex] for operator in model.subgraphs[0].operators or ()]


def operators(content: bytes) -> list[Operator]:
    """The operators in the order in which they run."""
    model, types = parse(content), tensor_types()
    graph = model.subgraphs[0]

    def types_of(tensors: Any) -> tuple[str, ...]:
        return tuple(types[graph.tensors[t].type] for t in tensors if t >= 0)

    return [
        Operator(
            kind,
            types_of(op.inputs),
            types_of(op.outputs),
            graph.tensors[op.outputs[0]].name.decode(),
        )
        for kind, op in zip(operator_names(model), graph.operators or (), strict=True)
    ]


def histogram(found: list[Operator]) -> dict[str, int]:
    """How often each operator occurs, most frequent first."""
    return dict(Counter(operator.name for operator in found).most_common())


ISLANDS = ("LOCAL_RESPONSE_NORMALIZATION",)
"""Operators that LiteRT has in float alone; an int8 file goes back to float for them, and its card says so."""
REWRITTEN = {"HARD_SWISH": "hard-swish", "RELU6": "relu-by-depthwise"}  # by these passes, into what has integers
NAMED = 3  # layers, at most, in an error


def normalisations(content: bytes) -> list[str]:
    """The layers of our emitter's file that divide by the deviation of their own input (LayerNorm, GroupNorm).

    In int8 the square of a range of 255 steps and its inverse root leave nothing of the answer: they stay in float.
    """
    roots = [op.output for op in operators(content) if op.name == "RSQRT"]
    return [name.removesuffix("/inverse") for name in roots if name.endswith("/inverse")]


def require_integer(content: bytes, islands: Collection[str] = ()) -> dict[str, int]:
    """Raises InputError where an operator between input and output touches a float tensor without leave to.

    A QUANTIZE of the float input and a DEQUANTIZE to the float output are the boundary, not between.

    Args:
        content: of the file.
        islands: names of the layers that may stay in float, with all operators that they are made of.

    Returns:
        The float operators that may stay, by name: those of `islands` and of `ISLANDS`.
    """
    inner = [op for op in operators(content) if op.is_float and op.name not in ("QUANTIZE", "DEQUANTIZE")]
    allowed = [op for op in inner if op.name in ISLANDS or op.is_of(islands)]
    if len(allowed) < len(inner):
        _refuse([op for op in inner if op not in allowed])
    boundary = histogram([op for op in operators(content) if op.is_float])
    graph = parse(content).subgraphs[0]
    beyond = boundary.get("QUANTIZE", 0) > len(graph.inputs) or boundary.get("DEQUANTIZE", 0) > len(graph.outputs)
    if beyond and not allowed:
        raise InputError(f"the file goes back to float between input and output ({boundary}); export dynamic instead")
    return histogram(allowed)


def _refuse(found: list[Operator]) -> None:
    """Raises InputError that names these float operators, and the way out."""
    kinds, layers = histogram(found), list(dict.fromkeys(op.output for op in found))
    passes = [REWRITTEN[kind] for kind in kinds if kind in REWRITTEN]
    rewrite = f"let them be rewritten by --lower auto,{','.join(passes)}, " if passes else ""
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    names = ", ".join(map(repr, layers[:NAMED])) + (", ..." if len(layers) > NAMED else "")
    raise InputError(
        f"the file keeps float operators ({counts}); {rewrite}keep {names} in float, or export float16 or dynamic"
    )


def quantization_of(tensor: Any) -> tuple[float, int] | None:
    """A tensor's scale and zero point, where it has one of each."""
    details = tensor.quantization
    if details is None or details.scale is None or len(details.scale) != 1:
        return None
    return float(np.float32(details.scale[0])), int(details.zeroPoint[0])
