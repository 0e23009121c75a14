"""An ONNX model run piece by piece, so that constants behind a piece may still change."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .runtime import OnnxRuntime


class Pieces:
    """A model over some images.

    Args:
        model: of one input and an open batch.
        images: of that input, in the file's own layout.
    """

    def __init__(self, model: onnx.ModelProto, images: np.ndarray) -> None:
        self._opsets = model.opset_import
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._waiting = list(model.graph.node)
        self._values = {model.graph.input[0].name: images}

    def at(self, tensor: str) -> np.ndarray:
        """A tensor's values; what it depends on is run, if it was not yet, by the constants as they now are."""
        if tensor not in self._values:
            self._run(tensor)
        return self._values[tensor]

    def put(self, constant: str, value: np.ndarray) -> None:
        """Another value for a constant of what was not run yet."""
        self._constants[constant] = numpy_helper.from_array(value, constant)

    def shift(self, tensor: str, by: np.ndarray) -> None:
        """Adds (channels,) to a tensor that was run, before what reads it is: as if a bias had been another."""
        values = self.at(tensor)
        self._values[tensor] = values + by.reshape(-1, *[1] * (values.ndim - 2))

    def _run(self, tensor: str) -> None:
        makers = {output: index for index, node in enumerate(self._waiting) for output in node.output}
        needed: set[int] = set()
        names = [tensor]
        while names:
            index = makers.get(names.pop())
            if index is not None and index not in needed:
                needed.add(index)
                names += self._waiting[index].input
        piece = [self._waiting[index] for index in sorted(needed)]
        self._waiting = [node for index, node in enumerate(self._waiting) if index not in needed]
        later = {name for node in self._waiting for name in node.input} | {tensor}
        read = {name for node in piece for name in node.input}
        inputs = {name: values for name, values in self._values.items() if name in read}
        outputs = [name for node in piece for name in node.output if name in later]
        answers = OnnxRuntime(self._model(piece, inputs, outputs), exact=True)(*inputs.values(), channels_last=True)
        kept = {name: values for name, values in self._values.items() if name in later}
        self._values = kept | dict(zip(outputs, answers, strict=True))

    def _model(self, nodes: list[onnx.NodeProto], inputs: dict[str, np.ndarray], outputs: list[str]) -> onnx.ModelProto:
        read = {name for node in nodes for name in node.input}
        real = onnx.TensorProto.FLOAT
        graph = helper.make_graph(
            nodes,
            "piece",
            [helper.make_tensor_value_info(name, real, [None, *values.shape[1:]]) for name, values in inputs.items()],
            [onnx.ValueInfoProto(name=name) for name in outputs],
            [tensor for name, tensor in self._constants.items() if name in read],
        )
        ir_version = helper.find_min_ir_version_for(self._opsets)
        return helper.make_model(graph, opset_imports=self._opsets, ir_version=ir_version)
