"""One spelling for padding: what "same" would pad is "same".

    zero padding (1, 1) -> conv 3x3 "valid"    ==>   conv 3x3 "same"

At a stride of 1, and at others where the sizes so fall, an explicit padding is the one that "same" computes. It is then
no operator of its own. Exact; a pool is left alone, whose "same" leaves the border out.
"""

from dataclasses import replace

from ..graph import Graph, Node
from .declined import Declined, ignore

Pads = tuple[tuple[int, int], tuple[int, int]]


def same_padding(graph: Graph, declined: Declined = ignore) -> Graph:
    """Takes each padding into the convolutions that read it and would pad the same."""
    for name in [node.name for node in graph.nodes.values() if node.op in ("Conv2D", "DepthwiseConv2D")]:
        conv = graph.nodes[name]
        pad = graph.producer(conv.inputs[0])
        if pad.op != "ZeroPadding2D" or conv.config["padding"] != "valid" or is_channels_first(pad):
            continue
        size = extent(conv)
        source = graph.shape_of(pad.inputs[0])
        given = tuple(tuple(side) for side in pad.config["padding"])
        if given == same_pads(source, size, tuple(conv.config["strides"])):
            inner = replace(conv, config=conv.config | {"padding": "same"}, inputs=pad.inputs)
            graph = graph.update(inner)
        else:
            declined(name, f"{pad.name} pads {given}, which is not what 'same' pads")
    return graph.pruned()


def extent(conv: Node) -> tuple[int, ...]:
    """Height and width that a convolution's kernel covers, dilation included."""
    pairs = zip(conv.config["kernel_size"], conv.config["dilation_rate"], strict=True)
    return tuple(dilation * (kernel - 1) + 1 for kernel, dilation in pairs)


def same_pads(shape: tuple[int, ...], size: tuple[int, ...], strides: tuple[int, ...]) -> Pads:
    """What "same" pads before and after height and width of a map."""
    pads = []
    for length, window, stride in zip(shape[:2], size, strides, strict=True):
        total = max((-(-length // stride) - 1) * stride + window - length, 0)
        pads.append((total // 2, total - total // 2))
    return pads[0], pads[1]


def is_channels_first(pad: Node) -> bool:
    """Whether a padding layer pads the last two axes."""
    return pad.config.get("data_format") == "channels_first"
