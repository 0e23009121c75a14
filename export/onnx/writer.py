"""An ONNX graph in the making: nodes, constants, and the model that holds them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..graph import Shape

Dimension = int | str
"""A number, or the name of what is known only when the file runs."""


class Writer:
    """Collects nodes and constants; `finish` makes the model.

    Args:
        opset: of the ai.onnx operators.
        dtype: of all real numbers inside: float32 or float16.
    """

    def __init__(self, opset: int, dtype: np.dtype) -> None:
        self.opset, self.dtype = opset, dtype
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def node(self, op: str, inputs: Sequence[str], output: str | Sequence[str], **attributes: Any) -> str:
        """Appends an operator whose name is that of its first output, and returns that."""
        outputs = [output] if isinstance(output, str) else list(output)
        self.nodes.append(helper.make_node(op, list(inputs), outputs, name=outputs[0], **attributes))
        return outputs[0]

    def constant(self, name: str, value: Any) -> str:
        """A value that stands in the file: real numbers in the writer's type, whole ones as int64."""
        array = np.asarray(value)
        array = array.astype(self.dtype if array.dtype.kind == "f" else np.int64, copy=False)
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
        return name

    def finish(
        self,
        name: str,
        inputs: Mapping[str, tuple[Sequence[Dimension], np.dtype]],
        outputs: Mapping[str, tuple[Sequence[Dimension], np.dtype]],
    ) -> onnx.ModelProto:
        """The model with these inputs and outputs: shape and type by name."""
        graph = helper.make_graph(
            self.nodes, name, _infos(inputs), _infos(outputs), initializer=list(self.constants.values())
        )
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(
            graph,
            opset_imports=opsets,
            ir_version=helper.find_min_ir_version_for(opsets),
            producer_name="keras-cnnzoo",
        )


def channels_first(shape: Shape) -> Shape:
    """(height, width, channels) as (channels, height, width); another rank as it is."""
    return (shape[2], shape[0], shape[1]) if len(shape) == 3 else shape


def _infos(tensors: Mapping[str, tuple[Sequence[Dimension], np.dtype]]) -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shape)
        for name, (shape, dtype) in tensors.items()
    ]
