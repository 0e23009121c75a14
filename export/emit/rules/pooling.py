"""Pools: over windows, over the whole map, to a map of given size."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from .convolution import window
from .registry import MOST, Call, reduction, rule


@rule("MaxPooling2D", "AveragePooling2D")
def pool_2d(call: Call) -> Any:
    options = window(schema.Pool2DOptionsT(), call.node)
    options.filterHeight, options.filterWidth = call.config["pool_size"]
    name = "MAX_POOL_2D" if call.node.op == "MaxPooling2D" else "AVERAGE_POOL_2D"
    return call.operator(name, call.inputs, options=options)


@rule("GlobalAveragePooling2D", "GlobalMaxPooling2D")
def global_pool(call: Call) -> None:
    axes = call.constant("axes", [1, 2], np.int32)
    name = "MEAN" if call.node.op == "GlobalAveragePooling2D" else "REDUCE_MAX"
    call.operator(name, [*call.inputs, axes], options=reduction(call.config["keepdims"]))


@rule("AdaptiveAverage2D", "AdaptiveAveragePooling2D", "AdaptiveMaxPooling2D")
def adaptive_pool(call: Call) -> None:
    """Windows of several sizes, cut out and reduced one by one, row by row; equal ones are lowered to pools."""
    _, rows, columns, _ = call.shape(call.outputs[0])
    largest = call.node.op == "AdaptiveMaxPooling2D"
    maps = call.inputs
    for axis, count, name in ((1, rows, "rows"), (2, columns, "columns")):
        maps = [_reduced_along(call, maps[0], axis, count, name, largest)]
    call.operator("RESHAPE", [*maps, call.constant("shape", call.shape(call.outputs[0]), np.int32)])


def _reduced_along(call: Call, source: int, axis: int, count: int, name: str, largest: bool) -> int:
    """One axis cut into `count` windows, each reduced to one."""
    shape, parts = call.shape(source), []
    for i in range(count):
        first, behind = i * shape[axis] // count, -(-(i + 1) * shape[axis] // count)
        begin = [first if a == axis else 0 for a in range(4)]
        cut = tuple(behind - first if a == axis else side for a, side in enumerate(shape))
        bounds = [call.constant(f"{name}{i}/begin", begin, np.int32), call.constant(f"{name}{i}/size", cut, np.int32)]
        part = call.step(f"{name}{i}/cut", "SLICE", [source, *bounds], schema.SliceOptionsT(), cut)
        axes = call.constant(f"{name}{i}/axis", [axis], np.int32)
        one = tuple(1 if a == axis else side for a, side in enumerate(shape))
        kind = "REDUCE_MAX" if largest else "MEAN"
        parts.append(call.step(f"{name}{i}", kind, [part, axes], reduction(keep=True), one))
    return _joined(call, parts, axis, name)


def _joined(call: Call, parts: list[int], axis: int, name: str) -> int:
    """The parts along an axis as one, five at a time: XNNPACK takes no more."""
    options = schema.ConcatenationOptionsT()
    options.axis = axis
    while len(parts) > 1:
        taken = parts[:MOST]
        shape = list(call.shape(taken[0]))
        shape[axis] = sum(call.shape(part)[axis] for part in taken)
        joined = call.step(f"{name}/to{shape[axis]}", "CONCATENATION", taken, options, tuple(shape))
        parts = [joined, *parts[MOST:]]
    return parts[0]
