"""What mends a network before and after its weights are rounded, each part on or off."""

from .equalisation import equalise, peaks
from .sequence import choose_kernels

__all__ = ["choose_kernels", "equalise", "peaks"]
