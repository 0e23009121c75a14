"""Graph -> .tflite, without a converter: each layer becomes operators by a rule of a few lines."""

from ..graph import Graph, Node
from .rules import RULES, has_rule
from .rules.activation import FUSED
from .rules.registry import Call
from .writer import Writer


def without_rule(graph: Graph) -> list[Node]:
    """The nodes that cannot be written."""
    return [node for node in graph.nodes.values() if node.op != "InputLayer" and not has_rule(node)]


def missing_rules(graph: Graph) -> list[str]:
    """The operations that cannot be written, each once."""
    return sorted({node.op for node in without_rule(graph)})


def emit(graph: Graph, *, batch: int = 1, expose: bool = False) -> bytes:
    """The float32 model file of a lowered graph, in which every node has a rule.

    Args:
        graph: lowered; `without_rule(graph)` is empty.
        batch: images a call, fixed in the file.
        expose: every activation is an output, so that calibration sees it.

    Returns:
        A .tflite file whose serving_default signature names inputs and outputs after their nodes.
    """
    writer, readers = Writer(), graph.readers()
    tensors: dict[str, int] = {}
    fusable: dict[str, object] = {}
    for node in graph.nodes.values():
        source = fusable.get(node.inputs[0]) if node.op == "Activation" and node.config["activation"] in FUSED else None
        if source is not None and readers[node.inputs[0]] == 1:
            source.fusedActivationFunction = FUSED[node.config["activation"]]  # type: ignore[attr-defined]
            tensors[node.name] = tensors[node.inputs[0]]
            continue
        outputs = [
            writer.tensor(f"{node.name}:{i}" if i else node.name, (batch, *shape))
            for i, shape in enumerate(node.shapes)
        ]
        tensors |= {f"{node.name}:{i}" if i else node.name: output for i, output in enumerate(outputs)}
        if node.op != "InputLayer":
            options = RULES[node.op](Call(writer, node, [tensors[i] for i in node.inputs], outputs))
            if options is not None:
                fusable[node.name] = options
    inputs = {node.name: tensors[node.name] for node in graph.inputs}
    outputs_by_name = {name: tensors[name] for name in graph.outputs}
    if expose:
        activations = {t for operator in writer.graph.operators for t in operator.outputs}
        outputs_by_name = {writer.graph.tensors[t].name.decode(): int(t) for t in sorted(activations)}
    return writer.finish(inputs, outputs_by_name)
