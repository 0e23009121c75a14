"""TensorRT's Python module as a runner, against a small fake of the interface whose memory is this machine's.

TensorRT itself has never run here.
"""

import ctypes
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_cnnzoo.mobile_bench import runners
from keras_cnnzoo.mobile_bench.order import Configuration
from keras_cnnzoo.mobile_bench.runners import open_runner

SHAPE = (-1, 3)


class Engine:
    """Doubles its input "x" into "y"."""

    num_io_tensors = 2

    def __init__(self, log: list[Any]) -> None:
        self.log, self.addresses = log, {}

    def get_tensor_name(self, index: int) -> str:
        return "xy"[index]

    def get_tensor_mode(self, name: str) -> str:
        return {"x": "in", "y": "out"}[name]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return SHAPE

    def get_tensor_dtype(self, name: str) -> str:
        return "float"

    def create_execution_context(self) -> "Engine":
        return self

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        self.log.append((name, shape))

    def execute_async_v3(self, stream: int) -> bool:
        x, y = ((ctypes.c_float * 3).from_address(self.addresses[name]) for name in "xy")
        y[:] = [2 * value for value in x]
        self.log.append("run")
        return True


def fake_tensorrt(log: list[Any]) -> types.ModuleType:
    trt = types.ModuleType("tensorrt")
    tensor = types.SimpleNamespace(name="x", shape=SHAPE)
    network = types.SimpleNamespace(num_inputs=1, get_input=lambda index: tensor)
    builder = types.SimpleNamespace(
        create_network=lambda flags: network,
        create_builder_config=lambda: types.SimpleNamespace(
            set_memory_pool_limit=lambda pool, size: None,
            add_optimization_profile=lambda profile: log.append("profile"),
        ),
        create_optimization_profile=lambda: types.SimpleNamespace(set_shape=lambda *shapes: log.append(shapes)),
        build_serialized_network=lambda network, config: b"engine",
    )
    parser = types.SimpleNamespace(parse=lambda content: content == b"good", num_errors=1, get_error=lambda i: "no Erf")
    vars(trt).update(
        __version__="11.0",
        Logger=type("Logger", (), {"WARNING": 1, "__init__": lambda self, level: None}),
        Builder=lambda logger: builder,
        OnnxParser=lambda network, logger: parser,
        Runtime=lambda logger: types.SimpleNamespace(deserialize_cuda_engine=lambda content: Engine(log)),
        NetworkDefinitionCreationFlag=types.SimpleNamespace(STRONGLY_TYPED=1),
        MemoryPoolType=types.SimpleNamespace(WORKSPACE=0),
        TensorIOMode=types.SimpleNamespace(INPUT="in"),
        nptype=lambda kind: np.float32,
    )
    return trt


class FakeCuda(types.ModuleType):
    """Its device memory is the host's."""

    cudaMemcpyKind = types.SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)  # noqa: N815

    def __init__(self) -> None:
        super().__init__("cuda.bindings.runtime")
        self.held: dict[int, Any] = {}

    def cudaStreamCreate(self) -> tuple[int, int]:
        return 0, 7

    def cudaStreamSynchronize(self, stream: int) -> tuple[int]:
        return (0 if stream == 7 else 1,)

    def cudaMalloc(self, size: int) -> tuple[int, int]:
        buffer = ctypes.create_string_buffer(size)
        self.held[ctypes.addressof(buffer)] = buffer
        return 0, ctypes.addressof(buffer)

    def cudaMemcpy(self, target: int, source: int, size: int, way: int) -> tuple[int]:
        ctypes.memmove(target, source, size)
        return (0,)

    def cudaFree(self, address: int) -> tuple[int]:
        return (0 if self.held.pop(address, None) is not None else 700,)

    def cudaGetDeviceProperties(self, index: int) -> tuple[int, Any]:
        return 0, types.SimpleNamespace(name=b"NVIDIA Stand-in")


@pytest.fixture
def log() -> list[Any]:
    return []


@pytest.fixture
def cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: list[Any]) -> FakeCuda:
    """The fakes in the modules' place, and no trtexec."""
    runtime = FakeCuda()
    bindings = types.ModuleType("cuda.bindings")
    bindings.runtime = runtime  # type: ignore[attr-defined]
    names = {"tensorrt": fake_tensorrt(log), "cuda": types.ModuleType("cuda"), "cuda.bindings": bindings}
    for name, module in names.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("keras_cnnzoo.mobile_bench.runners.tensorrt.find_spec", lambda name: object())
    return runtime


def test_the_module_s_engine_reads_inputs_answers_and_frees_its_memory(
    cuda: FakeCuda, log: list[Any], tmp_path: Path
) -> None:
    (tmp_path / "a.onnx").write_bytes(b"good")
    runner = open_runner(Configuration(tmp_path / "a.onnx", "tensorrt"))
    assert runner.inputs == (runners.Tensor("x", (1, 3), "float32"),)
    assert ("x", (1, 3), (1, 3), (1, 3)) in log
    assert "profile" in log
    given = np.array([[1.0, 2.0, 3.0]], np.float32)
    np.testing.assert_array_equal(runner.outputs([given])[0], 2 * given)
    before = log.count("run")
    assert len(runner.time_block(5)[1]) == 5
    assert log.count("run") == before + 5
    told = runner.describe()
    assert (told.versions, told.device) == ({"TensorRT": "11.0"}, "NVIDIA Stand-in")
    runner.close()
    runner.close()
    assert cuda.held == {}


def test_a_file_that_the_module_s_parser_refuses_says_why(cuda: FakeCuda, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"bad")
    with pytest.raises(RuntimeError, match="no Erf"):
        open_runner(Configuration(tmp_path / "a.onnx", "tensorrt"))


def test_a_type_that_numpy_has_not_is_named(cuda: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(kind: object) -> None:
        raise TypeError("no equivalent")

    monkeypatch.setattr(sys.modules["tensorrt"], "nptype", refuse)
    (tmp_path / "a.onnx").write_bytes(b"good")
    with pytest.raises(RuntimeError, match="x is of type float, which numpy has not"):
        open_runner(Configuration(tmp_path / "a.onnx", "tensorrt"))
