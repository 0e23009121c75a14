"""What mends a network before and after its weights are rounded, each part on or off."""

from .biases import Means, corrected_biases
from .equalisation import equalise, pairs, peaks
from .moments import Window, moments
from .sequence import best_kernel, choose_kernels, chosen_images, within_reach

__all__ = [
    "Means",
    "Window",
    "best_kernel",
    "choose_kernels",
    "chosen_images",
    "corrected_biases",
    "equalise",
    "moments",
    "pairs",
    "peaks",
    "within_reach",
]
