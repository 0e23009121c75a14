"""ReLU before the concatenation, where it fuses.

    a: conv ---\\                        a: conv with ReLU ---\\
                concat -> ReLU    ==>                         concat
    b: pool ---/                        b: pool -------------/      (of what is at least 0 already)

XNNPACK has no int8 ReLU of its own: each one that stands alone splits the graph, and LiteRT's kernel for it is slow
(12 times on 28x28x128). Exact: a clamp works element by element. An input that stays within the clamp's limits needs
none; of the others one at most may keep a clamp of its own.
"""

from dataclasses import replace

from ..graph import Graph, Node
from .declined import Declined, ignore
from .patterns import clamp, fuses, is_clamp, is_clamped


def relu_to_producers(graph: Graph, declined: Declined = ignore) -> Graph:
    """Moves each clamp that alone reads a concatenation into what is concatenated."""
    queue = [node.name for node in graph.nodes.values() if is_clamp(node)]
    while queue:
        node = graph.nodes.get(queue.pop())
        if node is None or graph.producer(node.inputs[0]).op != "Concatenate":
            continue
        moved = _moved(graph, node, declined)
        queue += [name for name in moved.nodes if name not in graph.nodes]  # the inputs may be concatenations too
        graph = moved
    return graph


def _moved(graph: Graph, activation: Node, declined: Declined) -> Graph:
    readers, concat = graph.readers(), graph.producer(activation.inputs[0])
    function = activation.config["activation"]
    if readers[concat.name] != 1:
        declined(activation.name, "the concatenation is read without the ReLU as well")
        return graph
    open_inputs = [i for i in dict.fromkeys(concat.inputs) if not is_clamped(graph, i, function)]
    standing = [i for i in open_inputs if not fuses(graph, i, readers) and graph.producer(i).op != "Concatenate"]
    if len(standing) > 1 or any(":" in i for i in open_inputs):
        declined(activation.name, f"the ReLU would stand alone behind {', '.join(standing)}")
        return graph
    clamps = {i: clamp(f"{activation.name}/{i}", function, i, graph.shape_of(i)) for i in open_inputs}
    joined = replace(concat, inputs=tuple(clamps[i].name if i in clamps else i for i in concat.inputs))
    return graph.splice(concat.name, *clamps.values(), joined).bypass(activation.name)
