"""How each layer is written: the operators that LiteRT runs."""

from . import activation, convolution, elementwise, normalization, pooling, resizing, shape
from .registry import RULES, has_rule

__all__ = [
    "RULES",
    "activation",
    "convolution",
    "elementwise",
    "has_rule",
    "normalization",
    "pooling",
    "resizing",
    "shape",
]
