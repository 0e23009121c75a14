"""Ranges of the tensors that a Q/DQ model quantizes, from ONNX Runtime over the float model itself.

The symmetric grid of TensorRT spends half its steps on negative numbers, which a ReLU has not, so clipping a little
pays more than it does for TFLite: `mse` picks the reach that errs least, on a histogram of each tensor's
absolute values.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import onnx

from ..calibration import Calibration, Ranges
from .runtime import OnnxRuntime, exposing

Estimator = Literal["min-max", "mse"]
BINS, CANDIDATES = 2048, np.linspace(0.3, 1.0, 71)  # of the largest value
LEVELS = 127
BATCH = 4


def ranges_of(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    data: Calibration,
    estimator: Estimator = "mse",
    *,
    channels_last: bool = False,
    step: Callable[[float], object] = lambda images: None,
) -> Ranges:
    """Least and largest value of each tensor over the data, as the estimator sees them.

    Args:
        model: float32.
        tensors: which.
        data: inputs of the model's only input.
        estimator: "min-max", or "mse": that reach, at most min-max', at which 8 bits err least.
        channels_last: the file reads maps as Keras has them.
        step: told how many images are done, of twice their number where both passes are needed.
    """
    watch = OnnxRuntime(exposing(model, tensors))
    batch = watch.batch or BATCH
    whole = len(data) - len(data) % batch
    parts = [data.inputs[start : start + batch] for start in range(0, whole, batch)]
    limits = dict.fromkeys(tensors, (np.inf, -np.inf))
    for part in parts:
        for name, values in zip(tensors, watch(part, channels_last=channels_last), strict=True):
            low, high = limits[name]
            limits[name] = min(low, float(values.min())), max(high, float(values.max()))
        step(len(part))
    if estimator == "min-max":
        return limits
    reach = {name: max(-low, high) or 1.0 for name, (low, high) in limits.items()}
    histograms = {name: np.zeros(BINS, np.int64) for name in tensors}
    for part in parts:
        for name, values in zip(tensors, watch(part, channels_last=channels_last), strict=True):
            bins = (np.abs(values).ravel() * np.float32(BINS / reach[name])).astype(np.int32)
            histograms[name] += np.bincount(np.minimum(bins, BINS - 1), minlength=BINS)
        step(len(part))
    clip = {name: best_reach(histograms[name]) * reach[name] for name in tensors}
    return {name: (max(low, -clip[name]), min(high, clip[name])) for name, (low, high) in limits.items()}


def best_reach(histogram: np.ndarray) -> float:
    """The share of the largest absolute value at which 127 steps lose least, by the mean of squares.

    Args:
        histogram: of absolute values, from 0 to the largest.
    """
    centers = (np.arange(len(histogram)) + 0.5) / len(histogram)
    errors = []
    for share in CANDIDATES:
        step = share / LEVELS
        rounded = np.minimum(np.rint(centers / step), LEVELS) * step
        # below a bin's width, a bin's own spread decides: what rounding does to a uniform value
        inside = np.where(
            centers <= share, np.maximum((rounded - centers) ** 2, step**2 / 12), (rounded - centers) ** 2
        )
        errors.append(float(inside @ histogram))
    return float(CANDIDATES[int(np.argmin(errors))])
