"""What mends a Q/DQ model, as a .tflite file: kernels and biases chosen anew, layer after layer, on calibration data.

The float network and the quantized one run side by side in ONNX Runtime, piece by piece: each kernel is chosen for what
the quantized layers before it, as already corrected, hand to it.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import numpy as np
import onnx
from onnx import numpy_helper

from ..calibration import Calibration, Ranges
from ..corrections import (
    EVERYWHERE,
    Limits,
    Window,
    best_kernel,
    equalise,
    missing,
    moments,
    pairs,
    within_reach,
)
from ..graph import Graph
from ..kernels import Kernel, nearest_kernel
from ..schemes import Quantization
from ..sensitivity import Sensitivity, costliest
from ..verify import compare
from .pieces import Pieces
from .qdq import from_rows, kernel_bits, plan, quantized, to_rows
from .ranges import watched
from .runtime import OnnxRuntime


def equalised(graph: Graph, model: onnx.ModelProto, data: Calibration, channels_last: bool) -> Graph:
    """Channels made equally large between convolutions; a ReLU6's as far as calibration leaves it room.

    Args:
        graph: lowered.
        model: the same in float32.
        data: calibration inputs.
        channels_last: the file reads maps as Keras has them.
    """
    capped = [pair.capped for pair in pairs(graph) if pair.capped is not None]
    found: dict[str, np.ndarray] = {}
    for name, values in watched(model, capped, data.inputs, channels_last) if capped else ():
        axis = (0, *range(1, values.ndim - 1)) if not channels_last or values.ndim != 4 else (0, 2, 3)
        highest = values.max(axis=axis)
        found[name] = np.maximum(found.get(name, highest), highest)
    return equalise(graph, found)


def correct_biases(
    model: onnx.ModelProto,
    ranges: Ranges,
    images: np.ndarray,
    limits: Mapping[str, Limits],
    kept: Collection[str] = (),
    step: Callable[[float], object] = lambda layers: None,
) -> dict[str, Kernel]:
    """Kernels of 8 bits, each weight the nearest, with biases that keep the float network's means.

    They are kept behind the activation, as in a .tflite file: see `export/corrections/biases.py`.

    Args:
        model: float32, of an open batch; each of its layers has a bias.
        ranges: of the activations.
        images: in the file's own layout.
        limits: between which values to look at what an activation alone reads, by the layers' names.
        kept: layers that stay in float.
        step: told how many layers are done.
    """
    layers = {node.name: node for node in model.graph.node}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    found = {}
    for name in plan(model, kept).layers:
        kernel, bias = (numpy_helper.to_array(constants[i]) for i in layers[name].input[1:3])
        found[name] = nearest_kernel(to_rows(kernel), bias, bits=8)
    exact, rounded = Pieces(model, images), Pieces(quantized(model, ranges, keep=kept, kernels=found), images)
    for name, kernel in found.items():
        output, within = layers[name].output[0], limits.get(name, EVERYWHERE)
        mean = _by_channel(exact.at(output)).clip(*within).mean(axis=0, dtype=np.float64)
        more = missing(mean, within, _by_channel(rounded.at(output))).astype(np.float32)
        rounded.shift(output, more)
        found[name] = replace(kernel, bias=kernel.bias + more)
        step(1)
    return found


def _by_channel(values: np.ndarray) -> np.ndarray:
    """(outputs, channels) of maps with the channels first, or of vectors."""
    return np.moveaxis(values, 1, -1).reshape(-1, values.shape[1])


def choose_kernels(
    model: onnx.ModelProto,
    ranges: Ranges | None,
    images: np.ndarray,
    options: Quantization,
    kept: Collection[str] = (),
    step: Callable[[float], object] = lambda layers: None,
) -> dict[str, Kernel]:
    """Kernels for a Q/DQ model, by the layers' names; rows are by row, column and channel.

    Args:
        model: float32, of an open batch; each of its layers has a bias.
        ranges: of the activations; None where they stay in float.
        images: in the file's own layout.
        options: scheme and corrections.
        kept: layers that stay in float.
        step: told how many layers are done.
    """
    bits = kernel_bits(options.scheme)
    layers = {node.name: node for node in model.graph.node}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    exact = Pieces(model, images)
    # kernels of real numbers, which are put as their integers' real values: the same sums
    rounded = Pieces(quantized(model, ranges, bits=None, keep=kept), images)
    found = {}
    for name in plan(model, kept).layers:
        node = layers[name]
        kernel, bias = (numpy_helper.to_array(constants[i]) for i in node.input[1:3])
        rows = to_rows(kernel)
        source = node.input[0] if ranges is None else f"{node.input[0]}/dequantized"
        window, own = window_of(node, kernel), within_reach(options, rows.shape[1])
        second = bool({"clipping", "adaround"} & set(own.mends))
        x, z = (_patched(values, window) for values in (exact.at(node.input[0]), rounded.at(source)))
        found[name] = chosen = best_kernel(rows, bias, moments(window, x, z, second=second), bits, own)
        rounded.put(node.input[1], from_rows(chosen.rows, kernel.shape))
        rounded.put(node.input[2], chosen.bias)
        step(1)
    return found


def costly_layers(
    model: onnx.ModelProto,
    ranges: Ranges | None,
    images: np.ndarray,
    options: Quantization,
    kept: Collection[str],
    channels_last: bool,
    step: Callable[[float], object] = lambda layers: None,
) -> tuple[str, ...]:
    """The `auto_mixed` layers beside those kept that cost the network's first output most when quantized alone."""
    bits = kernel_bits(options.scheme)
    expected = OnnxRuntime(model)(images, channels_last=channels_last)[0]
    layers, found = plan(model, kept).layers, []
    for name in layers:
        others = {*kept, *(node.name for node in model.graph.node if node.name != name)}
        alone = OnnxRuntime(quantized(model, ranges, bits=bits, keep=others))
        proof = compare(expected, alone(images, channels_last=channels_last)[0])
        noise = 0.0 if proof.sqnr_db is None else 10 ** (-proof.sqnr_db / 10)
        found.append(Sensitivity(name, "", proof.sqnr_db, noise, proof.agreement, None))
        step(1)
    return costliest(found, options.auto_mixed)


def window_of(node: onnx.NodeProto, kernel: np.ndarray) -> Window | None:
    """Of a Conv as our emitter writes it; None of a Gemm."""
    if node.op_type == "Gemm":
        return None
    given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
    strides, dilation = (tuple(given.get(name, (1, 1))) for name in ("strides", "dilations"))
    height, width = kernel.shape[2:]
    return Window((height, width), strides, dilation, ((top, bottom), (left, right)), given.get("group", 1))


def _patched(values: np.ndarray, window: Window | None) -> np.ndarray:
    """Maps channels last."""
    return values if window is None else values.transpose(0, 2, 3, 1)
