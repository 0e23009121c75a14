"""For TensorRT: the files, the lines, and the engine's code path against a small fake of the module's interface.

TensorRT itself has never run here.
"""

import ast
import json
import sys
import types
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest

from keras_cnnzoo import InputError
from keras_cnnzoo.export import Card, to_tensorrt
from keras_cnnzoo.export.cli import app
from keras_cnnzoo.export.onnx import build_engine
from keras_cnnzoo.export.onnx.check import check_qdq


class Fake:
    """What of `tensorrt` and `cuda.bindings.runtime` the script touches; calls are kept in `log`."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    def modules(self, errors: int = 0) -> dict[str, types.ModuleType]:
        log = self.log
        trt, cuda, bindings, runtime = (
            types.ModuleType(name) for name in ("tensorrt", "cuda", "cuda.bindings", "cuda.bindings.runtime")
        )

        class Logger:
            WARNING = 1

            def __init__(self, level: int) -> None: ...

        class Network:
            model: onnx.ModelProto

            @property
            def num_inputs(self) -> int:
                return len(self.model.graph.input)

            def get_input(self, index: int) -> Any:
                tensor = self.model.graph.input[index]
                shape = [side.dim_value or -1 for side in tensor.type.tensor_type.shape.dim]
                return types.SimpleNamespace(name=tensor.name, shape=shape)

        class Config:
            def set_memory_pool_limit(self, pool: Any, size: int) -> None:
                log.append(("workspace", size))

            def add_optimization_profile(self, profile: Any) -> None:
                log.append("profile")

        class Profile:
            def set_shape(self, name: str, *shapes: tuple[int, ...]) -> None:
                log.append((name, *shapes))

        class Builder:
            def __init__(self, logger: Logger) -> None: ...

            def create_network(self, flags: int) -> Network:
                log.append(("flags", flags))
                return Network()

            def create_builder_config(self) -> Config:
                return Config()

            def create_optimization_profile(self) -> Profile:
                return Profile()

            def build_serialized_network(self, network: Network, config: Config) -> bytes:
                return network.model.SerializeToString()

        class OnnxParser:
            num_errors = errors

            def __init__(self, network: Network, logger: Logger) -> None:
                self.network = network

            def parse(self, content: bytes) -> bool:
                self.network.model = onnx.load_from_string(content)
                return not errors

            def get_error(self, index: int) -> str:
                return f"error {index}"

        class Context:
            def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
                log.append((name, shape))

            def set_tensor_address(self, name: str, address: int) -> None:
                log.append(("address", name))

            def execute_async_v3(self, stream: int) -> bool:
                log.append("run")
                return True

        class Engine:
            def __init__(self, content: bytes) -> None:
                graph = onnx.load_from_string(content).graph
                self.tensors = [*graph.input, *graph.output]
                self.inputs = {tensor.name for tensor in graph.input}
                self.num_io_tensors = len(self.tensors)

            def create_execution_context(self) -> Context:
                return Context()

            def get_tensor_name(self, index: int) -> str:
                return str(self.tensors[index].name)

            def get_tensor_shape(self, name: str) -> list[int]:
                (tensor,) = (t for t in self.tensors if t.name == name)
                return [side.dim_value or -1 for side in tensor.type.tensor_type.shape.dim]

            def get_tensor_mode(self, name: str) -> int:
                return 1 if name in self.inputs else 2

            def get_tensor_dtype(self, name: str) -> Any:
                return types.SimpleNamespace(itemsize=4)

        class Runtime:
            def __init__(self, logger: Logger) -> None: ...

            def deserialize_cuda_engine(self, content: bytes) -> Engine:
                return Engine(content)

        trt.__dict__.update(
            Logger=Logger,
            Builder=Builder,
            OnnxParser=OnnxParser,
            Runtime=Runtime,
            NetworkDefinitionCreationFlag=types.SimpleNamespace(STRONGLY_TYPED=1),
            MemoryPoolType=types.SimpleNamespace(WORKSPACE=0),
            TensorIOMode=types.SimpleNamespace(INPUT=1),
            volume=lambda shape: int(np.prod(shape)),
        )
        runtime.__dict__.update(
            cudaStreamCreate=lambda: (0, 7),
            cudaMalloc=lambda size: (0, log.append(("malloc", size)) or 1),
            cudaMemset=lambda pointer, value, size: (0,),
            cudaStreamSynchronize=lambda stream: (0,),
            cudaFree=lambda pointer: (0, log.append("free")),
        )
        cuda.__dict__["bindings"], bindings.__dict__["runtime"] = bindings, runtime
        return {"tensorrt": trt, "cuda": cuda, "cuda.bindings": bindings, "cuda.bindings.runtime": runtime}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    found = Fake()
    for name, module in found.modules().items():
        module.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
        monkeypatch.setitem(sys.modules, name, module)
    return found


def test_without_the_module_the_file_the_script_and_the_lines_are_given(resnet: keras.Model, tmp_path: Path) -> None:
    prepared = to_tensorrt(resnet, tmp_path / "a b.onnx", batch=None)
    assert prepared.engine is None
    assert prepared.card.quantization["scheme"] == "float16"
    assert prepared.script == tmp_path / "build_engine.py"
    ast.parse(prepared.script.read_text())
    script, trtexec, polygraphy = prepared.commands
    assert script == "python build_engine.py 'a b.onnx'"
    shapes = "image:1x3x32x32"
    assert trtexec == (
        "trtexec --onnx='a b.onnx' --stronglyTyped --saveEngine='a b.engine' "
        f"--minShapes={shapes} --optShapes={shapes} --maxShapes={shapes}"
    )
    assert polygraphy.startswith("polygraphy run 'a b.onnx' --trt --onnxrt --strongly-typed --atol 1e-1")
    assert polygraphy.endswith("--input-shapes 'image:[1,3,32,32]'")
    to_tensorrt(resnet, tmp_path / "c.onnx", quantize="float32")  # the same script serves both
    (tmp_path / "build_engine.py").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        to_tensorrt(resnet, tmp_path / "d.onnx")


def test_with_the_module_the_engine_is_built_strongly_typed_and_timed(
    fake: Fake, resnet: keras.Model, some_images: np.ndarray, tmp_path: Path
) -> None:
    prepared = to_tensorrt(resnet, tmp_path / "a.onnx", quantize="int8", calibration=some_images, batch=None)
    assert prepared.engine == tmp_path / "a.engine"
    assert prepared.engine.is_file()
    assert prepared.median_ms is not None
    assert check_qdq(onnx.load(tmp_path / "a.onnx")) == []
    assert ("flags", 1 << 1) in fake.log
    shape = (1, 3, 32, 32)
    assert ("image", shape, shape, shape) in fake.log
    assert fake.log.count("run") == 110
    assert [entry for entry in fake.log if entry[0] == "malloc"] == [("malloc", 4 * 3072), ("malloc", 4 * 10)]
    assert fake.log.count("free") == 2


def test_what_the_parser_refuses_is_said(monkeypatch: pytest.MonkeyPatch, resnet: keras.Model, tmp_path: Path) -> None:
    for name, module in Fake().modules(errors=2).items():
        monkeypatch.setitem(sys.modules, name, module)
    to_onnx_file = tmp_path / "a.onnx"
    from keras_cnnzoo.export import to_onnx

    to_onnx(resnet, to_onnx_file)
    with pytest.raises(RuntimeError, match="error 0; error 1"):
        build_engine.build(to_onnx_file, tmp_path / "a.engine")
    assert not (tmp_path / "a.engine").exists()


def test_an_engine_that_stands_there_is_kept_unless_forced(fake: Fake, resnet: keras.Model, tmp_path: Path) -> None:
    engine = tmp_path / "a.engine"
    engine.write_text("mine")
    with pytest.raises(InputError, match=r"a\.engine: exists already"):
        to_tensorrt(resnet, tmp_path / "a.onnx", quantize="float32")
    assert [path.name for path in tmp_path.iterdir()] == ["a.engine"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["build_engine.py", str(tmp_path / "a.onnx")])
        with pytest.raises(SystemExit):
            build_engine.main()
    assert engine.read_text() == "mine"
    to_tensorrt(resnet, tmp_path / "a.onnx", quantize="float32", force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.engine", "a.onnx", "a.onnx.json", "build_engine.py"]
    assert engine.read_bytes() != b"mine"


def test_without_cuda_s_module_or_with_an_engine_that_is_none_the_file_stands_and_the_reason_is_said(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, resnet: keras.Model, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys.modules["tensorrt"].Runtime, "deserialize_cuda_engine", lambda self, content: None)
    with pytest.raises(InputError, match=r"a\.onnx is written, but .* cannot read"):
        to_tensorrt(resnet, tmp_path / "a.onnx", quantize="float32")
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(InputError, match=r"b\.onnx is written, but .*cuda"):
        to_tensorrt(resnet, tmp_path / "b.onnx", quantize="float32")


def test_the_script_runs_by_itself(fake: Fake, resnet: keras.Model, tmp_path: Path, capsys: Any) -> None:
    from keras_cnnzoo.export import to_onnx

    to_onnx(resnet, tmp_path / "a.onnx")
    argv, sys.argv = sys.argv, ["build_engine.py", str(tmp_path / "a.onnx"), "--runs", "3"]
    try:
        build_engine.main()
    finally:
        sys.argv = argv
    assert json.loads(capsys.readouterr().out)["runs"] == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["absent.onnx"], "absent.onnx: no such file"),
        (["a.onnx", "--runs", "0"], "--runs 0: at least 1"),
        (["a.onnx", "--batch", "-1"], "--batch -1: at least 1"),
        (["a.onnx"], "error 0; error 1"),
        (["a.onnx"], "tensorrt"),
    ],
    ids=["no file", "no runs", "no batch", "refused", "no module"],
)
def test_the_script_says_what_is_wrong_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
    resnet: keras.Model,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    from keras_cnnzoo.export import to_onnx

    to_onnx(resnet, tmp_path / "a.onnx")
    for name, module in Fake().modules(errors=2).items():
        monkeypatch.setitem(sys.modules, name, None if sentence == "tensorrt" else module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["build_engine.py", *arguments])
    with pytest.raises(SystemExit) as stopped:
        build_engine.main()
    assert stopped.value.code != 0
    assert sentence in f"{stopped.value.code} {capsys.readouterr().err}"
    assert not (tmp_path / "a.engine").exists()


def test_int4_is_refused(resnet: keras.Model, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="TensorRT takes float32, float16, int8"):
        to_tensorrt(resnet, tmp_path / "a.onnx", quantize="int4")


def test_the_command_line_writes_onnx_and_tensorrt_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["resnet20", "--weights", "random", "-q", "--json", "-o", str(tmp_path)]
    app([*common, "--to", "onnx", "--layout", "NHWC", "--batch", "0", "--opset", "18"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["inputs"][0]["shape"] == [None, 32, 32, 3]
    chosen = ["--keep", "conv1", "--keep", "layer1_*", "--estimator", "mse", "--corrections", "none"]
    options = ["--to", "tensorrt", "--quantize", "int8", "--calibration", "random:4", *chosen]
    app([*common, *options], standalone_mode=False)
    captured = capsys.readouterr()
    assert json.loads(captured.out)["artifact"]["format"] == "onnx"
    assert "TensorRT itself has never run here" in captured.err
    assert "trtexec --onnx=resnet20_int8.onnx --stronglyTyped" in captured.err
    card = Card.read(tmp_path / "resnet20_int8.onnx.json")
    assert (card.quantization["scheme"], card.quantization["estimator"]) == ("int8", "mse")
    assert card.quantization["corrections"] == []
    assert {"conv1", "layer1_0_conv1"} <= set(card.quantization["kept"])
    for options, sentence in (
        (["--to", "tensorrt", "--layout", "NHWC"], "channels first"),
        (["--to", "tensorrt", "--quantize", "dynamic"], "TensorRT takes"),
        (["--to", "onnx", "--opset", "9"], "choose one of 13"),
        (["--to", "tensorrt", "--opset", "0"], "opset=0: choose one of 13"),
        (["--to", "onnx", "--io", "float16"], "need a float16 file"),
    ):
        with pytest.raises(InputError, match=sentence):
            app([*common, "--force", *options], standalone_mode=False)
