"""The zeros around a map: what a layer reads of them, and what "same" means."""

from ..graph import Graph, Node, Shape

Pads = tuple[tuple[int, int], tuple[int, int]]


def extent(conv: Node) -> tuple[int, ...]:
    """Height and width that a convolution's kernel covers, dilation included."""
    pairs = zip(conv.config["kernel_size"], conv.config["dilation_rate"], strict=True)
    return tuple(dilation * (kernel - 1) + 1 for kernel, dilation in pairs)


def same_pads(shape: Shape, size: tuple[int, ...], strides: tuple[int, ...]) -> Pads:
    """What "same" pads before and after height and width of a map."""
    pads = []
    for length, window, stride in zip(shape[:2], size, strides, strict=True):
        total = max((-(-length // stride) - 1) * stride + window - length, 0)
        pads.append((total // 2, total - total // 2))
    return pads[0], pads[1]


def is_channels_first(pad: Node) -> bool:
    """Whether a padding layer pads the last two axes."""
    return pad.config.get("data_format") == "channels_first"


def pads_of(pad: Node) -> Pads:
    """A ZeroPadding2D's."""
    rows, columns = (tuple(side) for side in pad.config["padding"])
    return rows, columns


def read_by(graph: Graph, conv: Node) -> tuple[str, Pads]:
    """What a convolution reads, and the zeros around it: a padding layer's where one stands before a "valid" one."""
    if conv.config["padding"] == "same":
        return conv.inputs[0], same_pads(graph.shape_of(conv.inputs[0]), extent(conv), tuple(conv.config["strides"]))
    pad = graph.producer(conv.inputs[0])
    if pad.op == "ZeroPadding2D" and not is_channels_first(pad):
        return pad.inputs[0], pads_of(pad)
    return conv.inputs[0], ((0, 0), (0, 0))


def zeros_around(name: str, source: str, shape: Shape, pads: Pads) -> Node:
    """A padding layer over `source`, a map of `shape`."""
    height, width, channels = shape
    padded = (height + sum(pads[0]), width + sum(pads[1]), channels)
    config = {"padding": pads, "data_format": "channels_last"}
    return Node(name, "ZeroPadding2D", config, (source,), shapes=(padded,))
