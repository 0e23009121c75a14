"""A max pool that pads itself, which copies nothing.

    ReLU -> zeros around -> max pool "valid"                  ==>   ReLU -> max pool "same"
    conv -> ReLU -> zeros around -> max pool 3x3, stride 2    ==>   conv, one row and column more -> ReLU
                                                                    -> max pool "same" -> crop

No zero is larger than what a ReLU answers, so "same", which leaves the border out, answers alike where it pads as many
before the first pixel. Of an even map it pads none there, of an odd one it does: the convolution makes it odd, and only
the windows that are cropped away read what was added. A crop costs a quarter of the padding, and nothing where all that
read it have a stride that leaves the last row and column out. Exact. XNNPACK pads a convolution's input as it reads,
but copies a pool's: a thirteenth of an int8 ShuffleNet, where it was found.
"""

from dataclasses import dataclass, replace

from ..graph import Graph, Node
from .declined import Declined, ignore
from .padding import Pads, extent, pads_of, read_by, reading, same_pads
from .patterns import is_clamp, is_not_negative

WINDOWED = ("Conv2D", "DepthwiseConv2D")


@dataclass(frozen=True)
class Axis:
    """Height or width of a pool that pads itself: what its input must have `more`, and its output then has `over`."""

    more: int
    over: int


def pool_padding(graph: Graph, declined: Declined = ignore) -> Graph:
    """Takes the padding before each max pool away."""
    for name in [node.name for node in graph.nodes.values() if node.op == "MaxPooling2D"]:
        pool = graph.nodes[name]
        pad = graph.producer(pool.inputs[0])
        if pool.config["padding"] != "valid" or pad.op != "ZeroPadding2D":
            continue
        (source,) = pad.inputs
        axes = [_axis(graph.shape_of(source), pool, pads_of(pad), axis) for axis in (0, 1)]
        height, width = axes
        if not is_not_negative(graph, source):
            declined(name, "what it reads may be negative, and a zero of its border the largest")
        elif height is None or width is None:
            declined(name, f"no map a little larger is padded by {pads_of(pad)} where 'same' is asked for")
        elif not (height.more or width.more):
            graph = _pooled(graph, pool, source, height, width)
        else:
            grown = _with_more(graph, source, pad.name, (height.more, width.more))
            if grown is None:
                declined(name, "no convolution makes what it reads, and for it alone")
            else:
                graph = _pooled(grown, pool, source, height, width)
    return graph.pruned()


def _axis(shape: tuple[int, ...], pool: Node, pads: Pads, axis: int) -> Axis | None:
    """None where "same" starts at another pixel whatever is added."""
    length, size, stride = shape[axis], pool.config["pool_size"][axis], pool.config["strides"][axis]
    read = (pool.shape[axis] - 1) * stride + size - pads[axis][0]  # pixels up to the last window's end
    for more in range(stride):
        before = same_pads((length + more,) * 2, (size, size), (stride, stride))[0][0]
        outputs = -(-(length + more) // stride)
        if before == pads[axis][0] and outputs >= pool.shape[axis] and (not more or read <= length):
            return Axis(more, outputs - pool.shape[axis])
    return None


def _with_more(graph: Graph, source: str, pad: str, more: tuple[int, int]) -> Graph | None:
    """The convolution that makes `source`, which `pad` alone may read, with so many rows and columns more."""
    readers, chain = graph.readers(), [graph.producer(source)]
    while is_clamp(chain[-1]) and readers[chain[-1].name] == 1:
        chain.append(graph.producer(chain[-1].inputs[0]))
    conv = chain[-1]
    if conv.op not in WINDOWED or any(readers[node.name] != 1 for node in (*chain, graph.nodes[pad])):
        return None
    origin, pads = read_by(graph, conv)
    shape, size, strides = graph.shape_of(origin), extent(conv), tuple(conv.config["strides"])
    rows, columns = (
        (before, (conv.shape[i] + more[i] - 1) * strides[i] + size[i] - before - shape[i] if more[i] else after)
        for i, (before, after) in enumerate(pads)
    )
    graph = graph.splice(conv.name, *reading(conv, origin, shape, (rows, columns)))
    return graph.update(*(replace(graph.nodes[node.name], shapes=(_larger(node, more),)) for node in chain))


def _larger(node: Node, more: tuple[int, int]) -> tuple[int, ...]:
    height, width, *channels = node.shape
    return height + more[0], width + more[1], *channels


def _pooled(graph: Graph, pool: Node, source: str, height: Axis, width: Axis) -> Graph:
    """The pool over `source`, and a crop where it answers more than it did."""
    config, over = pool.config | {"padding": "same"}, (height.over, width.over)
    if not any(over):
        return graph.update(replace(pool, config=config, inputs=(source,)))
    whole = replace(pool, name=f"{pool.name}/whole", config=config, inputs=(source,), shapes=(_larger(pool, over),))
    cropping = {"cropping": ((0, over[0]), (0, over[1])), "data_format": "channels_last"}
    crop = replace(pool, op="Cropping2D", config=cropping, inputs=(whole.name,))
    graph = graph.splice(pool.name, whole, crop)
    spared = [_uncropped(graph, reader, crop, whole.name, over) for reader in graph.reading()[crop.name]]
    return graph.update(*(node for nodes in spared for node in nodes or ()))


def _uncropped(graph: Graph, node: Node, read: Node, whole: str, over: tuple[int, int]) -> list[Node] | None:
    """`node`, which reads the cropped map `read`, and what follows, reading `whole`; None where they would differ."""
    readers = graph.reading()[node.name]
    if node.op == "ZeroPadding2D" and node.name not in graph.outputs:
        pads = pads_of(node)
        fewer = (pads[0][0], pads[0][1] - over[0]), (pads[1][0], pads[1][1] - over[1])
        if min(map(min, fewer)) >= 0 and all(_leaves_out(reader, read, pads, over) for reader in readers):
            return [replace(node, config=node.config | {"padding": fewer}, inputs=(whole,))]
    elif node.op in WINDOWED and node.config["padding"] == "valid" and _leaves_out(node, read, ((0, 0), (0, 0)), over):
        return [replace(node, inputs=(whole,))]
    elif _is_pointwise(node) and node.name not in graph.outputs:
        behind = [_uncropped(graph, reader, node, node.name, over) for reader in readers]
        if all(nodes is not None for nodes in behind):
            wide = replace(node, inputs=(whole,), shapes=(_larger(node, over),))
            return [wide, *(each for nodes in behind for each in nodes or ())]
    return None


def _leaves_out(conv: Node, read: Node, pads: Pads, over: tuple[int, int]) -> bool:
    """Whether a "valid" convolution answers alike where the last `over` zeros after its map are other values."""
    if conv.op not in WINDOWED or conv.config["padding"] != "valid":
        return False
    for i in (0, 1):
        stride, size = conv.config["strides"][i], extent(conv)[i]
        read_to = (conv.shape[i] - 1) * stride + size - pads[i][0]
        outputs = (read.shape[i] + over[i] + pads[i][0] + max(pads[i][1] - over[i], 0) - size) // stride + 1
        if over[i] and (read_to > read.shape[i] or outputs != conv.shape[i]):
            return False
    return True


def _is_pointwise(node: Node) -> bool:
    """A clamp, or a 1x1 convolution of stride 1."""
    window = node.op in WINDOWED and {*node.config["kernel_size"], *node.config["strides"]}
    return is_clamp(node) or window == {1}
