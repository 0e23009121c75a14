"""One claim a file: what is said, the experiment, its statistic, the picture. No framework is loaded here."""

import importlib

from ....errors import InputError, suggestion
from ..framework import Lab

NAMES = (
    "degradation",
    "gradient-flow",
    "identity-vs-zero",
    "bn-inference",
    "batch-size",
    "batchnorm",
    "se",
    "kernels",
    "ensemble",
    "residual-orders",
    "separable",
    "dense-vs-residual",
    "landscape",
)


def lab(name: str) -> Lab:
    """The lab of that name.

    Raises:
        InputError: there is none.
    """
    if name not in NAMES:
        hint = suggestion(name, NAMES)
        raise InputError(f"lab {name!r}: {hint}there are {', '.join(NAMES)}")
    return importlib.import_module(f".{name.replace('-', '_')}", __package__).LAB
