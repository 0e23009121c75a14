"""Four pixels of a row read as one: a strided convolution over an image, whose three channels leave a vector empty.

    224x224x3 -> conv 3x3, stride 2            ==>   reshape 224x56x12 -> conv 3x2, stride (2, 1), twice the filters
                                                     -> (ReLU) -> reshape 112x112

A row of pixels lies in memory as a row of a quarter as many with four times the channels, and so does a row of outputs:
the reshapes move nothing. Each filter stands once for each output of a block, zeros where it does not reach. Exact, and
bit-equal in int8 where kernels are rounded to nearest; litert-quantizer's OCTAV sees the zeros and may choose another
scale. A kernel that sums 8 channels at a time, or 64 with AMX, is filled better by 12 of them than by 3: a stem takes
0.58 times as long on a Xeon with AMX. One that sums 4 at a time, or one, has more to do for nothing: machines differ.
"""

from dataclasses import dataclass, replace

import numpy as np

from ..graph import Graph, Node
from .declined import Declined, ignore
from .padding import read_by, reading
from .patterns import is_clamp

NARROW, PIXELS = 4, 4  # inputs of so many channels at most; at least so many pixels a block


@dataclass(frozen=True)
class Blocks:
    """How a row of pixels falls into blocks.

    Args:
        pixels: of a block.
        outputs: that a block of outputs holds.
        before: blocks of zeros in front of the row.
        taps: blocks that a block of outputs reads.
        after: blocks of zeros behind the row.
        offset: pixels of the first block that the first output does not read.
    """

    pixels: int
    outputs: int
    before: int
    taps: int
    after: int
    offset: int


def wide_pixels(graph: Graph, declined: Declined = ignore) -> Graph:
    """Reads pixels in blocks for each strided convolution of few input channels."""
    for name in [node.name for node in graph.nodes.values() if node.op == "Conv2D"]:
        conv = graph.nodes[name]
        stride = conv.config["strides"][1]
        if conv.weights[0].shape[2] > NARROW or conv.config["groups"] > 1 or stride == 1:
            continue
        if tuple(conv.config["dilation_rate"]) != (1, 1):
            declined(name, "it is dilated")
            continue
        source, pads = read_by(graph, conv)
        width = graph.shape_of(source)[1]
        blocks = _blocks(width, conv.shape[1], conv.weights[0].shape[1], stride, pads[1][0])
        if blocks is None:
            declined(name, f"rows of {width} pixels, {conv.shape[1]} outputs, do not fall into blocks")
        else:
            graph = _read_in_blocks(graph, conv, source, pads[0], blocks)
    return graph.pruned()


def _blocks(width: int, outputs: int, size: int, stride: int, before: int) -> Blocks | None:
    """None where the row, or that of the outputs, is no multiple, or its end is not read."""
    pixels = stride * -(-PIXELS // stride)
    each = pixels // stride
    first, last = -before // pixels, (stride * (each - 1) + size - 1 - before) // pixels
    after = outputs // each + last - width // pixels
    if width % pixels or outputs % each or after < 0:
        return None
    return Blocks(pixels, each, -first, last - first + 1, after, -first * pixels - before)


def _read_in_blocks(graph: Graph, conv: Node, source: str, rows: tuple[int, int], blocks: Blocks) -> Graph:
    height, width, channels = graph.shape_of(source)
    shape = (height, width // blocks.pixels, blocks.pixels * channels)
    columns = Node(f"{conv.name}/blocks", "Reshape", {"target_shape": shape}, (source,), shapes=(shape,))
    kernel = _kernel(conv, blocks, channels)
    size, strides = kernel.shape[:2], (conv.config["strides"][0], 1)
    wide = replace(
        conv,
        config=conv.config | {"kernel_size": size, "strides": strides, "filters": kernel.shape[-1]},
        weights=(kernel, *(np.tile(bias, blocks.outputs) for bias in conv.weights[1:])),
        shapes=((conv.shape[0], conv.shape[1] // blocks.outputs, kernel.shape[-1]),),
    )
    *zeros, wide = reading(wide, columns.name, shape, (rows, (blocks.before, blocks.after)))
    readers = graph.reading()[conv.name]
    graph = graph.splice(conv.name, columns, *zeros, wide)
    last = wide
    if len(readers) == 1 and is_clamp(readers[0]) and conv.name not in graph.outputs:  # so that it still fuses
        last = replace(readers[0], shapes=wide.shapes)
        graph = graph.update(last)
    restored = {"target_shape": conv.shape}
    return graph.insert_after(
        last.name, Node(f"{last.name}/pixels", "Reshape", restored, (last.name,), shapes=conv.shapes)
    )


def _kernel(conv: Node, blocks: Blocks, channels: int) -> np.ndarray:
    """(height, taps, pixels * channels, outputs * filters): each filter once for each output of a block."""
    kernel, stride = conv.weights[0], conv.config["strides"][1]
    height, width, _, filters = kernel.shape
    wide = np.zeros((height, blocks.taps, blocks.pixels, channels, blocks.outputs, filters), kernel.dtype)
    for output in range(blocks.outputs):
        for column in range(width):
            tap, pixel = divmod(blocks.offset + stride * output + column, blocks.pixels)
            wide[:, tap, pixel, :, output] = kernel[:, column]
    return wide.reshape(height, blocks.taps, blocks.pixels * channels, blocks.outputs * filters)
