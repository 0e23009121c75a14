"""Runs an .onnx file by TensorRT's Python module, where there is no `trtexec`: the engine is kept in this process.

Needs `tensorrt` and `cuda-python`. Tested against a small fake of their interface; no GPU has run it yet.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import Description, InProcess, Tensor, random_inputs

WORKSPACE = 4 << 30  # bytes that a tactic may use
OPEN = 1  # the size of a side that the file leaves open


class TensorRTModuleRunner(InProcess):
    """An engine with its buffers on the GPU; a call is from launch to the end of the stream, copies left out.

    Args:
        path: of the .onnx file, strongly typed: its own precision is kept.
        threads: of no meaning here; the GPU does the work.
        seed: of the inputs.

    Raises:
        RuntimeError: TensorRT refuses the file, or CUDA a call.
    """

    def __init__(self, path: str | os.PathLike[str], *, threads: int = 1, seed: int = 0) -> None:
        import tensorrt as trt
        from cuda.bindings import runtime as cuda

        self.trt, self.cuda = trt, cuda
        logger = trt.Logger(trt.Logger.WARNING)
        self.engine = trt.Runtime(logger).deserialize_cuda_engine(_built(trt, logger, Path(path)))
        self.context, self.stream = self.engine.create_execution_context(), self._ok(cuda.cudaStreamCreate())
        names = [self.engine.get_tensor_name(index) for index in range(self.engine.num_io_tensors)]
        tensors = [self._tensor(name) for name in names]
        reads = [self.engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT for name in names]
        self.inputs = tuple(tensor for tensor, read in zip(tensors, reads, strict=True) if read)
        self.answers = [tensor for tensor, read in zip(tensors, reads, strict=True) if not read]
        self.buffers: dict[str, int] = {}
        for tensor in tensors:
            self.buffers[tensor.name] = int(self._ok(cuda.cudaMalloc(_empty(tensor).nbytes)))
            self.context.set_tensor_address(tensor.name, self.buffers[tensor.name])
        for tensor in self.inputs:
            self.context.set_input_shape(tensor.name, tensor.shape)
        self._set(random_inputs(self.inputs, seed))

    def invoke(self) -> None:
        if not self.context.execute_async_v3(self.stream):
            raise RuntimeError("TensorRT could not run the engine")
        self._ok(self.cuda.cudaStreamSynchronize(self.stream))

    def outputs(self, inputs: Sequence[NDArray]) -> list[NDArray]:
        self._set(inputs)
        self.invoke()
        found = [_empty(tensor) for tensor in self.answers]
        for tensor, array in zip(self.answers, found, strict=True):
            self._copy(array.ctypes.data, self.buffers[tensor.name], array.nbytes, "cudaMemcpyDeviceToHost")
        return found

    def describe(self) -> Description:
        device = self._ok(self.cuda.cudaGetDeviceProperties(0)).name
        return Description(
            versions={"TensorRT": str(self.trt.__version__)},
            device=device.decode() if isinstance(device, bytes) else str(device),
            flags={"strongly typed": "on"},
        )

    def close(self) -> None:
        while self.buffers:
            self._ok(self.cuda.cudaFree(self.buffers.popitem()[1]))

    def _tensor(self, name: str) -> Tensor:
        shape = tuple(OPEN if side == -1 else int(side) for side in self.engine.get_tensor_shape(name))
        kind = self.engine.get_tensor_dtype(name)
        try:
            return Tensor(name, shape, np.dtype(self.trt.nptype(kind)).name)
        except TypeError as error:
            raise RuntimeError(f"{name} is of type {kind}, which numpy has not") from error

    def _set(self, inputs: Sequence[NDArray]) -> None:
        for tensor, value in zip(self.inputs, inputs, strict=True):
            array = np.ascontiguousarray(value, tensor.dtype).reshape(tensor.shape)
            self._copy(self.buffers[tensor.name], array.ctypes.data, array.nbytes, "cudaMemcpyHostToDevice")

    def _copy(self, target: int, source: int, size: int, way: str) -> None:
        self._ok(self.cuda.cudaMemcpy(target, source, size, getattr(self.cuda.cudaMemcpyKind, way)))

    @staticmethod
    def _ok(result: Any) -> Any:
        """What a CUDA call returns behind its status."""
        status, *values = result
        if int(status):
            raise RuntimeError(f"CUDA says {status}")
        return values[0] if values else None


def _empty(tensor: Tensor) -> NDArray:
    return np.zeros(tensor.shape, tensor.dtype)


def _built(trt: Any, logger: Any, path: Path) -> Any:
    """The serialised engine of an ONNX file."""
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(path.read_bytes()):
        raise RuntimeError("; ".join(str(parser.get_error(index)) for index in range(parser.num_errors)))
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    left_open = [t for t in map(network.get_input, range(network.num_inputs)) if -1 in tuple(t.shape)]
    for tensor in left_open:
        profile.set_shape(tensor.name, *[tuple(OPEN if side == -1 else side for side in tensor.shape)] * 3)
    if left_open:
        config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise RuntimeError(f"TensorRT builds no engine from {path}; its log says why")
    return engine
