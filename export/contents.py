"""What stands in a .tflite file: its operators, the types they touch, its inputs and outputs. Nothing is run."""

import struct
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError


@dataclass(frozen=True)
class Operator:
    """One operator: its name and the types of its input and output tensors (constants included)."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

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
        raise InputError("not a .tflite file (its identifier is not TFL3)")
    try:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
    except (struct.error, IndexError, ValueError, TypeError, MemoryError) as error:
        raise InputError(f"a corrupt or truncated .tflite file ({error})") from error
    if not model.subgraphs:
        raise InputError("a corrupt .tflite file (no graph in it)")
    for buffer in model.buffers:
        if buffer.offset > 1:  # litert-quantizer writes large data behind the flatbuffer
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def operators(content: bytes) -> list[Operator]:
    """The operators in the order in which they run."""
    from ai_edge_litert import schema_py_generated as schema

    model = parse(content)
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    types = {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
    graph = model.subgraphs[0]
    codes = [names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]

    def types_of(tensors: Any) -> tuple[str, ...]:
        return tuple(types[graph.tensors[t].type] for t in tensors if t >= 0)

    return [Operator(codes[op.opcodeIndex], types_of(op.inputs), types_of(op.outputs)) for op in graph.operators or ()]


def histogram(found: list[Operator]) -> dict[str, int]:
    """How often each operator occurs, most frequent first."""
    return dict(Counter(operator.name for operator in found).most_common())


def require_integer(content: bytes) -> None:
    """Raises InputError where an operator between input and output touches a float tensor.

    A QUANTIZE of the float input and a DEQUANTIZE to the float output are the boundary, not between.
    """
    inner = [op for op in operators(content) if op.is_float and op.name not in ("QUANTIZE", "DEQUANTIZE")]
    if inner:
        names = ", ".join(f"{count} {name}" for name, count in histogram(inner).items())
        raise InputError(f"the int8 file keeps float operators ({names}); export float32, float16 or dynamic instead")
    boundary = histogram([op for op in operators(content) if op.is_float])
    graph = parse(content).subgraphs[0]
    if boundary.get("QUANTIZE", 0) > len(graph.inputs) or boundary.get("DEQUANTIZE", 0) > len(graph.outputs):
        raise InputError(
            f"the int8 file goes back to float between input and output ({boundary}); export dynamic instead"
        )


def quantization_of(tensor: Any) -> tuple[float, int] | None:
    """A tensor's scale and zero point, where it has one of each."""
    details = tensor.quantization
    if details is None or details.scale is None or len(details.scale) != 1:
        return None
    return float(np.float32(details.scale[0])), int(details.zeroPoint[0])
