"""A float32 ONNX model in int8 or int4: which layers, by which ranges, with which kernels."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import onnx

from ...errors import InputError
from ..calibration import Calibration, Ranges
from ..corrections import BIAS_IMAGES, KERNEL_IMAGES, chosen_images, steep_limits
from ..graph import Graph
from ..kernels import Kernel
from ..pipeline import PROBES, Phase
from ..schemes import Correction, Estimator, Quantization
from .corrections import choose_kernels, correct_biases, costly_layers, equalised
from .emitter import emit
from .options import Form
from .qdq import kept_layers, kernel_bits, plan, quantized, with_biases
from .ranges import passes, ranges_of

ESTIMATOR: Estimator = "percentile"  # by measurement, see docs/onnx.md
CORRECTIONS: dict[str, tuple[Correction, ...]] = {  # likewise
    "int8": ("equalisation", "bias"),
    "int4": ("clipping", "bias", "adaround"),
}


@dataclass(frozen=True)
class Source:
    """What a file is made of.

    Args:
        whole: the float32 model, of the file's batch.
        graph: that it was written from; None where another tool wrote it.
        form: of the file.
    """

    whole: onnx.ModelProto
    graph: Graph | None
    form: Form

    def open(self) -> onnx.ModelProto:
        """The same model for any number of images."""
        return self.whole if self.graph is None else emit(self.graph, **replace(self.form, batch=None).to_dict())

    def equalised(self, data: Calibration) -> "Source":
        """With channels of equal size between convolutions."""
        assert self.graph is not None
        graph = equalised(self.graph, self.open(), data, self.form.channels_last)
        return Source(emit(graph, **self.form.to_dict()), graph, self.form)


def resolved(options: Quantization, calibrated: bool, learned: bool, ours: bool = True) -> Quantization:
    """The options of an ONNX file, with all that was left open decided.

    Args:
        options: as asked for.
        calibrated: there are calibration images.
        learned: ranges come from training, whose kernels are rounded to nearest.
        ours: every layer has a rule of ours.

    Raises:
        InputError: what such a file cannot hold.
    """
    if options.per_tensor:
        raise InputError("per_tensor is for .tflite files; in ONNX a kernel has a scale for each channel")
    if options.keep_in != "float32":
        raise InputError(f"keep_in={options.keep_in!r}: an ONNX file keeps layers in float32; only .tflite has int16")
    if options.static and not calibrated and (options.corrections or options.auto_mixed):
        raise InputError(f"corrections and auto_mixed of {options.scheme} look at calibration images; give some")
    own = CORRECTIONS.get(options.scheme, ()) if calibrated and not learned and ours else ()
    mends = own if options.corrections is None else options.corrections
    estimator = options.estimator or (ESTIMATOR if options.scheme == "int8" else None)
    return replace(options, corrections=mends, estimator=estimator)


def quantize(
    source: Source, options: Quantization, data: Calibration | None, learned: Ranges, phase: Phase
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """The model with Q/DQ.

    Args:
        source: in float32.
        options: int8 or int4, resolved.
        data: calibration inputs; int8 needs them.
        learned: ranges by tensor from quantization-aware training.
        phase: shows progress.

    Returns:
        The model, and the layers that were kept in float.

    Raises:
        InputError: a pattern of `keep` that names nothing; corrections of a graph that is not ours; no layer to
            quantize.
    """
    if source.graph is None and options.mends:
        raise InputError(
            f"corrections {', '.join(options.mends)} need rules of ours for every layer; export with corrections=() "
            "(--corrections none)"
        )
    if data is not None and "equalisation" in options.mends:
        with phase("equalise", None):
            source = source.equalised(data)
    bits = kernel_bits(options.scheme)
    watched = source.open()
    if not plan(watched).layers:
        raise InputError(f"{watched.graph.name}: no Conv or Gemm in it that {options.scheme} is for; export float32")
    kept = kept_layers(watched, options.keep)
    ranges = _ranges(watched, source, options, data, learned, phase)
    if options.auto_mixed and data is not None:
        with phase("sensitivity", len(plan(watched, kept).layers)) as step:
            largest = 1 if source.graph is None else source.graph.largest
            probes = data.inputs[chosen_images(len(data), largest, PROBES)]
            kept += costly_layers(watched, ranges, probes, options, kept, source.form.channels_last, step)
    kernels = _kernels(watched, source, ranges, options, data, kept, phase)
    with phase("quantize", None):
        whole = source.whole if kernels is None else with_biases(source.whole)
        return quantized(whole, ranges, bits=bits, keep=kept, kernels=kernels), kept


def _ranges(
    watched: onnx.ModelProto,
    source: Source,
    options: Quantization,
    data: Calibration | None,
    learned: Ranges,
    phase: Phase,
) -> Ranges | None:
    """Of every tensor that may be quantized; None where activations stay in float."""
    if options.scheme == "int4" or data is None:
        return None
    estimator = options.estimator or ESTIMATOR
    tensors = plan(watched).tensors
    with phase("calibrate", passes(estimator) * len(data)) as step:
        found = ranges_of(watched, tensors, data, estimator, channels_last=source.form.channels_last, step=step)
    return found | {name: learned[name] for name in tensors if name in learned}


def _kernels(
    watched: onnx.ModelProto,
    source: Source,
    ranges: Ranges | None,
    options: Quantization,
    data: Calibration | None,
    kept: Collection[str],
    phase: Phase,
) -> dict[str, Kernel] | None:
    """Those that the corrections choose; None where they are rounded to nearest."""
    if data is None or source.graph is None or not set(options.mends) - {"equalisation"}:
        return None
    most = BIAS_IMAGES if options.biases_alone else KERNEL_IMAGES
    images = data.inputs[chosen_images(len(data), source.graph.largest, most)]
    inside = images if source.form.channels_last else np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    with phase("correct", len(plan(watched, kept).layers)) as step:
        if options.biases_alone and ranges is not None:
            return correct_biases(with_biases(watched), ranges, inside, steep_limits(source.graph), kept, step)
        return choose_kernels(with_biases(watched), ranges, inside, options, kept, step)
