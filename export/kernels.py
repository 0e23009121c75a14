"""The kernels of a quantized file: which integers stand for which weights, and how to write others.

A kernel is seen as rows, one for each output channel, so that convolution, depthwise convolution and dense layer are
the same matter: (channels, what one output is summed over).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .contents import operator_names, parse
from .emit.writer import pack

CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
LIMITS = {8: (-127, 127), 4: (-8, 7)}  # bits: least and largest integer; the kernels of 8 bits want a narrow range
TYPES = {4: "INT4", 8: "INT8"}


@dataclass(frozen=True)
class Kernel:
    """A quantized kernel and its bias.

    Args:
        scale: (channels,), or (1,) for the whole tensor.
        integers: (channels, inputs) int8.
        bias: (channels,) real values.
    """

    scale: np.ndarray
    integers: np.ndarray
    bias: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """(channels, inputs) real values that the integers stand for."""
        return self.integers * self.scale[:, None]


def to_rows(values: np.ndarray, kind: str) -> np.ndarray:
    """(channels, inputs) of a tensor in the file's layout."""
    return np.moveaxis(values, CHANNEL_AXIS[kind], 0).reshape(values.shape[CHANNEL_AXIS[kind]], -1)


def from_rows(rows: np.ndarray, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """The inverse of `to_rows`."""
    axis = CHANNEL_AXIS[kind]
    return np.moveaxis(rows.reshape(shape[axis], *shape[:axis], *shape[axis + 1 :]), 0, axis)


def largest_scale(rows: np.ndarray, bits: int, per_tensor: bool) -> np.ndarray:
    """The scale at which the largest weight of each channel (or of all) is the largest integer; 1 for zeros."""
    largest = np.abs(rows).max(axis=None if per_tensor else 1, keepdims=True).reshape(-1)
    return np.where(largest > 0, largest / LIMITS[bits][1], 1).astype(np.float32)


def nearest(rows: np.ndarray, scale: np.ndarray, bits: int) -> np.ndarray:
    """Each weight's nearest integer."""
    return np.clip(np.round(rows / scale[:, None]), *LIMITS[bits]).astype(np.int8)


def nearest_kernel(rows: np.ndarray, bias: np.ndarray, bits: int, per_tensor: bool = False) -> Kernel:
    """The largest weight, of each channel or of all, is the largest integer, others the nearest; scales as rows."""
    scale = largest_scale(rows, bits, per_tensor).astype(rows.dtype)
    return Kernel(scale, nearest(rows.astype(np.float32), scale.astype(np.float32), bits), bias)


def bits_of(tensor: Any) -> int | None:
    """8 or 4 where the tensor is of that many bits, else None."""
    from ai_edge_litert import schema_py_generated as schema

    return next((bits for bits, name in TYPES.items() if tensor.type == getattr(schema.TensorType, name)), None)


def with_kernel(model: Any) -> Iterator[tuple[str, str, Any]]:
    """The name (of the output), kind and operator of each convolution and dense layer whose kernel is a constant."""
    graph = model.subgraphs[0]
    for operator, kind in zip(graph.operators, operator_names(model), strict=True):
        if kind in CHANNEL_AXIS and len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            data = model.buffers[graph.tensors[operator.inputs[1]].buffer].data
            if data is not None and len(data):
                yield graph.tensors[operator.outputs[0]].name.decode(), kind, operator


def float_kernels(content: bytes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(rows, bias) of every convolution and dense layer of a float32 file, by the names of their outputs."""
    model = parse(content)
    return {name: float_kernel(model, operator, kind) for name, kind, operator in with_kernel(model)}


def write_kernels(content: bytes, kernels: Mapping[str, Kernel]) -> bytes:
    """A quantized file with other kernels, by the names of the operators' outputs; all else stays."""
    model = parse(content)
    for name, kind, operator in with_kernel(model):
        if name in kernels and bits_of(model.subgraphs[0].tensors[operator.inputs[1]]) is not None:
            write_kernel(model, operator, kind, kernels[name])
    return pack(model)


def float_kernel(model: Any, operator: Any, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows and bias of an operator of a float32 file."""
    kernel, bias = (model.subgraphs[0].tensors[i] for i in operator.inputs[1:3])
    values = np.frombuffer(model.buffers[kernel.buffer].data, np.float32).reshape(kernel.shape)
    return to_rows(values, kind), np.frombuffer(model.buffers[bias.buffer].data, np.float32)


def integer_kernel(model: Any, operator: Any, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Scale and integers of an operator of a file with kernels of 8 bits."""
    kernel = model.subgraphs[0].tensors[operator.inputs[1]]
    values = np.frombuffer(model.buffers[kernel.buffer].data, np.int8).reshape(kernel.shape)
    return np.asarray(kernel.quantization.scale, np.float32), to_rows(values, kind)


def write_kernel(model: Any, operator: Any, kind: str, new: Kernel) -> None:
    """Replaces an operator's kernel, scales and bias; its activations stay as they are."""
    from ai_edge_litert import schema_py_generated as schema

    tensors = model.subgraphs[0].tensors
    source, kernel, bias = (tensors[i] for i in operator.inputs[:3])
    integers = from_rows(new.integers, tuple(kernel.shape), kind).astype(np.int8)
    packed = pack_int4(integers) if bits_of(kernel) == 4 else integers.reshape(-1).view(np.uint8)
    model.buffers[kernel.buffer] = _buffer(packed)
    kernel.quantization = _parameters(new.scale, CHANNEL_AXIS[kind])
    step = np.float32(source.quantization.scale[0]) * new.scale.astype(np.float64)
    wide = bias.type == schema.TensorType.INT64
    most = np.iinfo(np.int32).max  # XNNPACK's accumulator, also where the file's bias is of 64 bits
    rounded = np.clip(np.round(new.bias / step), -most, most).astype(np.int64 if wide else np.int32)
    model.buffers[bias.buffer] = _buffer(rounded.view(np.uint8))
    bias.quantization = _parameters(step.astype(np.float32), 0)


def pack_int4(integers: np.ndarray) -> np.ndarray:
    """Two integers a byte, the first in the low half."""
    flat = integers.reshape(-1)
    flat = np.append(flat, np.zeros(len(flat) % 2, np.int8))
    return ((flat[0::2] & 0xF) | (flat[1::2] << 4)).astype(np.int8).view(np.uint8)


def _buffer(data: np.ndarray) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    buffer = schema.BufferT()
    buffer.data = data
    return buffer


def _parameters(scale: np.ndarray, axis: int) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    found = schema.QuantizationParametersT()
    found.scale, found.zeroPoint = scale.astype(np.float32), np.zeros(len(scale), np.int64)
    found.quantizedDimension = axis if len(scale) > 1 else 0
    return found
