"""Graph -> ONNX by a rule for each layer; see the package for why not by tf2onnx."""

from collections.abc import Sequence

import numpy as np
import onnx

from ...errors import InputError
from ..graph import Graph, Node, Shape
from .layout import explicit_padding, flatten_channels_first, of_one_rank
from .options import Layout
from .rules import RULES, has_rule
from .rules.registry import Call
from .writer import Dimension, Writer, channels_first

TO_FIRST, TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]
FLOAT32 = np.dtype(np.float32)


def without_rule(graph: Graph) -> list[Node]:
    """The nodes that cannot be written."""
    return [
        node for node in graph.nodes.values() if node.op != "InputLayer" and not has_rule(node, _shapes(graph, node))
    ]


def missing_rules(graph: Graph) -> list[str]:
    """The operations that cannot be written, each once."""
    return sorted({node.op for node in without_rule(graph)})


def emit(
    graph: Graph,
    *,
    opset: int,
    batch: int | None = 1,
    layout: Layout = "NCHW",
    dtype: np.dtype = FLOAT32,
    inputs: np.dtype = FLOAT32,
    outputs: np.dtype = FLOAT32,
) -> onnx.ModelProto:
    """The model of a lowered graph, in which every node has a rule.

    Args:
        graph: lowered; `without_rule(graph)` is empty.
        opset: of the operators, 13 or more.
        batch: images a call; None leaves it open, as the dimension "batch".
        layout: of the maps that the file reads and returns; inside they are channels first.
        dtype: of all real numbers inside.
        inputs: the type that the file reads: float32, or float16 where `dtype` is.
        outputs: and the type that it returns.

    Returns:
        A model whose inputs and outputs, and each tensor between, are named after their nodes.

    Raises:
        InputError: one tensor is two outputs, which would have one name.
    """
    if len(set(graph.outputs)) < len(graph.outputs):
        raise InputError(f"{graph.name} returns one tensor twice; list each of its outputs once")
    graph = flatten_channels_first(explicit_padding(of_one_rank(graph)))
    writer = Writer(opset, dtype)
    border = _Border(writer, "batch" if batch is None else batch, layout)
    tensors = {node.name: border.read(node, inputs) for node in graph.inputs}
    returned = {reference: border.inner_name(graph, reference, outputs) for reference in graph.outputs}
    for node in graph.nodes.values():
        if node.op == "InputLayer":
            continue
        references = [f"{node.name}:{i}" if i else node.name for i in range(len(node.shapes))]
        tensors |= {reference: returned.get(reference, reference) for reference in references}
        sources = tuple(tensors[i] for i in node.inputs)
        RULES[node.op](Call(writer, node, _shapes(graph, node), sources, tuple(tensors[r] for r in references)))
    for reference in returned:
        border.write(reference, tensors[reference], graph.shape_of(reference), outputs)
    return writer.finish(graph.name, border.inputs, border.outputs)


class _Border:
    """Inputs and outputs in the layout and type that were asked for, as far as these are not those inside."""

    def __init__(self, writer: Writer, batch: Dimension, layout: Layout) -> None:
        self.writer, self.batch, self.layout = writer, batch, layout
        self.inputs: dict[str, tuple[Sequence[Dimension], np.dtype]] = {}
        self.outputs: dict[str, tuple[Sequence[Dimension], np.dtype]] = {}

    def read(self, node: Node, dtype: np.dtype) -> str:
        """Declares an input; returns the tensor that the layers read."""
        self.inputs[node.name] = self._described(node.shape, dtype)
        name = self._cast(node.name, f"{node.name}/cast", dtype, self.writer.dtype)
        return self._turned(name, f"{node.name}/channels first", node.shape, TO_FIRST)

    def inner_name(self, graph: Graph, reference: str, dtype: np.dtype) -> str:
        """What an output's tensor is called before it takes the layout and type of the border."""
        turned = self.layout == "NHWC" and len(graph.shape_of(reference)) == 3
        return f"{reference}/inside" if turned or dtype != self.writer.dtype else reference

    def write(self, reference: str, tensor: str, shape: Shape, dtype: np.dtype) -> None:
        """Declares an output, made from `tensor`."""
        self.outputs[reference] = self._described(shape, dtype)
        if tensor == reference and reference not in self.inputs:
            return
        name = reference if reference not in self.inputs else f"{reference}/returned"  # a model that returns its input
        if name != reference:
            self.outputs[name] = self.outputs.pop(reference)
        differs = self.writer.dtype != dtype
        turned = self._turned(tensor, f"{reference}/channels last" if differs else name, shape, TO_LAST)
        if self._cast(turned, name, self.writer.dtype, dtype) != name:
            self.writer.node("Identity", [turned], name)

    def _described(self, shape: Shape, dtype: np.dtype) -> tuple[Sequence[Dimension], np.dtype]:
        return (self.batch, *(channels_first(shape) if self.layout == "NCHW" else shape)), dtype

    def _cast(self, tensor: str, name: str, source: np.dtype, target: np.dtype) -> str:
        if source == target:
            return tensor
        return self.writer.node("Cast", [tensor], name, to=onnx.helper.np_dtype_to_tensor_dtype(target))

    def _turned(self, tensor: str, name: str, shape: Shape, permutation: list[int]) -> str:
        if self.layout == "NCHW" or len(shape) != 3:
            return tensor
        return self.writer.node("Transpose", [tensor], name, perm=permutation)


def _shapes(graph: Graph, node: Node) -> tuple[Shape, ...]:
    return tuple(graph.shape_of(reference) for reference in node.inputs)
