"""Builds a TensorRT engine from an ONNX file and times it: a script of its own, that needs tensorrt and cuda-python.

Strongly typed, so the precision of each layer is what the file says (TensorRT 10 asks for the flag, 11 ignores it).
TensorRT itself has never run where this was written: it is tested against a small fake of the module's interface.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

WORKSPACE = 4 << 30  # bytes that a tactic may use


def build(onnx_file: Path, engine_file: Path, batch: int = 1) -> None:
    """Writes the engine of an ONNX file; `batch` is for a file that leaves it open.

    Raises:
        RuntimeError: TensorRT's parser or builder refuses the file.
    """
    import tensorrt as trt

    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx_file.read_bytes()):
        raise RuntimeError("; ".join(str(parser.get_error(i)) for i in range(parser.num_errors)))
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    profile = builder.create_optimization_profile()
    tensors = [network.get_input(i) for i in range(network.num_inputs)]
    for tensor in tensors:
        if -1 in tuple(tensor.shape):
            shape = tuple(batch if side == -1 else side for side in tensor.shape)
            profile.set_shape(tensor.name, shape, shape, shape)
    if any(-1 in tuple(tensor.shape) for tensor in tensors):
        config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeError(f"TensorRT builds no engine from {onnx_file}; its log says why")
    whole = engine_file.with_name(f".{engine_file.name}.{os.getpid()}")
    try:
        whole.write_bytes(bytes(plan))
        whole.replace(engine_file)  # the engine is there whole or not at all
    finally:
        whole.unlink(missing_ok=True)


def measure(engine_file: Path, runs: int = 100, warm_up: int = 10, batch: int = 1) -> list[float]:
    """Milliseconds of each run on the GPU, copies left out.

    Raises:
        RuntimeError: TensorRT cannot read or run the engine, or CUDA fails.
    """
    import tensorrt as trt
    from cuda.bindings import runtime as cuda

    engine = trt.Runtime(trt.Logger(trt.Logger.WARNING)).deserialize_cuda_engine(engine_file.read_bytes())
    if engine is None:
        raise RuntimeError(f"TensorRT cannot read {engine_file}; its log says why")
    context, stream = engine.create_execution_context(), _ok(cuda.cudaStreamCreate())
    buffers = []
    for name in (engine.get_tensor_name(i) for i in range(engine.num_io_tensors)):
        shape = tuple(batch if side == -1 else side for side in engine.get_tensor_shape(name))
        if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT:
            context.set_input_shape(name, shape)
        size = int(trt.volume(shape)) * int(engine.get_tensor_dtype(name).itemsize)
        buffers.append(_ok(cuda.cudaMalloc(size)))
        _ok(cuda.cudaMemset(buffers[-1], 0, size))
        context.set_tensor_address(name, int(buffers[-1]))
    taken = []
    for run in range(warm_up + runs):
        start = time.perf_counter()
        if not context.execute_async_v3(stream):
            raise RuntimeError("TensorRT could not run the engine")
        _ok(cuda.cudaStreamSynchronize(stream))
        if run >= warm_up:
            taken.append(1e3 * (time.perf_counter() - start))
    for buffer in buffers:
        _ok(cuda.cudaFree(buffer))
    return taken


def _ok(result: Any) -> Any:
    """What a CUDA call returns behind its status."""
    status, *values = result
    if int(status):
        raise RuntimeError(f"CUDA says {status}")
    return values[0] if values else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("onnx", type=Path)
    parser.add_argument("--engine", type=Path, help="default: beside the ONNX file")
    parser.add_argument("--batch", type=int, default=1, help="where the file leaves it open")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--force", action="store_true", help="replace an engine that exists")
    arguments = parser.parse_args()
    if not arguments.onnx.is_file():
        parser.error(f"{arguments.onnx}: no such file; name an .onnx file that is there")
    for name in ("batch", "runs"):
        if (number := getattr(arguments, name)) < 1:
            parser.error(f"--{name} {number}: at least 1")
    engine = arguments.engine or arguments.onnx.with_suffix(".engine")
    if engine.exists() and not arguments.force:
        parser.error(f"{engine} exists already; give --force to replace it, or another --engine")
    try:
        build(arguments.onnx, engine, arguments.batch)
        taken = measure(engine, arguments.runs, batch=arguments.batch)
    except (RuntimeError, ImportError) as error:
        sys.exit(f"{error}; this needs the tensorrt and cuda-python modules, and a file that TensorRT takes")
    json.dump({"engine": str(engine), "median_ms": statistics.median(taken), "runs": len(taken)}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
