"""Ranges of the tensors that a Q/DQ model quantizes, from ONNX Runtime over the float model itself.

The grid is symmetric, so the estimators that look at a histogram look at absolute values: both ends reach equally far.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import onnx

from ...errors import InputError
from ..calibration import Calibration, Ranges
from ..calibration.estimators import ESTIMATE, Histogram, MovingAverage
from ..schemes import Estimator
from .runtime import OnnxRuntime, exposing

CANDIDATES = np.linspace(0.3, 1.0, 71)  # of the largest value
LEVELS = 127
BATCH = 4

Step = Callable[[float], object]


def ranges_of(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    data: Calibration,
    estimator: Estimator = "min-max",
    *,
    channels_last: bool = False,
    step: Step = lambda images: None,
) -> Ranges:
    """Least and largest value of each tensor over the data, as the estimator sees them.

    Args:
        model: float32.
        tensors: which.
        data: inputs of the model's only input.
        estimator: none reaches beyond min-max; "mse" is that reach at which 8 bits err least.
        channels_last: the file reads maps as Keras has them.
        step: told how many images are done, of `passes(estimator)` times their number.
    """

    def seen() -> Iterator[tuple[str, np.ndarray]]:
        return watched(model, tensors, data.inputs, channels_last, step)

    if estimator == "moving-average":
        averages: defaultdict[str, MovingAverage] = defaultdict(MovingAverage)
        for name, values in seen():
            averages[name].add(values)
        return {name: average.range for name, average in averages.items()}
    limits = dict.fromkeys(tensors, (np.inf, -np.inf))
    for name, values in seen():
        low, high = limits[name]
        limits[name] = min(low, float(values.min())), max(high, float(values.max()))
    if estimator == "min-max":
        return limits
    histograms = {name: Histogram(0.0, max(-low, high)) for name, (low, high) in limits.items()}
    for name, values in seen():
        histograms[name].add(np.abs(values))
    reach = {name: _reach(histogram, estimator) for name, histogram in histograms.items()}
    return {name: (max(low, -reach[name]), min(high, reach[name])) for name, (low, high) in limits.items()}


def passes(estimator: Estimator) -> int:
    """How often the data is run."""
    return 1 if estimator in ("min-max", "moving-average") else 2


def watched(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    inputs: np.ndarray,
    channels_last: bool = False,
    step: Step = lambda images: None,
) -> Iterator[tuple[str, np.ndarray]]:
    """Each tensor's name and values, some images at a time; what fills no batch is left out.

    Maps come channels last, but as they stand in the file (inside: channels first) where that reads them so.

    Args:
        model: float32.
        tensors: which.
        inputs: of the model's only input.
        channels_last: the file reads maps as Keras has them.
        step: told how many images are done.

    Raises:
        InputError: fewer images than the file's batch.
    """
    run = OnnxRuntime(exposing(model, tensors))
    if run.batch and len(inputs) < run.batch:
        raise InputError(
            f"{len(inputs)} calibration images fill no batch of {run.batch}; give more, or a smaller batch"
        )
    batch = run.batch or min(BATCH, len(inputs))
    for start in range(0, len(inputs) - len(inputs) % batch, batch):
        part = inputs[start : start + batch]
        yield from zip(tensors, run(part, channels_last=channels_last), strict=True)
        step(len(part))


def _reach(histogram: Histogram, estimator: Estimator) -> float:
    if estimator == "mse":
        return best_reach(histogram.counts) * histogram.high
    return ESTIMATE[estimator](histogram)[1]


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
