"""The quantization schemes, and the types that an int8 file may read and return."""

from typing import Literal, get_args

Scheme = Literal["float32", "float16", "dynamic", "int8"]
Boundary = Literal["int8", "uint8", "float32"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
BOUNDARIES: tuple[Boundary, ...] = get_args(Boundary)
