"""A functional model as a value: nodes in topological order, weights and shapes beside them.

Passes are functions Graph -> Graph; nothing is mutated, so a pass that fails its parity check is undone by keeping the
graph from before it.
"""

import math
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .operations import opened, spelled

if TYPE_CHECKING:
    import keras

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """One layer call.

    Args:
        name: the layer's; later calls of the same layer and layers of nested models are told apart by "@1", "outer/".
        op: the layer's class name; with its module where that is neither Keras' nor ours, or where it reads channels
            first, so that no pass and no rule takes it for what it is not. Operations (`x + 3`) are spelled as the
            layers that do the same (operations.py).
        config: the layer's get_config().
        inputs: references: a node's name for its only output, "name:1" for its second.
        weights: arrays in Keras' order.
        shapes: of each output, without the batch.
    """

    name: str
    op: str
    config: dict[str, Any] = field(repr=False)
    inputs: tuple[str, ...] = ()
    weights: tuple[np.ndarray, ...] = field(default=(), repr=False)
    shapes: tuple[Shape, ...] = ()

    @property
    def shape(self) -> Shape:
        """Of the only output."""
        (shape,) = self.shapes
        return shape


@dataclass(frozen=True)
class Graph:
    """Nodes by name in topological order, and the references that are the model's outputs."""

    name: str
    nodes: dict[str, Node]
    outputs: tuple[str, ...]

    @property
    def inputs(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes.values() if node.op == "InputLayer")

    @property
    def largest(self) -> int:
        """How many values the largest activation of an image has."""
        return max(math.prod(shape) for node in self.nodes.values() for shape in node.shapes)

    def readers(self) -> Counter[str]:
        """How often each reference is read, the graph's own outputs included."""
        return Counter(i for node in self.nodes.values() for i in node.inputs) + Counter(self.outputs)

    def reading(self) -> dict[str, list[Node]]:
        """The nodes that read each node, in topological order; a node reads another once, however often."""
        found: dict[str, list[Node]] = {name: [] for name in self.nodes}
        for node in self.nodes.values():
            for source in dict.fromkeys(i.partition(":")[0] for i in node.inputs):
                found[source].append(node)
        return found

    def producer(self, reference: str) -> Node:
        """The node whose output `reference` is."""
        return self.nodes[reference.partition(":")[0]]

    def shape_of(self, reference: str) -> Shape:
        """Of one output of a node, without the batch."""
        name, _, index = reference.partition(":")
        return self.nodes[name].shapes[int(index or 0)]

    def update(self, *nodes: Node) -> "Graph":
        """The graph with nodes of the same names replaced."""
        return replace(self, nodes=self.nodes | {node.name: node for node in nodes})

    def bypass(self, name: str) -> "Graph":
        """The graph without a one-input node: its readers read its input."""
        (source,) = self.nodes[name].inputs
        rewired = {
            key: replace(node, inputs=tuple(source if i == name else i for i in node.inputs))
            for key, node in self.nodes.items()
            if key != name
        }
        return replace(self, nodes=rewired, outputs=tuple(source if o == name else o for o in self.outputs))

    def splice(self, name: str, *nodes: Node) -> "Graph":
        """The graph with `nodes`, one of them of this name, where the node `name` stood."""
        kept: dict[str, Node] = {}
        for key, node in self.nodes.items():
            kept |= {new.name: new for new in nodes} if key == name else {key: node}
        return replace(self, nodes=kept)

    def pruned(self) -> "Graph":
        """The graph without what no output needs; inputs stay."""
        needed = {reference.partition(":")[0] for reference in self.outputs}
        for node in reversed(self.nodes.values()):
            if node.name in needed:
                needed |= {i.partition(":")[0] for i in node.inputs}
        kept = {key: node for key, node in self.nodes.items() if key in needed or node.op == "InputLayer"}
        return replace(self, nodes=kept)

    def insert_after(self, name: str, node: Node) -> "Graph":
        """The graph with `node`, which reads the node `name`, between it and all its readers."""
        nodes: dict[str, Node] = {}
        for key, existing in self.nodes.items():
            nodes[key] = replace(existing, inputs=tuple(node.name if i == name else i for i in existing.inputs))
            if key == name:
                nodes[node.name] = node
        return replace(self, nodes=nodes, outputs=tuple(node.name if o == name else o for o in self.outputs))


def is_by_channel(value: Any, shape: Shape) -> bool:
    """Whether a constant is one number, or one for each channel of a map of this shape."""
    return np.size(value) == 1 or np.size(value) == np.shape(value)[-1] == shape[-1]


def functional(model: "keras.Model") -> Any:
    """The model itself, or what a Sequential one holds once it knows its input.

    Raises:
        InputError: a subclassed model, or a sequential one that was not built.
    """
    function = getattr(model, "_functional", model)
    if function is None:
        raise InputError(f"{model.name}: its input is not known; begin it with keras.Input((HEIGHT, WIDTH, CHANNELS))")
    if not hasattr(function, "_nodes_by_depth"):
        raise InputError(f"{model.name}: not a functional model; rebuild it with keras.Model(inputs, outputs)")
    return function


