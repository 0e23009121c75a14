"""The zeros around a map: what a layer reads of them, and what "same" means."""

from dataclasses import replace

from ..graph import Graph, Node, Shape

Pads = tuple[tuple[int, int], tuple[int, int]]


def extent(node: Node) -> tuple[int, ...]:
    """Height and width that the window of a convolution or a pool covers, dilation included."""
    if "pool_size" in node.config:
        return tuple(node.config["pool_size"])
    pairs = zip(node.config["kernel_size"], node.config["dilation_rate"], strict=True)
    return tuple(dilation * (kernel - 1) + 1 for kernel, dilation in pairs)


def same_pads(shape: Shape, size: tuple[int, ...], strides: tuple[int, ...]) -> Pads:
    """What "same" pads before and after height and width of a map."""
    pads = []
    for length, window, stride in zip(shape[:2], size, strides, strict=True):
        total = max((-(-length // stride) - 1) * stride + window - length, 0)
        pads.append((total // 2, total - total // 2))
    return pads[0], pads[1]


def pads_of(pad: Node) -> Pads:
    """A ZeroPadding2D's."""
    rows, columns = (tuple(side) for side in pad.config["padding"])
    return rows, columns


def read_by(graph: Graph, conv: Node) -> tuple[str, Pads]:
    """What a convolution reads, and the zeros around it: a padding layer's where one stands before a "valid" one."""
    if conv.config["padding"] == "same":
        return conv.inputs[0], same_pads(graph.shape_of(conv.inputs[0]), extent(conv), tuple(conv.config["strides"]))
    pad = graph.producer(conv.inputs[0])
    if pad.op == "ZeroPadding2D":
        return pad.inputs[0], pads_of(pad)
    return conv.inputs[0], ((0, 0), (0, 0))


def reading(conv: Node, source: str, shape: Shape, pads: Pads) -> list[Node]:
    """The convolution over `source`, a map of `shape`, and zeros around: by "same", or behind a padding layer."""
    if pads == same_pads(shape, extent(conv), tuple(conv.config["strides"])):
        return [replace(conv, config=conv.config | {"padding": "same"}, inputs=(source,))]
    conv = replace(conv, config=conv.config | {"padding": "valid"}, inputs=(source,))
    if not any(map(any, pads)):
        return [conv]
    height, width, channels = shape
    padded = (height + sum(pads[0]), width + sum(pads[1]), channels)
    config = {"padding": pads, "data_format": "channels_last"}
    zeros = Node(f"{conv.name}/around", "ZeroPadding2D", config, (source,), shapes=(padded,))
    return [zeros, replace(conv, inputs=(zeros.name,))]
