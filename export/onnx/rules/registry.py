"""The table of rules, and what they share."""

from collections.abc import Callable
from dataclasses import dataclass

from ...graph import Node, Shape
from ..writer import Writer


@dataclass(frozen=True)
class Call:
    """One layer to be written.

    Args:
        writer: takes the operators.
        node: the layer.
        shapes: of its inputs, in Keras' order and without the batch.
        inputs: tensors.
        outputs: tensors.
    """

    writer: Writer
    node: Node
    shapes: tuple[Shape, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def output(self) -> str:
        """The only one."""
        (output,) = self.outputs
        return output

    def constant(self, name: str, value: object) -> str:
        """A constant named after the layer."""
        return self.writer.constant(f"{self.node.name}/{name}", value)

    def step(self, op: str, inputs: list[str], name: str, **attributes: object) -> str:
        """An operator before the last one; returns its output, named after the layer."""
        return self.writer.node(op, inputs, f"{self.node.name}/{name}", **attributes)

    def last(self, op: str, inputs: list[str], **attributes: object) -> None:
        """The operator that gives the layer's output."""
        self.writer.node(op, inputs, self.output, **attributes)


Rule = Callable[[Call], None]
Condition = Callable[[Node, tuple[Shape, ...]], bool]

RULES: dict[str, Rule] = {}
CONDITIONS: dict[str, Condition] = {}


def always(node: Node, shapes: tuple[Shape, ...]) -> bool:
    return True


def rule(*ops: str, where: Condition = always) -> Callable[[Rule], Rule]:
    """Registers a rule for layers of these classes, as far as the condition holds."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(ops, function))
        CONDITIONS.update(dict.fromkeys(ops, where))
        return function

    return register


def has_rule(node: Node, shapes: tuple[Shape, ...]) -> bool:
    """Whether a layer of these input shapes can be written."""
    return node.op in RULES and CONDITIONS[node.op](node, shapes)


def axis(index: int, rank: int) -> int:
    """Where an axis that counts the batch (Keras' order, may be negative) stands in ONNX; rank without the batch."""
    positive = index % (rank + 1)
    return {1: 2, 2: 3, 3: 1}.get(positive, positive) if rank == 3 else positive
