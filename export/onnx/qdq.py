"""Explicit symmetric Q/DQ nodes, where TensorRT wants them: a pass from a float ONNX model to a quantized one.

    x -> Q -> DQ -> Conv | Gemm -> BN, ReLU ... (float)
    kernel (int8 or int4) -> DQ (a scale per output channel, axis 0) -> Conv | Gemm

Activations have one scale a tensor and zero point 0; a tensor that several layers read has one pair. At a residual Add,
the input that is not the convolution's is quantized as well, so that TensorRT fuses the Add into the convolution; the
convolution's own output never is, nor is anything between a convolution and its BN or ReLU. Pools, concatenations and
shuffles get none: TensorRT moves the Q of the next convolution before them, since they commute with it. Kernels are
stored quantized: TensorRT and its own quantizer take them so, and the file is four times smaller.

Source: TensorRT's developer guide, "Working with Quantized Types", and the placement of NVIDIA's pytorch-quantization.
"""

import fnmatch
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...errors import InputError
from ..calibration import Ranges
from ..kernels import Kernel, nearest_kernel, pack_int4
from ..schemes import Scheme

WEIGHTED = ("Conv", "Gemm")
Bits = Literal[4, 8]
KERNEL_TYPES = {8: onnx.TensorProto.INT8, 4: onnx.TensorProto.INT4}


def kernel_bits(scheme: Scheme) -> Bits:
    """Of int4 and int8."""
    return 4 if scheme == "int4" else 8


@dataclass(frozen=True)
class Plan:
    """Where the pairs go.

    Args:
        layers: names of the weighted nodes that are quantized.
        inputs: tensors, each to get one pair.
        residual: (Add node, input) that reads a pair's output as well.
    """

    layers: tuple[str, ...]
    inputs: tuple[str, ...]
    residual: tuple[tuple[str, str], ...]

    @property
    def tensors(self) -> tuple[str, ...]:
        """All activations that are quantized."""
        return tuple(dict.fromkeys((*self.inputs, *(tensor for _, tensor in self.residual))))


def plan(model: onnx.ModelProto, keep: Collection[str] = ()) -> Plan:
    """What is quantized of a float model.

    Args:
        model: batch normalisation folded; kernels are initializers.
        keep: names of the layers that stay in float.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    layers = [
        node
        for node in model.graph.node
        if node.op_type in WEIGHTED and node.input[1] in constants and node.name not in keep
    ]
    inputs = dict.fromkeys(node.input[0] for node in layers)
    residual = [(add, skip) for add, skip in _residual(model, layers) if add not in keep]
    return Plan(tuple(node.name for node in layers), tuple(inputs), tuple(residual))


def kept_layers(model: onnx.ModelProto, patterns: Sequence[str]) -> tuple[str, ...]:
    """The layers that are quantized but for the patterns ("features_0*") that name them.

    Raises:
        InputError: a pattern that names nothing of the file.
    """
    names = [node.name for node in model.graph.node]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise InputError(f"keep={pattern!r}: no layer is named so; there are {', '.join(names[:8])}, ...")
    found = plan(model)
    return tuple(
        name
        for name in (*found.layers, *(add for add, _ in found.residual))
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    )


def with_biases(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in which every layer of `plan(model)` has a bias, of zeros where it had none."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    constants = {tensor.name: tensor for tensor in result.graph.initializer}
    layers = set(plan(result).layers)
    for node in result.graph.node:
        if node.name in layers and len(node.input) < 3:
            zeros = np.zeros(constants[node.input[1]].dims[0], np.float32)
            result.graph.initializer.append(numpy_helper.from_array(zeros, f"{node.name}/bias"))
            node.input.append(f"{node.name}/bias")
    return result


def quantized(
    model: onnx.ModelProto,
    ranges: Ranges | None,
    *,
    bits: Bits | None = 8,
    keep: Collection[str] = (),
    kernels: Mapping[str, Kernel] | None = None,
) -> onnx.ModelProto:
    """The model with Q/DQ.

    Args:
        model: float32, of opset 13 (int8) or 21 (int4).
        ranges: least and largest value of each tensor of `plan(model, keep)`; None leaves all activations in float.
        bits: of the kernels; None leaves them in float.
        keep: names of the layers that stay in float.
        kernels: by the layer's name, with their biases; others are rounded to nearest, and reach to the largest weight.

    Raises:
        KeyError: a tensor without a range.
        InputError: a layer whose name makes two constants of one name.
    """
    found = plan(model, keep)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    constants = {tensor.name: tensor for tensor in result.graph.initializer}
    pass_ = _Pass(constants, {node.name: node for node in result.graph.node})
    if ranges is not None:
        pass_.quantize_activations(found, ranges)
    if bits is not None:
        for name in found.layers:
            pass_.quantize_kernel(name, bits, (kernels or {}).get(name))
    nodes = _in_order(result.graph, pass_.added)
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for name, tensor in pass_.constants.items() if name in used]
    del result.graph.initializer[:]
    result.graph.initializer.extend(kept)
    return result


def symmetric_scale(least: float, largest: float) -> np.float32:
    """The step of 127 that reach the farther end; 1 where all is zero."""
    reach = max(abs(least), abs(largest))
    return np.float32(reach / 127 if reach else 1.0)


class _Pass:
    """The graph's nodes, changed in place, and what is put beside them."""

    def __init__(self, constants: dict[str, onnx.TensorProto], nodes: dict[str, onnx.NodeProto]) -> None:
        self.constants, self.nodes = constants, nodes
        self.added: list[onnx.NodeProto] = []

    def quantize_activations(self, found: Plan, ranges: Ranges) -> None:
        """A pair for each tensor, which its quantized readers read."""
        zero = self._constant("zero point", np.array(0, np.int8))
        for tensor in found.tensors:
            whole = f"{tensor}/quantized"
            scale = self._constant(f"{whole}/scale", symmetric_scale(*ranges[tensor]))
            self._add("QuantizeLinear", [tensor, scale, zero], whole)
            self._add("DequantizeLinear", [whole, scale, zero], f"{tensor}/dequantized")
        for name in found.layers:
            self.nodes[name].input[0] += "/dequantized"
        for name, tensor in found.residual:
            place = list(self.nodes[name].input).index(tensor)
            self.nodes[name].input[place] = f"{tensor}/dequantized"

    def quantize_kernel(self, layer: str, bits: Bits, chosen: Kernel | None) -> None:
        """The kernel as whole numbers, and a DQ by its first axis; one for all layers of the same kernel."""
        node = self.nodes[layer]
        name, kernel = self._by_outputs(node)
        node.input[1] = f"{name}/dequantized"
        if any(node.input[1] in each.output for each in self.added):
            return
        if chosen is None:
            chosen = nearest_kernel(to_rows(kernel), np.empty(0), bits)
        else:
            self.constants[node.input[2]] = numpy_helper.from_array(chosen.bias, node.input[2])
        whole = from_rows(chosen.integers, kernel.shape)
        packed = pack_int4(whole) if bits == 4 else whole
        stored = f"{name}/int{bits}"
        self.constants[stored] = helper.make_tensor(stored, KERNEL_TYPES[bits], whole.shape, packed.tobytes(), raw=True)
        inputs = [stored, self._constant(f"{name}/scale", chosen.scale)]
        self._add("DequantizeLinear", inputs, node.input[1], axis=0)

    def _by_outputs(self, node: onnx.NodeProto) -> tuple[str, np.ndarray]:
        """A name and the kernel, its outputs first: tf2onnx writes a Gemm the other way, which is turned."""
        name, kernel = node.input[1], numpy_helper.to_array(self.constants[node.input[1]])
        given = [attribute for attribute in node.attribute if attribute.name == "transB"]
        if node.op_type != "Gemm" or any(attribute.i for attribute in given):
            return name, kernel
        for attribute in given:
            node.attribute.remove(attribute)
        node.attribute.append(helper.make_attribute("transB", 1))
        return f"{name}/transposed", np.ascontiguousarray(kernel.T)

    def _constant(self, name: str, value: np.ndarray | np.float32) -> str:
        tensor = numpy_helper.from_array(np.asarray(value), name)
        if self.constants.setdefault(name, tensor) != tensor:
            raise InputError(f"{name!r} would name two constants of the file; rename the layer that it begins with")
        return name

    def _add(self, op: str, inputs: list[str], output: str, **attributes: int) -> None:
        self.added.append(helper.make_node(op, inputs, [output], name=output, **attributes))


