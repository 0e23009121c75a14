"""The methods of compression-aware training: stages, joined by "+" in the order in which they run."""

from typing import Literal, get_args

from ...errors import InputError

Method = Literal[
    "qat",
    "prune",
    "prune-2:4",
    "cluster",
    "prune+qat",
    "prune-2:4+qat",
    "cluster+qat",
    "prune+cluster",
    "prune+cluster+qat",
    "float",
]
METHODS: tuple[Method, ...] = get_args(Method)


def check_method(method: str, epochs: int) -> None:
    """Raises InputError where there is no such method, or too few epochs for its stages."""
    if method not in METHODS:
        raise InputError(f"method={method!r}: choose one of {', '.join(METHODS)}")
    stages = len(method.split("+"))
    if epochs < stages:
        raise InputError(
            f"epochs={epochs}: {method} has {stages} stages and wants at least one epoch for each; give {stages}"
        )
