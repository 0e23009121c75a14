"""What a .tflite classifier computes, step by step: operators, tensors and real weights, in Keras' words."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..export.contents import CORRUPT, operator_names, parse, tensor_types
from ..preprocessing import Preprocessing

WEIGHTED = {"CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2D", "FULLY_CONNECTED": "Dense"}
POOLS = {"MAX_POOL_2D": "MaxPooling2D", "AVERAGE_POOL_2D": "AveragePooling2D"}
OTHERS = {"ADD": "Add", "MUL": "Multiply", "MEAN": "GlobalAveragePooling2D", "CONCATENATION": "Concatenate"}
ACTIVATIONS = {"RELU": "relu", "RELU6": "relu6", "LOGISTIC": "sigmoid", "TANH": "tanh"}
SILENT = {"QUANTIZE", "DEQUANTIZE", "RESHAPE"}  # the same numbers behind them


@dataclass(frozen=True)
class Step:
    """One operator as file and network both describe it.

    Args:
        op: the Keras layer's class.
        shape: of the output, without the batch; a 1x1 map is a vector.
        kernel: height, width, input and output channels (of a pool: its window); empty without one.
        strides: down and right.
        pads: zeros above, below, left and right.
        activation: fused behind it; "" for none.
        dilation: down and right; empty where the kernel's values stand side by side.
    """

    op: str
    shape: tuple[int, ...]
    kernel: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()
    activation: str = ""
    dilation: tuple[int, ...] = ()

    def __str__(self) -> str:
        kernel = f" {_by(self.kernel)}" if self.kernel else ""
        window = f", strides {_by(self.strides)}, zeros {'+'.join(map(str, self.pads))}" if self.strides else ""
        dilation = f", dilation {_by(self.dilation)}" if self.dilation else ""
        return f"{self.op}{kernel}{window}{dilation} to {_by(self.shape)} {self.activation}".strip()


@dataclass(frozen=True)
class FileStep:
    """A step between tensors, which are numbers.

    Args:
        step: what it does.
        inputs: what it reads, constants apart.
        output: what it makes.
        weights: kernel and bias as real numbers, the kernel in Keras' order up to its last shape; empty without.
    """

    step: Step
    inputs: tuple[int, ...]
    output: int
    weights: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Classifier:
    """A .tflite classifier.

    Args:
        input: the image's tensor.
        input_shape: height, width and channels.
        classes: of the output.
        steps: the operators but those that change no number, and a softmax at the end.
        pixels: what a uint8 input makes of its pixels; None of another.
    """

    input: int
    input_shape: tuple[int, ...]
    classes: int
    steps: tuple[FileStep, ...]
    pixels: Preprocessing | None


def read_classifier(path: str | PathLike[str]) -> Classifier:
    """The file at `path`.

    Raises:
        InputError: not a .tflite file, or one of something else than a classifier of images.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: not a readable file ({error.strerror}); name one that is") from error
    try:
        file = _File(parse(content))
        if file.classes > len(content):
            raise InputError(
                f"its output has {file.classes} classes, more than the file has bytes; export or fetch it again"
            )
        return Classifier(file.input, file.shape(file.input)[1:], file.classes, tuple(file.steps()), file.pixels())
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except CORRUPT as error:
        raise InputError(
            f"{path}: a corrupt .tflite file, or none of a classifier ({error}); export or fetch it again"
        ) from error