def to_rows(kernel: np.ndarray) -> np.ndarray:
    """(channels, inputs), inputs by row, column and channel, of a kernel OIHW or OI."""
    return (kernel.transpose(0, 2, 3, 1) if kernel.ndim == 4 else kernel).reshape(len(kernel), -1)


def from_rows(rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `to_rows`."""
    if len(shape) == 2:
        return rows
    channels, inputs, height, width = shape
    return np.ascontiguousarray(rows.reshape(channels, height, width, inputs).transpose(0, 3, 1, 2))


def _residual(model: onnx.ModelProto, layers: Sequence[onnx.NodeProto]) -> list[tuple[str, str]]:
    """The skip inputs of Adds that a quantized convolution can take in."""
    producers = {output: node for node in model.graph.node for output in node.output}
    constants = {tensor.name for tensor in model.graph.initializer}
    order = {node.name: index for index, node in enumerate(model.graph.node)}
    quantized, found = {node.name for node in layers}, []
    for add in model.graph.node:
        if add.op_type != "Add" or len(set(add.input)) != 2 or constants & set(add.input):
            continue
        convolutions = [
            tensor
            for tensor in add.input
            if tensor in producers and producers[tensor].op_type == "Conv" and producers[tensor].name in quantized
        ]
        if convolutions:
            last = max(convolutions, key=lambda tensor: order[producers[tensor].name])
            (skip,) = (tensor for tensor in add.input if tensor != last)
            found.append((add.name, skip))
    return found


def _in_order(graph: onnx.GraphProto, added: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """All nodes, each added one as soon as its input is there."""
    known = {tensor.name for tensor in graph.input} | {""}
    produced = {output for node in (*graph.node, *added) for output in node.output}
    waiting, ordered = list(added), []

    def ready() -> None:
        progress = True
        while progress:
            progress = False
            for node in list(waiting):
                if all(name in known or name not in produced for name in node.input):
                    ordered.append(node)
                    known.update(node.output)
                    waiting.remove(node)
                    progress = True

    ready()
    for node in graph.node:
        ordered.append(node)
        known.update(node.output)
        ready()
    return ordered
