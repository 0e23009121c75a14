"""A network's macro-architecture: its stages, their blocks, and the branches of a block.

A block stands between two cuts: places where a single tensor carries all that comes before to all that comes after. So
residual units, Inception blocks and dense layers are found in any functional model, by the graph alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any

from .complexity import Call, Cost, complexity, ordered_calls
from .errors import InputError

if TYPE_CHECKING:
    import keras

MERGES = {"Add": "+", "Concatenate": "concat", "Multiply": "×"}


@dataclass(frozen=True)
class Block:
    """A chain of operations, or branches that meet again.

    Args:
        branches: the operations of each branch in words, and blocks inside it; an empty one is the identity. A chain
            has one branch.
        merge: how the branches meet, or "" for a chain.
        count: how many such blocks follow each other.
    """

    branches: tuple[tuple["Item", ...], ...]
    merge: str = ""
    count: int = 1


Item = str | Block


@dataclass(frozen=True)
class Stage:
    """What stands up to an end point, and what it costs."""

    cost: Cost
    blocks: tuple[Block, ...]


def stages(model: "keras.Model") -> list[Stage]:
    """The stages of a functional model, the head last.

    Raises:
        InputError: a subclassed model, one whose height and width are None, or one whose branches do not meet again.
    """
    costs = complexity(model).stages
    blocks: list[list[Block]] = [[]]
    for segment in _segments(list(ordered_calls(model))):
        blocks[-1].append(_block(segment))
        if type(segment[-1][0]).__name__ == "Identity":
            blocks.append([])
    if len(blocks) != len(costs):
        raise InputError(
            f"{model.name}: an end point (Identity layer) of it stands in a branch that meets no other behind it; a "
            "network of one answer can be drawn, so leave auxiliary heads out (aux_heads=false)"
        )
    return [Stage(cost, tuple(_runs(found))) for cost, found in zip(costs, blocks, strict=True)]


def _segments(calls: list[Call]) -> Iterator[list[Call]]:
    """The calls between one cut and the next, in order; what stands before the first call is one tensor."""
    position = {id(tensor): index for index, (_, _, outputs) in enumerate(calls) for tensor in outputs}
    last_reader = dict.fromkeys(range(-1, len(calls)), 0)  # of each call's outputs; -1 is what stands before
    for index, (_, inputs, _) in enumerate(calls):
        for tensor in inputs:
            last_reader[position.get(id(tensor), -1)] = index
    start, furthest = 0, last_reader[-1]  # furthest: where the last reader of what was made before this call stands
    for index in range(len(calls)):
        if index >= furthest and len(calls[index][2]) == 1:
            yield calls[start : index + 1]
            start = index + 1
        furthest = max(furthest, last_reader[index])
    if start < len(calls):
        yield calls[start:]


def _block(segment: list[Call]) -> Block:
    """A segment's last call merges its branches, if it has any."""
    *inner, (layer, inputs, _) = segment
    if len(inputs) < 2:
        return Block((tuple(filter(None, map(_words, segment))),))
    makers = {id(tensor): index for index, call in enumerate(inner) for tensor in call[2]}
    taken: set[int] = set()
    branches = tuple(_items(_branch(tensor, inner, makers, taken)) for tensor in inputs)
    return Block(branches, MERGES.get(type(layer).__name__, type(layer).__name__.lower()))


def _branch(tensor: Any, calls: list[Call], makers: dict[int, int], taken: set[int]) -> list[Call]:
    """The calls that lead to a tensor from the block's entry, in order, but those that an earlier branch took."""
    found, waiting = [], [tensor]
    while waiting:
        index = makers.get(id(waiting.pop()))
        if index is not None and index not in taken:
            taken.add(index)
            found.append(index)
            waiting += calls[index][1]
    return [calls[index] for index in sorted(found)]


def _items(branch: list[Call]) -> tuple[Item, ...]:
    """A branch's operations, and the blocks inside it."""
    items: list[Item] = []
    for segment in _segments(branch):
        block = _block(segment)
        items += [block] if block.merge else block.branches[0]
    return tuple(items)


def _runs(blocks: list[Block]) -> Iterator[Block]:
    """Chains joined, a shuffle behind a block drawn with it, equal blocks counted."""
    joined: list[Block] = []
    for chained, group in groupby(blocks, key=lambda block: not block.merge):
        found = list(group)
        if chained:
            words = tuple(chain.from_iterable(block.branches[0] for block in found))
            if joined and words[:1] == ("shuffle",):
                joined[-1] = replace(joined[-1], merge=f"{joined[-1].merge}, shuffle")
                words = words[1:]
            joined += [Block((words,))] if words else []
        else:
            joined += found
    for block, equal in groupby(joined):
        yield Block(block.branches, block.merge, len(list(equal)))


def _words(call: Call) -> str:
    """One operation as a paper's figure has it; "" for what such figures leave out."""
    layer, *_ = call
    kind = type(layer).__name__
    if kind in ("Conv2D", "GroupedConv2D", "DepthwiseConv2D", "SeparableConv2D"):
        height, width = layer.kernel_size
        groups = f", {layer.groups} groups" if getattr(layer, "groups", 1) > 1 else ""
        filters = " depthwise" if kind == "DepthwiseConv2D" else f", {layer.filters}"
        return f"{height}×{width}{filters}{groups}{_stride(layer)}"
    if kind in ("MaxPooling2D", "AveragePooling2D"):
        return f"{'max' if kind[0] == 'M' else 'avg'} {layer.pool_size[0]}×{layer.pool_size[1]}{_stride(layer)}"
    if kind == "Dense":
        return f"dense, {layer.units}"
    return NAMED.get(kind, "")


NAMED = {
    "GlobalAveragePooling2D": "average",
    "GlobalMaxPooling2D": "maximum",
    "AdaptiveAverage2D": "average",
    "ChannelShuffle": "shuffle",
    "ChannelSplit": "split",
    "ChannelPad": "pad channels",
    "LocalResponseNorm": "LRN",
    "Flatten": "flatten",
}


def _stride(layer: Any) -> str:
    return f" / {layer.strides[0]}" if max(layer.strides) > 1 else ""
