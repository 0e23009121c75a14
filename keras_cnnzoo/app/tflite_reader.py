"""A .tflite classifier as a network of the zoo: dequantized, and matched operator by operator with the builder's graph.

A file has its batch normalisation folded, so the network is built without (`norm="none"`, biases). Where the two differ
in one operator, kernel, stride, padding or activation, nothing is read. What a file says in other words is the same: a
pool of the whole map is a mean, a 1x1 convolution of a 1x1 map a dense layer. A softmax at the end is left out: the
network gives logits.
"""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..export.card import Card, card_path
from ..export.contents import parse
from ..export.graph import Graph, Node, from_keras
from ..export.lowering.activation import separate_activations
from ..export.lowering.identity import remove_identities
from ..preprocessing import Preprocessing
from ..registry import builder_of, create, info
from ..weights.load import assign

if TYPE_CHECKING:
    import keras

WEIGHTED = {"CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2D", "FULLY_CONNECTED": "Dense"}
POOLS = {"MAX_POOL_2D": "MaxPooling2D", "AVERAGE_POOL_2D": "AveragePooling2D"}
OTHERS = {"ADD": "Add", "MUL": "Multiply", "MEAN": "GlobalAveragePooling2D", "CONCATENATION": "Concatenate"}
ACTIVATIONS = {"RELU": "relu", "RELU6": "relu6", "LOGISTIC": "sigmoid", "TANH": "tanh"}
SILENT = {"QUANTIZE", "DEQUANTIZE", "RESHAPE"}  # the same numbers behind them
UNORDERED = {"Add", "Multiply"}


@dataclass(frozen=True)
class Step:
    """One operator as both sides describe it.

    Args:
        op: the Keras layer's class.
        shape: of the output, without the batch; a 1x1 map is a vector.
        kernel: height, width, input and output channels (of a pool: its window); empty without one.
        strides: down and right.
        pads: zeros above, below, left and right.
        activation: fused behind it; "" for none.
    """

    op: str
    shape: tuple[int, ...]
    kernel: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()
    activation: str = ""

    def __str__(self) -> str:
        kernel = f" {_by(self.kernel)}" if self.kernel else ""
        window = f", strides {_by(self.strides)}, zeros {'+'.join(map(str, self.pads))}" if self.strides else ""
        return f"{self.op}{kernel}{window} to {_by(self.shape)} {self.activation}".strip()


@dataclass(frozen=True)
class Call:
    """A step between tensors, which are numbers in the file and references in the graph.

    Args:
        step: what it does.
        inputs: what it reads, constants apart.
        output: what it makes.
        weights: in the file the kernel's tensor, then the bias'; in the graph the layer's name.
    """

    step: Step
    inputs: tuple[Any, ...]
    output: Any
    weights: tuple[Any, ...] = ()


def read_tflite(
    path: str | PathLike[str], network: str, **options: Any
) -> tuple["keras.Model", dict[str, Any], Preprocessing | None]:
    """The zoo's network with a file's weights.

    Args:
        path: of a .tflite classifier with one image input: float32, float16, int8 or uint8.
        network: a name of the registry.
        options: of its builder; without them norm="none", padding="same", and input size and classes from the file.

    Returns:
        The network, giving logits; the options that it was built with; and how its pixels are prepared: from the
        file's card, or from scale and zero point of a uint8 input, else None.

    Raises:
        InputError: not a .tflite file, or one of another network; the first difference is named.
    """
    try:
        file = _File(parse(Path(path).read_bytes()))
    except OSError as error:
        raise InputError(f"{path}: not a readable file ({error.strerror})") from error
    known = inspect.signature(builder_of(network)).parameters
    usual = {
        "norm": "none",
        "padding": "same",
        "input_shape": file.shape(file.input)[1:],
        "classes": file.shape(file.output)[-1],
        "classifier_activation": None,
    }
    chosen = {key: value for key, value in usual.items() if key in known} | options
    model = create(network, **chosen)
    graph = separate_activations(remove_identities(from_keras(model)))
    try:
        assign(model, dict(_matched(file, graph)))
    except InputError as error:
        settings = ", ".join(f"{key}={value}" for key, value in chosen.items())
        raise InputError(f"{path}: not the weights of {info(network).name} ({settings}): {error}") from error
    return model, chosen, _preprocessing(path, file)


def _matched(file: "_File", graph: Graph) -> Iterator[tuple[str, np.ndarray]]:
    """The file's weights by `layer/variable`; each operator of the file is matched with one layer of the graph."""
    names: dict[int, str] = {file.input: graph.inputs[0].name}
    left = list(_graph_calls(graph))
    for call in file.calls():
        inputs = [names[i] for i in call.inputs]
        fits = [other for other in left if other.step == call.step and _same(call.step, list(other.inputs), inputs)]
        if len(fits) != 1:
            there = [str(other.step) for other in left if set(other.inputs) & set(inputs)] or ["its end"]
            fault = f"could be any of {len(fits)} layers" if fits else f"stands where the network has {there[0]}"
            raise InputError(f"the file's {call.step} {fault}")
        left.remove(fits[0])
        names[call.output] = fits[0].output
        if call.weights:
            yield from _variables(graph.nodes[fits[0].weights[0]], *file.kernel_and_bias(call))
    if left:
        raise InputError(f"the file ends before {left[0].step}")


