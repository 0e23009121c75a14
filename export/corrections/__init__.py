"""What mends a network before and after its weights are rounded, each part on or off."""

from .equalisation import equalise, pairs, peaks
from .moments import Window, moments
from .sequence import as_many_as_fit, best_kernel, choose_kernels, within_reach

__all__ = [
    "Window",
    "as_many_as_fit",
    "best_kernel",
    "choose_kernels",
    "equalise",
    "moments",
    "pairs",
    "peaks",
    "within_reach",
]
