"""One spelling for padding: what "same" would pad is "same".

    zero padding (1, 1) -> conv 3x3 "valid"    ==>   conv 3x3 "same"

At a stride of 1, and at others where the sizes so fall, an explicit padding is the one that "same" computes. It is then
no operator of its own. Exact; a pool is left alone, whose "same" leaves the border out.
"""

from dataclasses import replace

from ..graph import Graph
from .declined import Declined, ignore
from .padding import extent, pads_of, same_pads


def same_padding(graph: Graph, declined: Declined = ignore) -> Graph:
    """Takes each padding into the convolutions that read it and would pad the same."""
    for name in [node.name for node in graph.nodes.values() if node.op in ("Conv2D", "DepthwiseConv2D")]:
        conv = graph.nodes[name]
        pad = graph.producer(conv.inputs[0])
        if pad.op != "ZeroPadding2D" or conv.config["padding"] != "valid":
            continue
        given = pads_of(pad)
        if given == same_pads(graph.shape_of(pad.inputs[0]), extent(conv), tuple(conv.config["strides"])):
            inner = replace(conv, config=conv.config | {"padding": "same"}, inputs=pad.inputs)
            graph = graph.update(inner)
        else:
            declined(name, f"{pad.name} pads {given}, which is not what 'same' pads")
    return graph.pruned()
