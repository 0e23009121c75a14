"""The table of rules.

A rule takes a Call and returns the options of its last operator where a ReLU behind it can be fused into them, else
None.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ...graph import Node, Shape
from ..writer import Writer


@dataclass(frozen=True)
class Call:
    """A node on its way into the file.

    Args:
        writer: of the file.
        node: which layer.
        inputs: indices of the tensors that it reads.
        outputs: and of those that it makes.
    """

    writer: Writer
    node: Node
    inputs: list[int]
    outputs: list[int]

    @property
    def config(self) -> dict[str, Any]:
        return self.node.config

    def shape(self, tensor: int) -> Shape:
        """With the batch."""
        return tuple(int(side) for side in self.writer.graph.tensors[tensor].shape)

    def constant(self, name: str, value: Any, dtype: type = np.float32) -> int:
        """A tensor of the file, named after the node."""
        return self.writer.constant(f"{self.node.name}/{name}", np.asarray(value, dtype))

    def between(self, name: str, shape: Shape) -> int:
        """A tensor between two operators of this node; shape with the batch."""
        return self.writer.tensor(f"{self.node.name}/{name}", shape)

    def operator(self, name: str, inputs: list[int], outputs: list[int] | None = None, options: Any = None) -> Any:
        """Writes an operator, to the node's outputs where none are given."""
        return self.writer.operator(name, inputs, self.outputs if outputs is None else outputs, options)

    def step(self, name: str, kind: str, inputs: list[int], options: Any = None, shape: Shape | None = None) -> int:
        """Writes an operator to a tensor of its own, by default of the shape of the first input, and returns that."""
        result = self.between(name, self.shape(inputs[0]) if shape is None else shape)
        self.operator(kind, inputs, [result], options)
        return result


MOST = 5  # inputs of a CONCATENATION that XNNPACK takes
Rule = Callable[[Call], Any]
Condition = Callable[[Node], bool]

RULES: dict[str, Rule] = {}
_CONDITIONS: dict[str, Condition] = {}


def rule(*ops: str, when: Condition = lambda node: True) -> Callable[[Rule], Rule]:
    """Registers a rule for layers of these classes, as far as `when` holds of them."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(ops, function))
        _CONDITIONS.update(dict.fromkeys(ops, when))
        return function

    return register


def has_rule(node: Node) -> bool:
    """Whether the node can be written."""
    return node.op in RULES and _CONDITIONS[node.op](node)


def reduction(keep: bool) -> Any:
    """The options of MEAN, SUM and REDUCE_MAX."""
    options = schema.ReducerOptionsT()
    options.keepDims = keep
    return options
