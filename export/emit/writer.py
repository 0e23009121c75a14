"""A .tflite file in the making, through the schema's own classes."""

from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ...errors import InputError

IDENTIFIER = b"TFL3"
SIGNATURE = b"serving_default"
LARGEST = 2**31 - 1  # bytes of a flatbuffer, whose offsets have 32 bits
TABLES = 2**20  # bytes left for all but the weights


class Writer:
    """Collects tensors and operators of one subgraph; `finish` packs them into a file."""

    def __init__(self) -> None:
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.operatorCodes = 3, []
        self.model.buffers = [schema.BufferT()]  # the empty one that all activations share
        self.graph.tensors, self.graph.operators = [], []

    def tensor(self, name: str, shape: Sequence[int], dtype: int = schema.TensorType.FLOAT32, buffer: int = 0) -> int:
        """A new tensor's index; shape with the batch."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name.encode(), np.array(shape, np.int32), dtype, buffer
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, name: str, value: np.ndarray) -> int:
        """A tensor whose value stands in the file."""
        buffer = schema.BufferT()
        buffer.data = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
        self.model.buffers.append(buffer)
        dtype = getattr(schema.TensorType, value.dtype.name.upper())
        return self.tensor(name, value.shape, dtype, len(self.model.buffers) - 1)

    def operator(self, name: str, inputs: Sequence[int], outputs: Sequence[int], options: Any = None) -> Any:
        """Appends an operator and returns its options, so that an activation can still be fused into them."""
        operator = schema.OperatorT()
        operator.opcodeIndex = operator_code(self.model, getattr(schema.BuiltinOperator, name))
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        if options is not None:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
            operator.builtinOptions = options
        self.graph.operators.append(operator)
        return options

    def version(self, name: str, version: int) -> None:
        """Raises the version of an operator that was written: older runtimes lack what it uses."""
        code = self.model.operatorCodes[operator_code(self.model, getattr(schema.BuiltinOperator, name))]
        code.version = max(code.version, version)

    def finish(self, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> bytes:
        """The file, whose serving_default signature names these tensors."""
        self.graph.inputs = np.array(list(inputs.values()), np.int32)
        self.graph.outputs = np.array(list(outputs.values()), np.int32)
        self.model.subgraphs, self.model.signatureDefs = [self.graph], [signature(inputs, outputs)]
        return pack(self.model)


def operator_code(model: Any, builtin: int) -> int:
    """The index of a builtin operator in the model's table, added where it is new."""
    for index, code in enumerate(model.operatorCodes):
        if code.builtinCode == builtin:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def signature(inputs: Mapping[str, int], outputs: Mapping[str, int]) -> Any:
    """serving_default, by names and tensor indices."""
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
    signature.inputs, signature.outputs = _named(inputs), _named(outputs)
    return signature


class _AlignedBuffer(schema.BufferT):
    """A buffer whose data starts at a multiple of 16, as the schema demands and Python's generated code forgets."""

    def __init__(self, data: np.ndarray) -> None:
        super().__init__()
        self.data: np.ndarray | None = data

    def Pack(self, builder: flatbuffers.Builder) -> int:
        assert self.data is not None
        builder.StartVector(1, len(self.data), 16)
        builder.head -= len(self.data)
        builder.Bytes[builder.head : builder.head + len(self.data)] = self.data.data
        self.data = None  # it is in the file now: a network's weights need not be held twice
        vector = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


def pack(model: Any) -> bytes:
    """The bytes of a model.

    Raises:
        InputError: more than a file can hold.
    """
    model.buffers = [b if b.data is None or not len(b.data) else _AlignedBuffer(b.data) for b in model.buffers]
    size = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    if size > LARGEST - TABLES:
        raise InputError(
            f"the weights take {size / 2**30:.2f} GiB, and a .tflite file, which is written in float32 first, holds "
            "less than 2; build a smaller network"
        )
    builder = flatbuffers.Builder(min(size + size // 8 + TABLES, LARGEST))
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return memoryview(builder.Bytes)[builder.Head() :].tobytes()  # Output() would copy once more


def _named(tensors: Mapping[str, int]) -> list[Any]:
    maps = []
    for name, index in tensors.items():
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), index
        maps.append(entry)
    return maps
