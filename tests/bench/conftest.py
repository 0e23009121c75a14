"""A small convolutional network as a .tflite file, written through the schema: no test here needs TensorFlow."""

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
    code.deprecatedBuiltinCode, code.version = code.builtinCode, 1
    model.operatorCodes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
    operator.builtinOptions = options
    graph.operators.append(operator)
