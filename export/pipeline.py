"""A lowered graph to a file of any scheme, our own way: equalise, watch the ranges, emit, quantize, mend."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import numpy as np

from ..errors import InputError
from .calibration import Calibration, Ranges, by_tensor, ranges_of
from .calibration.ranges import See, Step, unseen
from .contents import operators
from .corrections import Means, choose_kernels, chosen_images, corrected_biases, equalise, peaks
from .emit import emit
from .graph import Graph
from .kernels import Kernel, write_kernels
from .lowering.hard_swish import seen_ranges
from .quantize import has_16_bits, kept_operators, quantize
from .schemes import Quantization
from .sensitivity import costliest, layers, sensitivity

PROBES = 32  # calibration images that tell which layers cost most

Phase = Callable[[str, float | None], AbstractContextManager[Callable[[float], object]]]
"""Opens a phase of so many units under a name, and yields what advances it: a progress bar, or nothing."""


def in_scheme(
    graph: Graph,
    options: Quantization,
    data: Calibration | None,
    batch: int,
    phase: Phase,
    learned: Ranges | None = None,
) -> tuple[bytes, tuple[str, ...]]:
    """The file of a graph in which every node has a rule.

    Args:
        graph: lowered.
        options: the scheme.
        data: calibration inputs, for the static schemes.
        batch: images a call, fixed in the file.
        phase: shows progress.
        learned: ranges by layer from quantization-aware training.

    Returns:
        The file, and the operators that were kept out of quantization, by the names of their outputs.
    """
    if data is None or not options.static:
        with phase("emit", None):
            content = emit(graph, batch=batch)
        if options.scheme == "float32":
            return content, ()
        with phase("quantize", None):
            return quantize(content, options), ()
    return _static(graph, options, data, batch, phase, learned)


def _static(
    graph: Graph, options: Quantization, data: Calibration, batch: int, phase: Phase, learned: Ranges | None
) -> tuple[bytes, tuple[str, ...]]:
    """The file of quantized activations, and the operators kept out; see `in_scheme`."""
    if "equalisation" in options.mends:
        with phase("equalise", None):
            graph = equalise(graph, peaks(graph, data))
    means = Means(graph, len(data)) if options.biases_alone else None
    with phase("calibrate", len(data)) as step:  # first, so that its interpreter's memory is free for the file
        ranges = file_ranges(graph, data, options, learned, step, means.see if means else unseen)
    kept = _kept(graph, options, ranges, data, phase)
    in_bits = partial(quantize, scheme=options, ranges=ranges, kept=kept, to_nearest=learned is not None)
    if means is not None:
        return _with_biases(graph, in_bits, means, data.inputs[means.places], batch, phase), kept
    kernels = _chosen(graph, options, ranges, kept, data, phase)
    with phase("quantize", None):
        return in_bits(emit(graph, batch=batch), kernels=kernels), kept


def file_ranges(
    graph: Graph,
    data: Calibration,
    options: Quantization,
    learned: Ranges | None = None,
    step: Step = lambda images: None,
    see: See = unseen,
) -> Ranges:
    """The ranges in which a file's tensors are quantized; `see` is shown what leads to them. See `in_scheme`.

    Raises:
        InputError: infinite activations.
    """
    ranges = ranges_of(graph, data, options.estimator or "min-max", step, see, options.levels)
    for name, limits in ranges.items():
        if not np.isfinite(limits).all():
            raise InputError(
                f"{graph.name}: what {name} answers to the calibration images is beyond float32; give it weights, or "
                "train it first: a deep network's random ones grow so"
            )
    if learned is not None:
        ranges |= by_tensor(learned, graph, ranges)
    return seen_ranges(graph, _alive(ranges))


def _alive(ranges: Ranges) -> Ranges:
    """What was 0 throughout, such as a dead ReLU's output, gets a range: by a scale of 0 no delegate can divide."""
    return {name: limits if any(limits) else (0.0, 1.0) for name, limits in ranges.items()}


def _kept(graph: Graph, options: Quantization, ranges: Ranges, data: Calibration, phase: Phase) -> tuple[str, ...]:
    """The operators that `keep` names, and as many more as `auto_mixed` asks for."""
    if not options.keep and not options.auto_mixed:
        return ()
    whole = emit(graph)
    kept = kept_operators(whole, options)
    if not options.auto_mixed:
        return kept
    probes = data.inputs[chosen_images(len(data), graph.largest, PROBES)]
    with phase("sensitivity", len(layers(whole))) as step:
        found = sensitivity(whole, ranges, probes, None, options, step)
    able = [e for e in found if e.name not in kept and (options.keep_in == "float32" or has_16_bits(e.kind))]
    return kept + costliest(able, options.auto_mixed)


def _chosen(
    graph: Graph, options: Quantization, ranges: Ranges, kept: tuple[str, ...], data: Calibration, phase: Phase
) -> dict[str, Kernel] | None:
    """The kernels that corrections choose; None where litert-quantizer's own stay."""
    if not set(options.mends) - {"equalisation"}:
        return None
    whole = emit(graph)
    with phase("correct", len(operators(whole))) as step:
        return choose_kernels(whole, ranges, data.inputs, options, kept, step)


def _with_biases(
    graph: Graph, in_bits: Callable[[bytes], bytes], means: Means, images: np.ndarray, batch: int, phase: Phase
) -> bytes:
    """The int8 file with litert-quantizer's own kernels, and the biases that keep the float network's means."""
    whole = emit(graph)
    with phase("quantize", None):
        small = in_bits(whole)
    with phase("correct", len(operators(small))) as step:
        kernels = corrected_biases(whole, small, means, images, step)
    return write_kernels(small if batch == 1 else in_bits(emit(graph, batch=batch)), kernels)
