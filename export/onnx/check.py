"""The rules by which TensorRT 10 and 11 fuse a Q/DQ model, checked on any ONNX file: each violation by name.

TensorRT refuses some of these, and for others silently runs the layer in float; neither is seen in ONNX Runtime.
Source: TensorRT's developer guide, "Working with Quantized Types" and "Explicit Quantization".
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .qdq import WEIGHTED

OPERATOR_FORMS = ("ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QGemm", "QLinearConv", "QLinearMatMul")
ACTIVATIONS = ("BatchNormalization", "Clip", "HardSwish", "LeakyRelu", "Relu", "Sigmoid")
INT8, INT4 = onnx.TensorProto.INT8, onnx.TensorProto.INT4
AXIS_OPSET = 13


@dataclass(frozen=True)
class Violation:
    """What TensorRT would refuse or not fuse.

    Args:
        rule: its short name.
        node: where.
        found: what stands there, in words.
    """

    rule: str
    node: str
    found: str

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


RULES: dict[str, str] = {
    "operator-form": "quantization is Q and DQ around float operators, never an integer operator of its own",
    "opset": "a scale per channel needs opset 13",
    "type": "Q and DQ are int8 (int4 for weights), never uint8",
    "symmetric": "each zero point is 0",
    "scale": "each scale is a positive constant",
    "activation-per-tensor": "an activation has one scale",
    "weight-per-channel": "a kernel has a scale for each output channel",
    "weight-axis": "and that along its output axis",
    "pair": "each Q of an activation is followed by its DQ, of the same scale",
    "both": "a quantized Conv or Gemm has Q/DQ at its input and at its kernel",
    "bias": "the bias stays in float",
    "between": "no Q/DQ between a Conv and its BatchNormalization or activation",
    "residual": "at a residual Add the convolution's output stays in float",
}


def check_qdq(model: onnx.ModelProto) -> list[Violation]:
    """All violations of RULES, in the order of the nodes; empty where the file holds none (a float file too)."""
    return list(_Checker(model).violations())


class _Checker:
    """A model's nodes by what they make and by what reads it."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.nodes = list(model.graph.node)
        self.opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self.constants |= {
            node.output[0]: value
            for node in self.nodes
            if node.op_type == "Constant" and (value := _constant(node)) is not None
        }
        self.makers = {output: node for node in self.nodes for output in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                self.readers[name].append(node)

    def violations(self) -> Iterator[Violation]:
        for node in self.nodes:
            if node.op_type in OPERATOR_FORMS:
                yield self._at(node, "operator-form", f"{node.op_type} is an integer operator")
            elif node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                yield from self._grid(node)
                yield from self._pair(node)
            elif node.op_type in (*WEIGHTED, "ConvTranspose"):
                yield from self._weighted(node)
            elif node.op_type == "Add":
                yield from self._residual(node)
            elif node.op_type in ACTIVATIONS:
                yield from self._between(node)

    def _at(self, node: onnx.NodeProto, rule: str, found: str) -> Violation:
        return Violation(rule, node.name or (node.output[0] if node.output else node.op_type), found)

    def _value(self, name: str) -> np.ndarray | None:
        tensor = self.constants.get(name)
        return None if tensor is None else np.asarray(numpy_helper.to_array(tensor))

    def _grid(self, node: onnx.NodeProto) -> Iterator[Violation]:
        """Type, zero point and scale of one Q or DQ."""
        scale = self._value(node.input[1])
        if scale is None:
            yield self._at(node, "scale", f"the scale {node.input[1]!r} is computed")
        elif not (np.isfinite(scale.astype(np.float64)).all() and (scale.astype(np.float64) > 0).all()):
            yield self._at(node, "scale", f"a scale of {float(scale.min()):g}")
        stored = self._stored_type(node)
        if stored not in (INT8, INT4):
            name = onnx.TensorProto.DataType.Name(stored).lower()
            if node.op_type == "QuantizeLinear" or not self._is_bias(node):
                yield self._at(node, "type", f"{name} values")
        if len(node.input) > 2:
            zero = self._value(node.input[2])
            if zero is None or np.any(zero.astype(np.int64)):
                found = "computed" if zero is None else f"{int(zero.astype(np.int64).ravel()[0])}"
                yield self._at(node, "symmetric", f"zero point {found}")
        if scale is not None and scale.size > 1:
            if self.opset < AXIS_OPSET:
                yield self._at(node, "opset", f"{scale.size} scales in opset {self.opset}")
            if not self._is_constant(node):
                yield self._at(node, "activation-per-tensor", f"{scale.size} scales for an activation")

    def _stored_type(self, node: onnx.NodeProto) -> int:
        """Of the whole numbers of a Q or DQ; uint8 where nothing says otherwise."""
        if len(node.input) > 2 and node.input[2] in self.constants:
            return int(self.constants[node.input[2]].data_type)
        if node.op_type == "DequantizeLinear":
            if node.input[0] in self.constants:
                return int(self.constants[node.input[0]].data_type)
            maker = self.makers.get(node.input[0])
            return self._stored_type(maker) if maker is not None and maker.op_type == "QuantizeLinear" else INT8
        given = [a.i for a in node.attribute if a.name == "output_dtype"]
        return int(given[0]) if given else int(onnx.TensorProto.UINT8)

    def _is_constant(self, node: onnx.NodeProto) -> bool:
        """Whether the Q or DQ is of a constant, be it through its Q."""
        if node.input[0] in self.constants:
            return True
        maker = self.makers.get(node.input[0])
        return maker is not None and maker.op_type == "QuantizeLinear" and self._is_constant(maker)

    def _is_bias(self, node: onnx.NodeProto) -> bool:
        return any(
            len(reader.input) > 2 and reader.input[2] in node.output
            for output in node.output
            for reader in self.readers[output]
        )

    def _pair(self, node: onnx.NodeProto) -> Iterator[Violation]:
        if node.op_type == "QuantizeLinear":
            behind = self.readers[node.output[0]]
            if not behind or any(reader.op_type != "DequantizeLinear" for reader in behind):
                kinds = sorted({reader.op_type for reader in behind}) or ["nothing"]
                yield self._at(node, "pair", f"read by {', '.join(kinds)}")
            elif any(not self._equal(node.input[1], reader.input[1]) for reader in behind):
                yield self._at(node, "pair", "its DQ has another scale")
        elif node.input[0] not in self.constants:
            maker = self.makers.get(node.input[0])
            if maker is None or maker.op_type != "QuantizeLinear":
                yield self._at(node, "pair", f"reads {'an input' if maker is None else maker.op_type}")

    def _equal(self, first: str, second: str) -> bool:
        if first == second:
            return True
        a, b = self._value(first), self._value(second)
        return a is not None and b is not None and np.array_equal(a, b)

    def _dequantize(self, name: str) -> onnx.NodeProto | None:
        maker = self.makers.get(name)
        return maker if maker is not None and maker.op_type == "DequantizeLinear" else None

    def _weighted(self, node: onnx.NodeProto) -> Iterator[Violation]:
        activation, kernel = self._dequantize(node.input[0]), self._dequantize(node.input[1])
        four_bits = kernel is not None and self._stored_type(kernel) == INT4  # weights alone are right there
        if (activation is None) != (kernel is None) and not four_bits:
            yield self._at(node, "both", f"only its {'kernel' if activation is None else 'input'} is quantized")
        if len(node.input) > 2 and self._dequantize(node.input[2]) is not None:
            yield self._at(node, "bias", "its bias is quantized")
        if kernel is None:
            return
        scale, shape = self._value(kernel.input[1]), self._shape(kernel)
        wanted, axis = self._wanted_axis(node), self._axis_of(kernel)
        if scale is not None and scale.size == 1 and shape[wanted : wanted + 1] != (1,):
            yield self._at(node, "weight-per-channel", "one scale for the whole kernel")
        elif scale is not None and scale.size > 1 and (axis % len(shape) if shape else axis) != wanted:
            yield self._at(node, "weight-axis", f"scales along axis {axis}")

    def _shape(self, kernel: onnx.NodeProto) -> tuple[int, ...]:
        """Of the constant that a DQ is of; none where it is computed."""
        name = kernel.input[0]
        while name not in self.constants and name in self.makers and self.makers[name].input:
            name = self.makers[name].input[0]
        return tuple(self.constants[name].dims) if name in self.constants else ()

    def _axis_of(self, kernel: onnx.NodeProto) -> int:
        return next((int(a.i) for a in kernel.attribute if a.name == "axis"), 1)

    def _wanted_axis(self, node: onnx.NodeProto) -> int:
        if node.op_type == "Gemm":
            return 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1
        return 1 if node.op_type == "ConvTranspose" else 0

    def _between(self, node: onnx.NodeProto) -> Iterator[Violation]:
        source = self._quantized_source(node.input[0])
        if source is not None and source.op_type in (*WEIGHTED, "ConvTranspose"):
            yield self._at(node, "between", f"Q/DQ between it and {source.op_type} {source.name!r}")

    def _residual(self, node: onnx.NodeProto) -> Iterator[Violation]:
        """Every convolution that Q/DQ cuts off from an Add of two maps, where none is left to take the Add in."""
        if any(name in self.constants for name in node.input):
            return
        plain = [self.makers[name] for name in node.input if name in self.makers]
        sources = [source for name in node.input if (source := self._quantized_source(name)) is not None]
        cut = [source for source in sources if source.op_type == "Conv"]
        if cut and not any(maker.op_type == "Conv" for maker in plain):
            yield self._at(node, "residual", f"Q/DQ between it and Conv {cut[0].name!r}")

    def _quantized_source(self, name: str) -> onnx.NodeProto | None:
        """What made the values that a Q/DQ pair at `name` passes on."""
        dequantize = self._dequantize(name)
        quantize = None if dequantize is None else self.makers.get(dequantize.input[0])
        if quantize is None or quantize.op_type != "QuantizeLinear":
            return None
        return self.makers.get(quantize.input[0])


def _constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """The value of a Constant, in whichever attribute it stands; None of words and sparse ones."""
    (attribute,) = node.attribute
    value = helper.get_attribute_value(attribute)
    if attribute.name.startswith(("value_float", "value_int")):
        kind = np.float32 if attribute.name.startswith("value_float") else np.int64
        return numpy_helper.from_array(np.array(value, kind))
    return value if attribute.name == "value" else None