def _variables(node: Node, kernel: np.ndarray, bias: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield f"{node.name}/kernel", kernel.reshape(node.weights[0].shape)
    if len(node.weights) > 1:
        yield f"{node.name}/bias", bias
    elif bias.any():
        raise InputError(f"{node.name} has no bias, but the file has one there")


def _graph_calls(graph: Graph) -> Iterator[Call]:
    """The graph's layers, an activation with the layer that it alone reads."""
    readers = graph.readers()
    fused = {
        node.inputs[0]: node
        for node in graph.nodes.values()
        if node.op == "Activation"
        and readers[node.inputs[0]] == 1
        and node.config["activation"] in ("relu", "relu6")
        and graph.producer(node.inputs[0]).op in {*WEIGHTED.values(), "Add"}
    }
    behind = {node.name for node in fused.values()}
    for node in graph.nodes.values():
        if node.op == "InputLayer" or node.name in behind:
            continue
        activation = fused.get(node.name)
        function = "" if activation is None else activation.config["activation"]
        weights = (node.name,) if node.op in WEIGHTED.values() else ()
        yield Call(_step_of(graph, node, function), node.inputs, (activation or node).name, weights)


def _step_of(graph: Graph, node: Node, activation: str) -> Step:
    if node.op == "Activation":
        return Step(node.config["activation"], _vector(node.shape))
    if node.op == "ZeroPadding2D":
        return Step(node.op, node.shape, pads=tuple(side for axis in node.config["padding"] for side in axis))
    window = node.config.get("kernel_size") or node.config.get("pool_size")
    if window is None:
        kernel = tuple(node.weights[0].shape) if node.weights else ()
        return Step(node.op, _vector(node.shape), kernel, activation=activation)
    source = graph.producer(node.inputs[0])
    kernel = tuple(node.weights[0].shape) if node.weights else tuple(window)
    same = node.config["padding"] == "same"
    return _windowed(node.op, source.shape, node.shape, kernel, tuple(node.config["strides"]), same, activation)


def _windowed(
    op: str,
    source: tuple[int, ...],
    shape: tuple[int, ...],
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    same: bool,
    activation: str,
) -> Step:
    """A convolution or pool of a (h, w, c) map, or what it amounts to."""
    if op == "Conv2D" and source[:2] == kernel[:2] == (1, 1):
        return Step("Dense", _vector(shape), kernel[2:], activation=activation)
    if op == "AveragePooling2D" and kernel == source[:2] and shape[:2] == (1, 1):
        return Step("GlobalAveragePooling2D", _vector(shape))
    pads: list[int] = []
    for size, length, window, stride in zip(source, shape, kernel, strides, strict=False):
        missing = max((length - 1) * stride + window - size, 0) if same else 0
        pads += [missing // 2, missing - missing // 2]
    return Step(op, shape, kernel, strides, tuple(pads), activation)


class _File:
    """A parsed .tflite file's first graph."""

    def __init__(self, model: Any) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._operators = {value: name for name, value in vars(schema.BuiltinOperator).items()}
        self._types = {value: name for name, value in vars(schema.TensorType).items()}
        self._functions = {value: name for name, value in vars(schema.ActivationFunctionType).items()}
        self._same = schema.Padding.SAME
        self.model, self.graph = model, model.subgraphs[0]
        if len(self.graph.inputs) != 1 or len(self.graph.outputs) != 1:
            raise InputError(
                f"the file has {len(self.graph.inputs)} inputs and {len(self.graph.outputs)} outputs; "
                "a classifier has one of each"
            )
        self.input, self.output = int(self.graph.inputs[0]), int(self.graph.outputs[0])

    def shape(self, tensor: int) -> tuple[int, ...]:
        return tuple(int(side) for side in self.graph.tensors[tensor].shape)

    def calls(self) -> Iterator[Call]:
        """The operators but those that change no number, and a softmax at the end."""
        same: dict[int, int] = {}
        for operator in self.graph.operators:
            code = self.model.operatorCodes[operator.opcodeIndex]
            name = self._operators[max(code.builtinCode, code.deprecatedBuiltinCode)]
            inputs, output = [same.get(int(i), int(i)) for i in operator.inputs if i >= 0], int(operator.outputs[0])
            if self._changes_nothing(name, inputs[0], output):
                same[output] = inputs[0]
                continue
            weights = tuple(inputs[1:]) if name in WEIGHTED else ()
            reads = [i for i in inputs if i not in weights and not self._is_constant(i)]
            yield Call(self._step(name, operator, inputs, output), tuple(reads), output, weights)

    def _changes_nothing(self, name: str, source: int, output: int) -> bool:
        if name == "RESHAPE" and _vector(self.shape(source)[1:]) != _vector(self.shape(output)[1:]):
            return False
        return name in SILENT or (name == "SOFTMAX" and self._leads_out(output))

    def _leads_out(self, tensor: int) -> bool:
        """Whether nothing but a conversion stands between the tensor and the file's output."""
        last = self.graph.operators[-1]
        return tensor == self.output or (tensor in last.inputs and self.output in last.outputs)

    def _step(self, name: str, operator: Any, inputs: list[int], output: int) -> Step:
        options, shape = operator.builtinOptions, self.shape(output)[1:]
        activation = self._functions[getattr(options, "fusedActivationFunction", 0)]
        function = "" if activation == "NONE" else activation.lower()
        if name in ("CONV_2D", "DEPTHWISE_CONV_2D") or name in POOLS:
            kernel = self._kernel_shape(name, inputs, options)
            strides, same = (options.strideH, options.strideW), options.padding == self._same
            op = WEIGHTED.get(name) or POOLS[name]
            return _windowed(op, self.shape(inputs[0])[1:], shape, kernel, strides, same, function)
        if name == "FULLY_CONNECTED":
            return Step("Dense", _vector(shape), self.shape(inputs[1])[::-1], activation=function)
        if name == "PAD":
            return Step("ZeroPadding2D", shape, pads=tuple(map(int, self._values(inputs[1]).ravel()[2:6])))
        op = OTHERS.get(name) or ACTIVATIONS.get(name) or name
        return Step(op, _vector(shape), activation=function)

    def _kernel_shape(self, name: str, inputs: list[int], options: Any) -> tuple[int, ...]:
        """As Keras has it: HWIO, HWCM, or a pool's window."""
        if name in POOLS:
            return options.filterHeight, options.filterWidth
        first, height, width, last = self.shape(inputs[1])
        if name == "CONV_2D":
            return height, width, last, first
        return height, width, last // options.depthMultiplier, options.depthMultiplier

    def kernel_and_bias(self, call: Call) -> tuple[np.ndarray, np.ndarray]:
        """Real numbers in Keras' order, up to the kernel's last shape."""
        kernel, *bias = (self._values(tensor) for tensor in call.weights)
        filters = call.step.shape[-1]
        if call.step.op != "DepthwiseConv2D":  # the output channels stand first in the file
            kernel = np.moveaxis(kernel, 0, -1)
        return kernel, bias[0] if bias else np.zeros(filters, np.float32)

    def _values(self, tensor: int) -> np.ndarray:
        """A constant's real values."""
        found = self.graph.tensors[tensor]
        kind = self._types[found.type].lower()
        if kind not in ("float32", "float16", "int8", "uint8", "int32", "int64"):
            raise InputError(
                f"its {found.name.decode()!r} is {kind}; read are float32, float16, int8 and uint8 weights"
            )
        values = np.frombuffer(bytes(self.model.buffers[found.buffer].data), kind)
        if values.size != prod(self.shape(tensor)):
            raise InputError(f"its {found.name.decode()!r} is truncated")
        values, quantization = values.reshape(self.shape(tensor)), found.quantization
        if quantization is None or quantization.scale is None or not len(quantization.scale):
            return values.astype(np.float32) if kind.startswith("float") else values
        along = [1] * values.ndim
        along[quantization.quantizedDimension if len(quantization.scale) > 1 else 0] = -1
        zero_points = np.asarray(quantization.zeroPoint, np.float64).reshape(along)
        scales = np.asarray(quantization.scale, np.float64).reshape(along)
        return ((values - zero_points) * scales).astype(np.float32)

    def _is_constant(self, tensor: int) -> bool:
        return self.model.buffers[self.graph.tensors[tensor].buffer].data is not None

    def pixels(self) -> Preprocessing | None:
        """What a uint8 input makes of its pixels."""
        found = self.graph.tensors[self.input]
        if self._types[found.type] != "UINT8":
            return None
        scale, zero = float(found.quantization.scale[0]), int(found.quantization.zeroPoint[0])
        channels = int(found.shape[-1])
        return Preprocessing(scale, (scale * zero,) * channels, (1.0,) * channels)


def _preprocessing(path: str | PathLike[str], file: _File) -> Preprocessing | None:
    if card_path(path).is_file():
        spec = Card.read(card_path(path)).preprocessing
        return None if spec is None else Preprocessing.from_dict(spec)
    return file.pixels()


def _same(step: Step, one: list[str], other: list[str]) -> bool:
    return sorted(one) == sorted(other) if step.op in UNORDERED else one == other


def _vector(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(1, 1, c) as (c,)."""
    return shape[-1:] if prod(shape) == shape[-1] else shape


def _by(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))
