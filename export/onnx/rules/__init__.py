"""How each layer is written: ONNX operators on channels-first maps.

A rule takes the writer, the node (its windows with explicit `pads`), its input shapes (Keras' order, without the
batch), and the names of its input and output tensors. Maps (rank 3 without the batch) are channels first; all else is
as in Keras.
"""

from . import activation, arithmetic, normalization, shape, window
from .registry import RULES, has_rule

__all__ = ["RULES", "activation", "arithmetic", "has_rule", "normalization", "shape", "window"]
