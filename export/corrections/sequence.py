"""A quantized file's kernels chosen anew, layer after layer, on calibration data."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..calibration import Ranges
from ..contents import parse
from ..interpreter import dequantized, quantized
from ..kernels import CHANNEL_AXIS, Kernel, bits_of, float_kernel, largest_scale, nearest, write_kernel
from ..layerwise import Layerwise, Step, Values, forget_read
from ..quantize import quantize
from ..schemes import Quantization
from .moments import Moments, Sides, Window, moments
from .rounding import Objective, adaround, best_scale

OF_4_BITS = {"CONV_2D", "FULLY_CONNECTED"}  # of these alone LiteRT has such kernels
KERNEL_IMAGES, MEMORY = 128, 1e9  # images at most, and bytes of activations
LARGEST = 8192  # inputs of a layer whose second moments, (inputs, inputs), are taken


def choose_kernels(
    whole: bytes,
    ranges: Ranges,
    images: np.ndarray,
    options: Quantization,
    kept: tuple[str, ...] = (),
    step: Callable[[float], object] = lambda layers: None,
) -> dict[str, Kernel]:
    """New kernels for a quantized file, by the names of the operators' outputs.

    Both networks run side by side, operator by operator: each kernel is chosen for what the quantized layers before it,
    as already corrected, hand to it. A kernel of 4 bits runs as one of 8 with the same integers: the answers are equal,
    and LiteRT has no fast kernel for the former.

    Args:
        whole: the float32 file, of batch 1.
        ranges: of its activations.
        images: (n, height, width, channels) float32.
        options: scheme and corrections.
        kept: operators that are not quantized, by the names of their outputs.
        step: told how many operators are done.
    """
    wide = replace(options, scheme="int8" if options.scheme == "int4" else options.scheme, per_tensor=False)
    small = quantize(whole, wide, ranges, kept=kept)
    largest = max(int(np.prod(tensor.shape[1:])) for tensor in parse(whole).subgraphs[0].tensors if tensor.buffer == 0)
    both = _Both(Layerwise(whole), Layerwise(small), images[chosen_images(len(images), largest, KERNEL_IMAGES)])
    found: dict[str, Kernel] = {}
    for rounded in both.small.steps:
        exact = both.partners.get(rounded.name)
        if exact is not None and exact.kind == rounded.kind and has_integer_kernel(both.small, rounded):
            bits = 4 if options.scheme == "int4" and rounded.kind in OF_4_BITS else 8
            found[rounded.name] = kernel = _chosen(both, exact, rounded, bits, options)
            write_kernel(both.small.model, rounded.operator, rounded.kind, kernel)
        both.advance(rounded)
        step(1)
    return found


def has_integer_kernel(network: Layerwise, step: Step) -> bool:
    """Whether it is a convolution or a dense layer of a kernel of 8 bits."""
    return step.kind in CHANNEL_AXIS and bits_of(network.tensor(step.operator.inputs[1])) == 8


class _Both:
    """The float and the quantized network at the same operator."""

    def __init__(self, whole: Layerwise, small: Layerwise, images: np.ndarray) -> None:
        self.whole, self.small = whole, small
        self.partners = {step.name: step for step in whole.steps}
        self.exact: Values = {whole.name(whole.graph.inputs[0]): images}
        first = small.graph.inputs[0]
        self.rounded: Values = {small.name(first): quantized(images, small.detail(first))}
        self.left_exact, self.left_rounded = whole.readers(), small.readers()

    def advance(self, step: Step) -> None:
        """Runs the quantized operator, and the float one of the same output where there is one."""
        self.rounded |= self.small.run(step, self.rounded)
        forget_read(self.rounded, step, self.left_rounded)
        partner = self.partners.get(step.name)
        if partner is not None:
            self.exact |= self.whole.run(partner, self.exact)
            forget_read(self.exact, partner, self.left_exact)

    def inputs(self, exact: Step, rounded: Step) -> tuple[np.ndarray, np.ndarray]:
        """What either reads, in real numbers."""
        detail = self.small.detail(rounded.operator.inputs[0])
        return self.exact[exact.inputs[0]], dequantized(self.rounded[rounded.inputs[0]], detail)


def chosen_images(count: int, largest: int, most: int) -> np.ndarray:
    """The places of at most so many of `count` images, at equal distances, for they may stand class by class.

    The `largest` activation of both networks, some four at a time, fits into memory with them.
    """
    number = max(1, min(count, most, int(MEMORY / (4 * 5 * largest))))
    return np.arange(number) * count // number


def _chosen(both: _Both, exact: Step, rounded: Step, bits: int, options: Quantization) -> Kernel:
    rows, bias = float_kernel(both.whole.model, exact.operator, exact.kind)
    shape = tuple(map(int, both.small.tensor(rounded.operator.inputs[1]).shape))
    options = within_reach(options, rows.shape[1])
    second = bool({"clipping", "adaround"} & set(options.mends))
    x, z = both.inputs(exact, rounded)
    window = window_of(exact, shape, x.shape)
    if window is None:
        x, z = x.reshape(-1, shape[-1]), z.reshape(-1, shape[-1])
    return best_kernel(rows, bias, moments(window, x, z, second=second), bits, options)


def within_reach(options: Quantization, inputs: int) -> Quantization:
    """The corrections that a layer of so many inputs can have: beyond LARGEST, as of VGG's first dense layer, the bias
    alone."""
    if inputs <= LARGEST:
        return options
    return replace(options, corrections=tuple(name for name in options.mends if name == "bias"))


def window_of(step: Step, kernel: tuple[int, ...], images: tuple[int, ...]) -> Window | None:
    """Of a CONV_2D or DEPTHWISE_CONV_2D on images (n, height, width, channels); None of a FULLY_CONNECTED."""
    if step.kind == "FULLY_CONNECTED":
        return None
    options, extent, channels = step.operator.builtinOptions, (kernel[1], kernel[2]), images[3]
    strides = options.strideH, options.strideW
    dilation = options.dilationHFactor, options.dilationWFactor
    same = options.padding == 0
    down, across = (
        _same(side, stride, (k - 1) * d + 1) if same else (0, 0)
        for side, stride, k, d in zip(images[1:3], strides, extent, dilation, strict=True)
    )
    groups = channels if step.kind == "DEPTHWISE_CONV_2D" else channels // kernel[3]
    return Window(extent, strides, dilation, (down, across), groups)


def _same(side: int, stride: int, extent: int) -> Sides:
    total = max(0, (-(-side // stride) - 1) * stride + extent - side)
    return total // 2, total - total // 2


def best_kernel(rows: np.ndarray, bias: np.ndarray, seen: Moments, bits: int, options: Quantization) -> Kernel:
    """The kernel that the corrections asked for make of float rows and a bias.

    Args:
        rows: (channels, inputs).
        bias: (channels,).
        seen: what the layer reads in either network.
        bits: of the weights.
        options: the corrections.
    """
    mends = options.mends
    scale = largest_scale(rows, bits, options.per_tensor)
    integers = None
    if "clipping" in mends or "adaround" in mends:
        objective = Objective.of(rows, seen.centred() if "bias" in mends else seen)
        if "clipping" in mends:
            scale = best_scale(rows, objective, bits, options.per_tensor)
        if "adaround" in mends:
            integers = adaround(rows, scale, objective, bits)
    kernel = Kernel(scale, nearest(rows, scale, bits) if integers is None else integers, bias)
    if "bias" not in mends:
        return kernel
    missing = _mean_output(rows, seen.mean) - _mean_output(kernel.rows, seen.mean_quantized)
    return Kernel(scale, kernel.integers, bias + missing)


def _mean_output(rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
    grouped = rows.reshape(len(mean), -1, rows.shape[1])
    return np.einsum("goi,gi->go", grouped, mean).reshape(-1).astype(np.float32)