def windowed(
    op: str,
    source: tuple[int, ...],
    shape: tuple[int, ...],
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    same: bool,
    activation: str,
    dilation: tuple[int, ...] = (1, 1),
) -> Step:
    """A convolution or pool of a (h, w, c) map, or what it amounts to."""
    if op == "Conv2D" and source[:2] == kernel[:2] == (1, 1):
        return Step("Dense", vector(shape), kernel[2:], activation=activation)
    if op == "AveragePooling2D" and kernel == source[:2] and shape[:2] == (1, 1):
        return Step("GlobalAveragePooling2D", vector(shape))
    pads: list[int] = []
    for size, length, window, stride, apart in zip(source, shape, kernel, strides, dilation, strict=False):
        missing = max((length - 1) * stride + (window - 1) * apart + 1 - size, 0) if same else 0
        pads += [missing // 2, missing - missing // 2]
    return Step(op, shape, kernel, strides, tuple(pads), activation, () if set(dilation) == {1} else dilation)


def vector(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(1, 1, c) as (c,)."""
    return shape[-1:] if prod(shape) == shape[-1] else shape


class _File:
    """A parsed .tflite file's first graph; what it holds may be wrong in any way that raises one of CORRUPT."""

    def __init__(self, model: Any) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._types = tensor_types()
        self._functions = {value: name for name, value in vars(schema.ActivationFunctionType).items()}
        self._same = schema.Padding.SAME
        self.model, self.graph = model, model.subgraphs[0]
        if len(self.graph.inputs) != 1 or len(self.graph.outputs) != 1:
            raise InputError(
                f"the file has {len(self.graph.inputs)} inputs and {len(self.graph.outputs)} outputs; "
                "a classifier has one of each"
            )
        self.input, self.output = int(self.graph.inputs[0]), int(self.graph.outputs[0])
        source, made = self.shape(self.input), self.shape(self.output)
        if len(source) != 4 or not made:
            raise InputError(f"the file makes {_by(made) or 'one number'} of {_by(source)}; a classifier reads images")
        self.classes = made[-1]

    def shape(self, tensor: int) -> tuple[int, ...]:
        sides = self.graph.tensors[tensor].shape
        found = tuple(int(side) for side in ([] if sides is None else sides))
        if min(found, default=1) < 1:
            raise ValueError(f"a tensor of {_by(found)}")
        return found

    def steps(self) -> Iterator[FileStep]:
        same: dict[int, int] = {}
        for name, operator in zip(operator_names(self.model), self.graph.operators or (), strict=True):
            inputs, output = [same.get(int(i), int(i)) for i in operator.inputs if i >= 0], int(operator.outputs[0])
            if self._changes_nothing(name, inputs[0], output):
                same[output] = inputs[0]
                continue
            weights = inputs[1:] if name in WEIGHTED else []
            reads = [i for i in inputs if i not in weights and not self._is_constant(i)]
            step = self._step(name, operator, inputs, output)
            yield FileStep(step, tuple(reads), output, self._kernel_and_bias(step, weights) if weights else ())

    def _changes_nothing(self, name: str, source: int, output: int) -> bool:
        if name == "RESHAPE" and vector(self.shape(source)[1:]) != vector(self.shape(output)[1:]):
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
        if name in POOLS:
            kernel: tuple[int, ...] = (options.filterHeight, options.filterWidth)
        elif name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            kernel = self._kernel_shape(name, inputs)
        elif name == "FULLY_CONNECTED":
            return Step("Dense", vector(shape), self.shape(inputs[1])[::-1], activation=function)
        elif name == "PAD":
            return Step("ZeroPadding2D", shape, pads=tuple(map(int, self._values(inputs[1]).ravel()[2:6])))
        else:
            return Step(OTHERS.get(name) or ACTIVATIONS.get(name) or name, vector(shape), activation=function)
        strides, same = (options.strideH, options.strideW), options.padding == self._same
        dilation = (1, 1) if name in POOLS else (options.dilationHFactor, options.dilationWFactor)
        op = WEIGHTED.get(name) or POOLS[name]
        return windowed(op, self.shape(inputs[0])[1:], shape, kernel, strides, same, function, dilation)

    def _kernel_shape(self, name: str, inputs: list[int]) -> tuple[int, ...]:
        """As Keras has it: HWIO or HWCM."""
        first, height, width, last = self.shape(inputs[1])
        if name == "CONV_2D":
            return height, width, last, first
        channels = self.shape(inputs[0])[-1]  # the file's depthMultiplier may be 0: it is redundant
        if last % channels:
            raise ValueError(f"{last} filters of {channels} channels")
        return height, width, channels, last // channels

    def _kernel_and_bias(self, step: Step, weights: list[int]) -> tuple[np.ndarray, np.ndarray]:
        kernel, *bias = (self._values(tensor) for tensor in weights)
        if step.op != "DepthwiseConv2D":  # the output channels stand first in the file
            kernel = np.moveaxis(kernel, 0, -1)
        return kernel, bias[0].reshape(step.shape[-1]) if bias else np.zeros(step.shape[-1], np.float32)

    def _values(self, tensor: int) -> np.ndarray:
        """A constant's real values."""
        found, shape = self.graph.tensors[tensor], self.shape(tensor)
        kind = self._types[found.type].lower()
        if kind not in ("float32", "float16", "int8", "uint8", "int32", "int64"):
            raise InputError(
                f"its {found.name.decode()!r} is {kind}; read are float32, float16, int8 and uint8 weights"
            )
        values = np.frombuffer(bytes(self.model.buffers[found.buffer].data), kind)
        if values.size != prod(shape):
            raise InputError(f"its {found.name.decode()!r} is truncated; export or fetch it again")
        values, quantization = values.reshape(shape), found.quantization
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
        found = self.graph.tensors[self.input]
        if self._types[found.type] != "UINT8":
            return None
        scale, zero = float(found.quantization.scale[0]), int(found.quantization.zeroPoint[0])
        channels = int(found.shape[-1])
        return Preprocessing(scale, (scale * zero,) * channels, (1.0,) * channels)


def _by(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))
