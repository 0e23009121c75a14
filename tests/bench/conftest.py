"""A small convolutional network as a .tflite file, written through the schema: no test here needs TensorFlow."""

import sys
from collections.abc import Callable
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

MakeModel = Callable[..., Path]
"""A file name and the options of `small_network` to the path of the file."""


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    def make(name: str, *, size: int = 16, middle: str = "ADD") -> Path:
        path = tmp_path_factory.mktemp("model") / name
        path.write_bytes(small_network(size, middle))
        return path

    return make


@pytest.fixture(scope="session")
def model(make_model: MakeModel) -> Path:
    return make_model("small.tflite")


@pytest.fixture(scope="session")
def larger_model(make_model: MakeModel) -> Path:
    return make_model("larger.tflite", size=48)


@pytest.fixture(scope="session")
def make_int8(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """A scale and the name of an activation to the path of `int8_network`'s file."""

    def make(scale: float = 0.1, activation: str = "RELU6") -> Path:
        path = tmp_path_factory.mktemp("int8") / f"{activation.lower()}.tflite"
        path.write_bytes(int8_network(scale, activation))
        return path

    return make


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A stand-in for benchmark_model: 2 ms with one thread, 1.25 ms with two."""
    path = tmp_path / "benchmark_model"
    path.write_text(
        f"""#!{sys.executable} -S
import sys
options = dict(word[2:].split("=", 1) for word in sys.argv[1:])
print("INFO: STARTING!\\nINFO: Graph: [" + options["graph"] + "]")
if len(open(options["graph"], "rb").read()) < 4000:
    print("ERROR: Failed to load model " + options["graph"])
    sys.exit(1)
mean = 2000 if options["num_threads"] == "1" else "1.25e+03"
print("INFO: Explicitly applied XNNPACK delegate, and the model graph will be partially executed by the delegate "
      "w/ 2 delegate kernels.")
print("INFO: count=3 first=9000 curr=2500 min=2400 max=9000 avg=4100 std=1")
print(f"INFO: count={{options['num_runs']}} first=2100 curr=2000 min=1900 max=2300 avg={{mean}} std=50")
print(f"INFO: Inference timings in us: Init: 21300, First inference: 9000, Warmup (avg): 4100, "
      f"Inference (avg): {{mean}}")
print("INFO: Overall peak memory footprint (MB) via periodic monitoring: 12.5")
"""
    )
    return path


def small_network(size: int, middle: str) -> bytes:
    """A 3x3 convolution, an operator on its result and its input, a 3x3 convolution; 1 x size x size x 8 float32."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers, model.operatorCodes = 3, [schema.BufferT()], []
    graph.tensors, graph.operators = [], []
    x, first, second, result = (_tensor(graph, name, (1, size, size, 8)) for name in ("x", "first", "second", "result"))
    _convolution(model, graph, x, first)
    _operator(model, graph, middle, [first, x], second, schema.AddOptionsT())
    _convolution(model, graph, second, result)
    graph.inputs, graph.outputs = np.array([x], np.int32), np.array([result], np.int32)
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _convolution(model: schema.ModelT, graph: schema.SubGraphT, source: int, target: int) -> None:
    kernel = _constant(model, graph, np.full((8, 3, 3, 8), 0.01, np.float32))
    bias = _constant(model, graph, np.zeros(8, np.float32))
    options = schema.Conv2DOptionsT()
    options.padding, options.strideH, options.strideW = schema.Padding.SAME, 1, 1
    options.dilationHFactor = options.dilationWFactor = 1
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU
    _operator(model, graph, "CONV_2D", [source, kernel, bias], target, options)


def _tensor(graph: schema.SubGraphT, name: str, shape: tuple[int, ...], buffer: int = 0) -> int:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer = name.encode(), np.array(shape, np.int32), buffer
    tensor.type = schema.TensorType.FLOAT32
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _constant(model: schema.ModelT, graph: schema.SubGraphT, value: np.ndarray) -> int:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(value.tobytes(), np.uint8)
    model.buffers.append(buffer)
    return _tensor(graph, f"constant{len(model.buffers)}", value.shape, len(model.buffers) - 1)


def _operator(
    model: schema.ModelT, graph: schema.SubGraphT, name: str, inputs: list[int], output: int, options: object
) -> None:
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, name)
    code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
    model.operatorCodes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
    operator.builtinOptions = options
    graph.operators.append(operator)


def int8_network(scale: float, activation: str) -> bytes:
    """A 3x3 int8 convolution with a scale per channel, and an activation on its own; 1 x 12 x 12 x 8."""
    model, graph, rng = schema.ModelT(), schema.SubGraphT(), np.random.default_rng(0)
    model.version, model.buffers, model.operatorCodes, graph.tensors = 3, [schema.BufferT()], [], []
    scales = rng.uniform(0.002, 0.01, 8).astype(np.float32)

    def tensor(name: str, shape: tuple[int, ...], dtype: str, scale: np.ndarray, data: np.ndarray | None = None) -> int:
        made, quantization = schema.TensorT(), schema.QuantizationParametersT()
        made.name, made.shape, made.type = name, np.array(shape, np.int32), getattr(schema.TensorType, dtype)
        quantization.scale, quantization.zeroPoint = scale, np.zeros(len(scale), np.int64)
        made.quantization = quantization
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            model.buffers.append(buffer)
            made.buffer = len(model.buffers) - 1
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    one = lambda value: np.array([value], np.float32)  # noqa: E731
    weights = rng.integers(-127, 127, (8, 3, 3, 8), np.int8)
    bias = rng.integers(-500, 500, 8, np.int32)
    x = tensor("x", (1, 12, 12, 8), "INT8", one(0.05))
    ends = [
        x,
        tensor("weights", weights.shape, "INT8", scales, weights),
        tensor("bias", bias.shape, "INT32", scales * np.float32(0.05), bias),
    ]
    middle = tensor("conv", (1, 12, 12, 8), "INT8", one(0.1))
    result = tensor("result", (1, 12, 12, 8), "INT8", one(scale))
    options = schema.Conv2DOptionsT()
    options.padding, options.strideH, options.strideW = schema.Padding.SAME, 1, 1
    options.dilationHFactor = options.dilationWFactor = 1
    graph.operators = [
        _node(model, "CONV_2D", ends, middle, schema.BuiltinOptions.Conv2DOptions, options),
        _node(model, activation, [middle], result),
    ]
    graph.inputs, graph.outputs = np.array([x], np.int32), np.array([result], np.int32)
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _node(
    model: schema.ModelT, name: str, inputs: list[int], output: int, kind: int = 0, options: object = None
) -> schema.OperatorT:
    code, made = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode, code.version = getattr(schema.BuiltinOperator, name), 3 if name == "CONV_2D" else 2
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    model.operatorCodes.append(code)
    made.opcodeIndex, made.builtinOptionsType, made.builtinOptions = len(model.operatorCodes) - 1, kind, options
    made.inputs, made.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
    return made
