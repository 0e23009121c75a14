"""Hard swish as a product, whose sixth the next convolution takes.

    x -> hard swish -> conv by k    ==>   x ------------------ * -> conv by k/6
                                          x -> + 3 -> ReLU6 ---^

XNNPACK has no int8 HARD_SWISH: each one splits the graph. In float the operator is delegated and faster. Exact: where
x < -3 the second factor is 0. The sixth passes through what is linear (pads, pools, a gate's product) to the
convolutions; where something else reads it, it is a factor of its own.

In int8 the sum costs nothing when x and ReLU6(x + 3) share one scale of which 3 is a whole multiple, and x begins at
-3, below which the product is 0 whatever x is: `shared_scale` sees to that.
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
        shifted = Node(
            f"{name}/shifted", "Rescaling", {"scale": 1.0, "offset": 3.0}, (source.name,), shapes=node.shapes
        )
        gate = clamp(f"{name}/gate", "relu6", shifted)
        product = Node(name, "Multiply", {}, (source.name, gate.name), shapes=node.shapes)
        if absorbed is None:
            product = replace(product, name=f"{name}/product")
            sixth = Node(name, "Rescaling", {"scale": 1 / 6, "offset": 0.0}, (product.name,), shapes=node.shapes)
            graph = graph.splice(name, shifted, gate, product, sixth)
        else:
            graph = graph.splice(name, shifted, gate, product)
    return graph


def shared_scale(graph: Graph, ranges: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """The ranges with those of x and ReLU6(x + 3) set so that int8 adds the 3 without rounding.

    Both span 255 steps of 3/k: x from -3, ReLU6(x + 3) from 0, k as great as the greatest x and the 6 allow. A hard
    sigmoid adds the 3 too, and sees nothing of an x beyond 3.
    """
    ranges, readers = dict(ranges), graph.readers()
    for node in graph.nodes.values():
        source, shifted, reads, top = "", f"{node.name}/shifted", 1, 6.0
        if node.op == "Activation" and node.config["activation"] == "hard_sigmoid":
            source = node.inputs[0]
        elif node.op == "Multiply" and len(node.inputs) == 2 and graph.producer(node.inputs[1]).op == "Activation":
            source, reads, shifted = node.inputs[0], 2, graph.producer(node.inputs[1]).inputs[0]
            if not shifted.endswith("/shifted") or graph.nodes[shifted].inputs != (source,):
                continue
            top = max(ranges.get(source, (0.0, 0.0))[1] + 3, 6.0)
        if source in ranges and shifted in ranges and readers[source] == reads:
            span = STEPS * 3 / int(STEPS * 3 / top)
            ranges[source], ranges[shifted] = (-3.0, span - 3), (0.0, span)
    return ranges


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
