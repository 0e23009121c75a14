"""What mends a network before and after its weights are rounded, each part on or off."""

from .biases import BIAS_IMAGES, EVERYWHERE, Limits, Means, corrected_biases, missing, steep_limits
from .equalisation import equalise, pairs, peaks
from .moments import Window, moments
from .sequence import KERNEL_IMAGES, best_kernel, choose_kernels, chosen_images, within_reach

__all__ = [
    "BIAS_IMAGES",
    "EVERYWHERE",
    "KERNEL_IMAGES",
    "Limits",
    "Means",
    "Window",
    "best_kernel",
    "choose_kernels",
    "chosen_images",
    "corrected_biases",
    "equalise",
    "missing",
    "moments",
    "pairs",
    "peaks",
    "steep_limits",
    "within_reach",
]
