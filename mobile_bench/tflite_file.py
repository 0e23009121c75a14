"""What a .tflite file says of itself, read through LiteRT's schema without running it."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .runners import Tensor


@dataclass(frozen=True, eq=False)
class Operator:
    """A node of the file; quantization parameters are those of its first input and output."""

    name: str
    output_name: str
    dtype: str
    scales: tuple[float, float]
    zero_points: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Graph:
    """What the file says of itself, without running it."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: tuple[Operator, ...]

    @property
    def histogram(self) -> dict[str, int]:
        names = [operator.name for operator in self.operators]
        return {name: names.count(name) for name in dict.fromkeys(names)}


def read_graph(path: Path) -> Graph:
    """The first subgraph of a .tflite file.

    Raises:
        InputError: it cannot be read as one.
    """
    from ai_edge_litert import schema_py_generated as schema

    try:
        model = unpack(path)
        graph = model.subgraphs[0]
        names, dtypes = operator_names(schema), _dtypes(schema)
        return Graph(
            inputs=tuple(_tensor(graph.tensors[index], dtypes) for index in graph.inputs),
            outputs=tuple(_tensor(graph.tensors[index], dtypes) for index in graph.outputs),
            operators=tuple(
                _operator(node, graph.tensors, model.operatorCodes, names, dtypes) for node in graph.operators
            ),
        )
    except (IndexError, TypeError, ValueError, AttributeError, KeyError, struct.error) as error:
        raise InputError(f"{path}: this file cannot be read as a .tflite model; export the model again") from error


def unpack(path: Path) -> Any:
    """The file as the schema's objects, all data inside."""
    from ai_edge_litert import schema_py_generated as schema

    content = path.read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for buffer in model.buffers:
        if buffer.offset > 1:
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def has_data_behind(path: Path) -> bool:
    """Whether weights stand behind the flatbuffer, as litert-quantizer writes large ones."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    return any(model.Buffers(index).Offset() > 1 for index in range(model.BuffersLength()))


def pack(model: Any) -> bytes:
    """The inverse of `unpack`."""
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def operator_names(schema: Any) -> dict[int, str]:
    """By code, as in BuiltinOperator."""
    return {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}


def _dtypes(schema: Any) -> dict[int, str]:
    names = {value: name.lower() for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
    return names | {schema.TensorType.BOOL: "bool"}


def _tensor(tensor: Any, dtypes: dict[int, str]) -> Tensor:
    scale, zero_point = _quantization(tensor)
    shape = () if tensor.shape is None else tuple(map(int, tensor.shape))
    return Tensor((tensor.name or b"").decode("utf-8", "replace"), shape, dtypes[tensor.type], scale, zero_point)


def _quantization(tensor: Any) -> tuple[float, int]:
    found = tensor.quantization
    if found is None or found.scale is None or len(found.scale) == 0:
        return 0.0, 0
    return float(found.scale[0]), int(found.zeroPoint[0]) if found.zeroPoint is not None else 0


def _operator(node: Any, tensors: Any, codes: Any, names: dict[int, str], dtypes: dict[int, str]) -> Operator:
    code = codes[node.opcodeIndex]
    name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
    if name == "CUSTOM":
        name = f"custom {(code.customCode or b'').decode('utf-8', 'replace')}"
    first, last = (_tensor(tensors[ends[0]], dtypes) for ends in (node.inputs, node.outputs))
    return Operator(name, last.name, last.dtype, (first.scale, last.scale), (first.zero_point, last.zero_point))
