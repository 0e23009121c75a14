"""From all values of a tensor to the range in which it is quantized.

Each estimator is a function on a histogram of fixed size, so that memory does not grow with the data. A range that is
narrower than the data clips its ends and makes the steps between finer.

Sources: mean squared error, Banner et al. 2019 (arXiv 1810.05723); entropy, Migacz, 8-bit
inference with TensorRT, 2017; moving average, Jacob et al. 2018 (arXiv 1712.05877).
"""

import math
from collections.abc import Callable

import numpy as np

Range = tuple[float, float]
BINS, LEVELS = 2048, 256
PERCENTILE, DECAY = 99.99, 0.95
SHRINK = np.linspace(1.0, 0.3, 71)  # of the whole range, each end by itself
ENTROPY_BINS = np.arange(128, BINS + 1, 32)


class Histogram:
    """Counts of values in equal bins between two bounds; what lies beyond falls into the outer ones."""

    def __init__(self, low: float, high: float, bins: int = BINS) -> None:
        self.low, self.high = low, max(high, low + 1e-12, math.nextafter(low, math.inf))
        self.counts = np.zeros(bins, np.int64)

    def add(self, values: np.ndarray) -> None:
        """Counts more values."""
        scale = len(self.counts) / (self.high - self.low)
        index = ((values.reshape(-1) - np.float32(self.low)) * np.float32(scale)).astype(np.int32)
        np.clip(index, 0, len(self.counts) - 1, out=index)
        self.counts += np.bincount(index, minlength=len(self.counts))

    @property
    def centres(self) -> np.ndarray:
        """The middle of each bin."""
        width = (self.high - self.low) / len(self.counts)
        return self.low + width * (np.arange(len(self.counts)) + 0.5)


class MovingAverage:
    """Least and largest value of each batch, averaged with weights that decay into the past."""

    def __init__(self, decay: float = DECAY) -> None:
        self.decay = decay
        self.range: Range = (0.0, 0.0)
        self.started = False

    def add(self, values: np.ndarray) -> None:
        """One batch more."""
        seen = float(values.min()), float(values.max())
        if not self.started:
            self.range, self.started = seen, True
            return
        low, high = (self.decay * known + (1 - self.decay) * new for known, new in zip(self.range, seen, strict=True))
        self.range = low, high


def percentile(histogram: Histogram, percent: float = PERCENTILE) -> Range:
    """The range that leaves out the same share at either end; an end at zero (behind a ReLU) stays."""
    shares = np.cumsum(histogram.counts) / max(histogram.counts.sum(), 1)
    tail = (1 - percent / 100) / 2
    edges = np.linspace(histogram.low, histogram.high, len(histogram.counts) + 1)
    first, last = int(np.searchsorted(shares, tail, "right")), int(np.searchsorted(shares, 1 - tail, "left"))
    low = histogram.low if histogram.low == 0 else float(edges[min(first, len(edges) - 1)])
    return low, float(edges[min(last + 1, len(edges) - 1)])


def mean_squared_error(histogram: Histogram, levels: int = LEVELS) -> Range:
    """The range, around zero, at which rounding and clipping together err least in the mean square.

    A first search shrinks both ends alike, a second each by itself.
    """
    whole = best = (histogram.low, histogram.high)
    for ends in ((True, True), (True, False), (False, True)):
        low, high = (
            outer * SHRINK if moves else np.full_like(SHRINK, known)
            for outer, known, moves in zip(whole, best, ends, strict=True)
        )
        index = int(np.argmin(_squared_errors(histogram, np.minimum(low, 0), np.maximum(high, 0), levels)))
        best = float(low[index]), float(high[index])
    return best


def entropy(histogram: Histogram, levels: int = LEVELS) -> Range:
    """The symmetric range whose quantized distribution tells least from the whole one (Kullback-Leibler)."""
    reach = max(abs(histogram.low), abs(histogram.high))
    magnitudes = np.zeros(BINS)
    index = np.minimum((np.abs(histogram.centres) / reach * BINS).astype(int), BINS - 1)
    np.add.at(magnitudes, index, histogram.counts)
    divergences = [_divergence(magnitudes, int(bins), levels // 2) for bins in ENTROPY_BINS]
    limit = reach * float(ENTROPY_BINS[int(np.argmin(divergences))]) / BINS
    return max(histogram.low, -limit), min(histogram.high, limit)


ESTIMATE: dict[str, Callable[..., Range]] = {
    "percentile": lambda histogram, levels=LEVELS: percentile(histogram),
    "mse": mean_squared_error,
    "entropy": entropy,
}
"""From a histogram and the levels of the integers."""


def _squared_errors(histogram: Histogram, low: np.ndarray, high: np.ndarray, levels: int) -> np.ndarray:
    """(candidates,) the mean squared error of each pair of ends; rounding errs by a twelfth of its squared step."""
    values, weights = histogram.centres, histogram.counts / max(histogram.counts.sum(), 1)
    clipped = np.clip(values, low[:, None], high[:, None])
    inside = (values >= low[:, None]) & (values <= high[:, None])
    step = (high - low) / (levels - 1)
    return np.asarray(((values - clipped) ** 2) @ weights + (inside @ weights) * step**2 / 12)


def _divergence(counts: np.ndarray, bins: int, levels: int) -> float:
    """Of the first `bins`, the rest clipped into the last, from the same seen through so many levels."""
    kept = counts[:bins].copy()
    filled = kept > 0
    kept[-1] += counts[bins:].sum()
    level = np.minimum(np.arange(bins) * levels // bins, levels - 1)
    total = np.bincount(level, counts[:bins], levels)
    share = np.bincount(level, filled, levels)
    spread = np.where(filled, total[level] / np.maximum(share[level], 1), 0)
    p, q = kept / max(kept.sum(), 1e-30), spread / max(spread.sum(), 1e-30)
    both = (p > 0) & (q > 0)
    lost = float(p[(p > 0) & (q == 0)].sum())
    return float((p[both] * np.log(p[both] / q[both])).sum()) + 20 * lost
