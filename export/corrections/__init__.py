"""What mends a network before and after its weights are rounded, each part on or off."""

from .equalisation import equalise, pairs, peaks
from .moments import Window, moments
from .sequence import best_kernel, choose_kernels, within_reach

__all__ = ["Window", "best_kernel", "choose_kernels", "equalise", "moments", "pairs", "peaks", "within_reach"]