def from_keras(model: "keras.Model") -> Graph:
    """The graph of a functional or sequential Keras 3 model whose input sizes are known; inputs first, in its order.

    Nested models are opened, and so are layers of other packages, into the layers and operations that they call.

    Raises:
        InputError: a subclassed model, a sequential one that was not built, or height and width of None.
    """
    function = functional(model)
    nodes: dict[str, Node] = {}
    references: dict[int, str] = {}
    for tensor in function.inputs:
        node = _node(tensor._keras_history.operation._inbound_nodes[0], tensor._keras_history.operation.name, {})
        nodes[node.name] = node
        references[id(tensor)] = node.name
    _walk(function, "", nodes, references)
    unknown = [node.name for node in nodes.values() if any(None in shape for shape in node.shapes)]
    if unknown:
        raise InputError(
            f"{model.name}: the size of {unknown[0]!r} is not known; a file has a fixed one: build the model with an "
            "input_shape of numbers (--set input_shape=HEIGHT,WIDTH,CHANNELS)"
        )
    return Graph(model.name, nodes, tuple(references[id(tensor)] for tensor in function.outputs))


def of_one_input(model: "keras.Model") -> Graph:
    """The same of a model of one input.

    Raises:
        InputError: as `from_keras`, and of several inputs.
    """
    graph = from_keras(model)
    if len(graph.inputs) != 1:
        raise InputError(f"{model.name} has {len(graph.inputs)} inputs; networks of one are exported")
    return graph


def _walk(model: Any, prefix: str, nodes: dict[str, Node], references: dict[int, str]) -> None:
    """Adds the model's calls, deepest first; `references` maps tensors to the names of what makes them."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for call in model._nodes_by_depth[depth]:
            layer = call.operation
            if id(call.outputs[0]) in references:  # a nested model's inputs are known already
                continue
            inner = layer if hasattr(layer, "_nodes_by_depth") else opened(call) if _is_foreign(layer) else None
            if inner is not None:
                known = {
                    id(i): references[id(outer)] for i, outer in zip(inner.inputs, call.input_tensors, strict=True)
                }
                _walk(inner, f"{prefix}{layer.name}/", nodes, known)
                references |= {id(o): known[id(i)] for i, o in zip(inner.outputs, call.outputs, strict=True)}
            else:
                node = _node(call, _unique(f"{prefix}{layer.name}", nodes), references)
                nodes[node.name] = node
                for index, tensor in enumerate(call.outputs):
                    references[id(tensor)] = f"{node.name}:{index}" if index else node.name


def _is_foreign(layer: Any) -> bool:
    """Whether it is a layer of neither Keras' own nor ours."""
    module = type(layer).__module__
    return hasattr(layer, "call") and not module.startswith(("keras.src.layers", "keras.src.ops", "keras_cnnzoo."))


def _node(call: Any, name: str, references: dict[int, str]) -> Node:
    layer = call.operation
    inputs = tuple(references[id(tensor)] for tensor in call.input_tensors)
    shapes = tuple(tuple(tensor.shape[1:]) for tensor in call.outputs)
    if type(layer).__module__.startswith("keras.src.ops"):
        op, config, weights = spelled(layer, call) or (_op(layer), _config(layer), ())
        return Node(name, op, config, inputs, weights, shapes)
    weights = tuple(np.asarray(w) for w in layer.get_weights())
    return Node(name, _op(layer), _config(layer), inputs, weights, shapes)


def _config(operation: Any) -> dict[str, Any]:
    try:
        with unasked():
            return {key: _plain(value) for key, value in operation.get_config().items()}
    except NotImplementedError:  # made with arguments that Keras cannot write down
        return {}


def _plain(value: Any) -> Any:
    """An array of a configuration, which Keras wraps, as lists."""
    wrapped = isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__")
    return np.asarray(value["config"]["value"], value["config"]["dtype"]).tolist() if wrapped else value


@contextmanager
def unasked() -> Iterator[None]:
    """Keras loads TensorFlow to ask whether a value is of its types: where it is not loaded, none is."""
    from keras.src.utils.module_utils import tensorflow

    known = tensorflow._available
    if known is None and "tensorflow" not in sys.modules:
        tensorflow._available = False
    try:
        yield
    finally:
        tensorflow._available = known


def _op(layer: Any) -> str:
    """Class name; GroupedConv2D is a Conv2D with another kernel implementation."""
    module, name = type(layer).__module__, type(layer).__name__
    if getattr(layer, "data_format", None) == "channels_first":
        return f"{module}.{name}"
    if module.startswith("keras.src.layers") or name == "InputLayer":
        return name
    if module.startswith("keras_cnnzoo."):
        return "Conv2D" if name == "GroupedConv2D" else name
    return f"{module}.{name}"


def _unique(name: str, nodes: dict[str, Node]) -> str:
    calls = sum(key == name or key.startswith(f"{name}@") for key in nodes)
    return f"{name}@{calls}" if calls else name
