"""Time by operator of a .tflite file, through the C profiler inside LiteRT's shared library.

Python reaches it by no other way. Its functions are undocumented: this was written for ai-edge-litert 2.3, and another
release is refused in a sentence rather than called.
"""

import ctypes
from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ..environment import package_version
from . import Layer, Tensor

RELEASE = "2.3."
HOST_MEMORY, CPU = 1, 1
ELEMENTS = {"float32": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9, "float16": 10}
ALIGNMENT = 64
OPERATOR, DELEGATED_OPERATOR = 2, 8  # kinds of events
WHOLE_PARTITION = "TfLiteXNNPackDelegate"  # an operator that stands for those that the delegate took
Handle = ctypes.c_void_p


class _RankedType(ctypes.Structure):
    """LiteRtRankedTensorType: element type, rank, dimensions, strides."""

    _fields_ = (
        ("element", ctypes.c_int),
        ("rank", ctypes.c_uint32),
        ("dimensions", ctypes.c_int32 * 8),
        ("strides", ctypes.c_uint32 * 8),
    )


class _Event(ctypes.Structure):
    """ProfiledEventData."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory", ctypes.c_size_t * 6),
        ("node", ctypes.c_uint64),
        ("subgraph", ctypes.c_uint64),
        ("source", ctypes.c_int),
    )


class Profiler:
    """A compiled model whose operators are timed; inputs are what the memory holds.

    Raises:
        InputError: another release of LiteRT.
        RuntimeError: a call into the library failed.
    """

    def __init__(self, path: Path, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        self.library = ctypes.CDLL(str(_library()))
        self.environment = Handle()
        self._call("LiteRtCreateEnvironment", 0, None, ctypes.byref(self.environment))
        model = self._make("LiteRtCreateModelFromFile", self.environment, ctypes.c_char_p(str(path).encode()))
        self.model = self._make("LiteRtCreateCompiledModel", self.environment, model, self._options())
        self.profiler = self._make("LiteRtCompiledModelGetProfiler", self.model)
        self.inputs, self.outputs = self._buffers(inputs), self._buffers(outputs)

    def run(self) -> list[tuple[str, str, float]]:
        """Type, name and microseconds of each operator in one inference."""
        self._call("LiteRtResetProfiler", self.profiler)
        self._call("LiteRtStartProfiler", self.profiler)
        self.invoke()
        self._call("LiteRtStopProfiler", self.profiler)
        count = ctypes.c_int()
        self._call("LiteRtGetNumProfilerEvents", self.profiler, ctypes.byref(count))
        events = (_Event * count.value)()
        self._call("LiteRtGetProfilerEvents", self.profiler, count, events)
        return operators((e.kind, (e.tag or b"").decode(errors="replace"), e.node, e.elapsed_us) for e in events)

    def invoke(self) -> None:
        size = ctypes.c_size_t
        arrays = size(len(self.inputs)), self.inputs, size(len(self.outputs)), self.outputs
        self._call("LiteRtRunCompiledModel", self.model, size(0), *arrays)

    def _options(self) -> Handle:
        options = self._make("LiteRtCreateOptions")
        self._call("LiteRtSetOptionsHardwareAccelerators", options, CPU)
        self.kept = (
            ctypes.CFUNCTYPE(None, Handle)(lambda pointer: None),
            ctypes.create_string_buffer(b"enable_profiling = true\n"),
        )
        runtime = self._make("LiteRtCreateOpaqueOptions", b"runtime_options_string", self.kept[1], self.kept[0])
        self._call("LiteRtAddOpaqueOptions", options, runtime)
        return options

    def _buffers(self, tensors: Sequence[Tensor]) -> Any:
        made = []
        for tensor in tensors:
            if tensor.dtype not in ELEMENTS:
                raise ValueError(f"LiteRT's profiler takes no tensors of type {tensor.dtype}, as {tensor.name} is")
            bytes_ = int(np.prod(tensor.shape)) * np.dtype(tensor.dtype).itemsize
            kind = _RankedType(ELEMENTS[tensor.dtype], len(tensor.shape), (ctypes.c_int32 * 8)(*tensor.shape))
            size = ctypes.c_size_t((bytes_ // ALIGNMENT + 2) * ALIGNMENT)
            arguments = self.environment, HOST_MEMORY, ctypes.byref(kind), size
            made.append(self._make("LiteRtCreateManagedTensorBuffer", *arguments))
        return (Handle * len(made))(*made)

    def _make(self, function: str, *arguments: Any) -> Handle:
        made = Handle()
        self._call(function, *arguments, ctypes.byref(made))
        return made

    def _call(self, function: str, *arguments: Any) -> None:
        try:
            status = getattr(self.library, function)(*arguments)
        except AttributeError as error:
            raise RuntimeError(f"this LiteRT has no function {function}") from error
        if status:
            raise RuntimeError(f"{function} failed with status {status}")


def profile(path: Path, inputs: Sequence[Tensor], outputs: Sequence[Tensor], runs: int) -> list[Layer]:
    """The median time of each operator over some runs, in the order in which they ran."""
    profiler = Profiler(path, inputs, outputs)
    for _ in range(3):
        profiler.invoke()
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(runs):
        for kind, name, microseconds in profiler.run():
            times[kind, name].append(microseconds)
    return [Layer(kind, name, float(np.median(durations))) for (kind, name), durations in times.items()]


def operators(events: Iterable[tuple[int, str, int, int]]) -> list[tuple[str, str, float]]:
    """Type, name and microseconds of the events that are operators.

    Args:
        events: kind, tag, node and microseconds. A delegate's operators have no names, they are counted.
    """
    found: list[tuple[str, str, float]] = []
    for kind, tag, node, microseconds in events:
        if kind == DELEGATED_OPERATOR:
            found.append((f"{tag.removeprefix('Delegate/')} (XNNPACK)", f"number {len(found)}", float(microseconds)))
        elif kind == OPERATOR and WHOLE_PARTITION not in tag:
            found.append((tag, f"number {len(found)}, node {node}", float(microseconds)))
    return found


def _library() -> Path:
    found = package_version("ai-edge-litert") or "unknown"
    spec = find_spec("ai_edge_litert")
    if not found.startswith(RELEASE) or spec is None or spec.origin is None:
        raise InputError(
            f"--profile: it knows ai-edge-litert {RELEASE}x only, this is {found}; pip install "
            f"ai-edge-litert=={RELEASE}*"
        )
    return Path(spec.origin).parent / "libLiteRt.so"
