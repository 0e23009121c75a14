"""Hard swish as a product, whose sixth the next convolution takes.

    x -> hard swish -> conv by k    ==>   x ------------------ * -> conv by k/6
                                          x -> + 3 -> ReLU6 ---^

XNNPACK has no int8 HARD_SWISH: each one splits the graph. In float the operator is delegated and faster. Exact: where
x < -3 the second factor is 0. The sixth passes through what is linear (pads, pools, a gate's product) to the
convolutions; where something else reads it, it is a factor of its own.

In int8 the two more roundings cost 0.14 dB on a MobileNetV3-small of 96 pixels; `seen_ranges`, where nothing below -3
is kept, brings 0.8 to either form.
"""

from dataclasses import replace

from ..graph import Graph, Node
from .affine import CHANNEL_AXES
from .declined import Declined, ignore
from .patterns import clamp

NAMES = ("hard_swish", "hard_silu")
LINEAR = {
    "AveragePooling2D",
    "ChannelPad",
    "ChannelShuffle",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "MaxPooling2D",
    "Reshape",
    "ZeroPadding2D",
}  # of one input: a positive factor passes
SHIFT = {"scale": 1.0, "offset": 3.0}
NARROWEST = 6 / 256  # XNNPACK refuses the sum x + 3 where the scale of x is 1000 times finer
STEPS = 255  # between the least and the greatest int8 number


def hard_swish(graph: Graph, declined: Declined = ignore) -> Graph:
    """Writes each hard swish as a product."""
    for name in [node.name for node in graph.nodes.values() if node.op == "Activation"]:
        node = graph.nodes[name]
        if node.config["activation"] not in NAMES:
            continue
        source = graph.producer(node.inputs[0])
        if len(source.shapes) != 1:
            declined(name, f"{source.name} has several outputs")
            continue
        absorbed = _absorbed(graph, name)
        graph = graph.update(*(absorbed or ()))
        shifted = Node(f"{name}/shifted", "Rescaling", SHIFT, (source.name,), shapes=node.shapes)
        gate = clamp(f"{name}/gate", "relu6", shifted.name, node.shape)
        product = Node(name, "Multiply", {}, (source.name, gate.name), shapes=node.shapes)
        if absorbed is None:
            product = replace(product, name=f"{name}/product")
            sixth = Node(name, "Rescaling", {"scale": 1 / 6, "offset": 0.0}, (product.name,), shapes=node.shapes)
            graph = graph.splice(name, shifted, gate, product, sixth)
        else:
            graph = graph.splice(name, shifted, gate, product)
    return graph


def seen_ranges(graph: Graph, ranges: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """The ranges with those of what only hard swishes and hard sigmoids read cut to what these see of it.

    Both are 0 below -3, so x may begin there: its steps are then finer. A hard sigmoid sees nothing above 3 either;
    x and relu6(x + 3) share one scale there, of which 3 is a whole multiple, so that the sum rounds nothing.
    """
    ranges, readers = dict(ranges), graph.readers()
    for node in graph.nodes.values():
        source, reads, shifted = hard_form(graph, node)
        if source not in ranges or readers[source] != reads:
            continue
        if shifted in ranges:
            span = STEPS * 3 / int(STEPS * 3 / 6)
            ranges[source], ranges[shifted] = (-3.0, span - 3), (0.0, span)
        else:
            low, high = max(ranges[source][0], -3.0), max(ranges[source][1], 0.0)
            ranges[source] = low, max(high, low + NARROWEST)
    return ranges


def hard_form(graph: Graph, node: Node) -> tuple[str, int, str]:
    """What a hard swish, as an operator or a product, or a hard sigmoid reads, how often, and for the last the sum.

    Nothing of any other node.
    """
    if node.op == "Activation" and node.config["activation"] == "hard_sigmoid":
        return node.inputs[0], 1, f"{node.name}/shifted"
    if node.op == "Activation" and node.config["activation"] in NAMES:
        return node.inputs[0], 1, ""
    if node.op == "Multiply" and len(node.inputs) == 2:
        gate = graph.producer(node.inputs[1])
        if gate.op == "Activation" and gate.config["activation"] == "relu6":
            shifted = graph.producer(gate.inputs[0])
            is_sum = shifted.inputs == node.inputs[:1] and shifted.op == "Rescaling" and shifted.config == SHIFT
            if is_sum and graph.readers()[shifted.name] == 1:  # else another reads x below -3, through the sum
                return node.inputs[0], 2, ""
    return "", 0, ""


def _absorbed(graph: Graph, name: str) -> list[Node] | None:
    """The readers with a sixth of their kernels; None where one cannot take it."""
    reading, scaled = graph.reading(), dict[str, Node]()
    waiting, seen = [name], {name}
    while waiting:
        reference = waiting.pop()
        if reference in graph.outputs or not reading[reference]:
            return None
        for reader in reading[reference]:
            if reader.op in CHANNEL_AXES:
                kernel, *bias = reader.weights
                scaled[reader.name] = replace(reader, weights=((kernel / 6).astype(kernel.dtype), *bias))
            elif reader.name in seen:
                return None  # both factors of a product carry the sixth
            elif reader.op in LINEAR or (reader.op == "Multiply" and reader.inputs.count(reference) == 1):
                waiting.append(reader.name)
                seen.add(reader.name)
            else:
                return None
    return list(scaled.values())
