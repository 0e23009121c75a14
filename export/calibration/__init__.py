"""Representative data, and the range of every activation that it leads to."""

from .data import Calibration, representative
from .ranges import Ranges, by_tensor, min_max, ranges_of, watch

__all__ = ["Calibration", "Ranges", "by_tensor", "min_max", "ranges_of", "representative", "watch"]
