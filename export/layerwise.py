"""A .tflite file run one operator at a time, so that what stands between them can be seen and changed on the way.

Each operator becomes a file of its own, run by LiteRT on all images before the next one starts: what an integer
operator answers is what it will answer in the whole file, rounding included.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from .contents import operator_names, parse, quantization_of, tensor_types
from .emit.writer import pack, signature
from .interpreter import threads

Values = dict[str, np.ndarray]
"""Tensors by name, each (images, ...)."""


@dataclass(frozen=True)
class Step:
    """One operator of a file.

    Args:
        name: of its first output.
        kind: as in the schema, e.g. "CONV_2D".
        operator: the schema's OperatorT.
        inputs: names of the activations that it reads.
        outputs: names of what it writes.
    """

    name: str
    kind: str
    operator: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Layerwise:
    """The operators of a file of batch 1, in their order.

    Args:
        content: the file's bytes.
    """

    def __init__(self, content: bytes) -> None:
        self.model = parse(content)
        self.graph = self.model.subgraphs[0]
        self.steps = [
            Step(
                self.name(op.outputs[0]),
                kind,
                op,
                tuple(self.name(i) for i in op.inputs if i >= 0 and not self.is_constant(i)),
                tuple(self.name(i) for i in op.outputs),
            )
            for op, kind in zip(self.graph.operators, operator_names(self.model), strict=True)
        ]

    def tensor(self, index: int) -> Any:
        return self.graph.tensors[index]

    def name(self, index: int) -> str:
        return str(self.tensor(index).name.decode())

    def detail(self, index: int) -> dict[str, Any]:
        """Type and scale of a tensor, as LiteRT describes it."""
        tensor = self.tensor(index)
        dtype = np.dtype(tensor_types()[tensor.type].lower())
        return {"dtype": dtype, "quantization": quantization_of(tensor) or (0.0, 0)}

    def is_constant(self, index: int) -> bool:
        data = self.model.buffers[self.tensor(index).buffer].data
        return data is not None and len(data) > 0

    def readers(self) -> Counter[str]:
        """How many operators read each tensor."""
        return Counter(name for step in self.steps for name in step.inputs)

    def run(self, step: Step, values: Values) -> Values:
        """The operator's outputs, from its inputs among `values`."""
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=self._alone(step), num_threads=threads())
        interpreter.allocate_tensors()
        reads = [(values[detail["name"]], detail["index"]) for detail in interpreter.get_input_details()]
        writes = {detail["name"]: detail for detail in interpreter.get_output_details()}
        count = len(reads[0][0])
        found = {name: np.empty((count, *d["shape"][1:]), d["dtype"]) for name, d in writes.items()}
        for image in range(count):
            for source, index in reads:
                interpreter.set_tensor(index, source[image : image + 1])
            interpreter.invoke()
            for name, detail in writes.items():
                found[name][image] = interpreter.tensor(detail["index"])()[0]
        return found

    def _alone(self, step: Step) -> bytes:
        """A file that holds nothing but the operator."""
        from ai_edge_litert import schema_py_generated as schema

        op, model, graph = step.operator, schema.ModelT(), schema.SubGraphT()
        used = list(dict.fromkeys(int(i) for i in (*op.inputs, *op.outputs) if i >= 0))
        place = {index: position for position, index in enumerate(used)} | {-1: -1}
        model.version, model.buffers, graph.tensors = 3, [schema.BufferT()], []
        for index in used:
            tensor = _copy(self.tensor(index))
            tensor.buffer = 0
            if self.is_constant(index):
                model.buffers.append(_copy(self.model.buffers[self.tensor(index).buffer]))
                tensor.buffer = len(model.buffers) - 1
            graph.tensors.append(tensor)
        alone = _copy(op)
        alone.inputs = np.array([place[int(i)] for i in op.inputs], np.int32)
        alone.outputs = np.array([place[int(i)] for i in op.outputs], np.int32)
        alone.opcodeIndex, alone.intermediates = 0, None
        model.operatorCodes, graph.operators = [self.model.operatorCodes[op.opcodeIndex]], [alone]
        reads = {self.name(i): place[int(i)] for i in op.inputs if i >= 0 and not self.is_constant(i)}
        writes = {self.name(i): place[int(i)] for i in op.outputs}
        graph.inputs, graph.outputs = (np.array(list(names.values()), np.int32) for names in (reads, writes))
        model.subgraphs, model.signatureDefs = [graph], [signature(reads, writes)]
        return pack(model)


def forget_read(values: Values, step: Step, left: Counter[str]) -> None:
    """Drops the inputs that no later operator reads; `left` counts their readers."""
    for name in step.inputs:
        left[name] -= 1
        if not left[name]:
            values.pop(name, None)


def _copy(value: Any) -> Any:
    copy = type(value)()
    copy.__dict__.update(value.__dict__)
    return copy
