"""Every network by its name: which function builds it, with which options, and what is known about it.

The table is registry.toml. Reading it costs nothing: neither keras nor a family is imported before a network is built.
"""

import difflib
import fnmatch
import importlib
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from .errors import InputError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Variant:
    """One network.

    Args:
        name: the registry's, snake case.
        builder: the public function that builds it.
        module: the family's, below keras_cnnzoo.families.
        params: trainable parameters at the default classes.
        macs: multiply-accumulates of convolutions and dense layers, one image of the default size.
        activations: outputs of the same layers for that image.
        year: of the paper.
        paper: its address.
        strides: of the stages that `features=True` returns.
        channels: of the same.
        size: default height and width.
        classes: default.
        preprocess: the preprocessing that its published weights expect (keras_cnnzoo.preprocessing).
        options: what the builder is called with.
    """

    name: str
    builder: str
    module: str
    params: int
    macs: int
    activations: int
    year: int
    paper: str
    strides: tuple[int, ...]
    channels: tuple[int, ...]
    size: int = 224
    classes: int = 1000
    preprocess: str = "torch"
    options: dict[str, Any] = field(default_factory=dict)


def _rows() -> Iterator[Variant]:
    """The rows of registry.toml: what a row does not say, its group does."""
    text = (files(__package__) / "registry.toml").read_text(encoding="utf-8")
    for group in tomllib.loads(text)["group"]:
        rows = group.pop("networks")
        for name, row in rows.items():
            fields: dict[str, Any] = group | row
            yield Variant(name, **(fields | {key: tuple(fields[key]) for key in ("strides", "channels")}))


VARIANTS = {variant.name: variant for variant in _rows()}


def list_models(pattern: str = "*") -> list[str]:
    """The names that match a shell pattern ("shuffle*"), in the table's order."""
    wanted = _plain(pattern)
    return [name for name in VARIANTS if fnmatch.fnmatchcase(_plain(name), wanted)]


def info(name: str) -> Variant:
    """What is known about a network; case, "-" and "_" in the name do not matter.

    Raises:
        InputError: no such network; the nearest names are offered.
    """
    by_plain = {_plain(known): known for known in VARIANTS}
    if _plain(name) in by_plain:
        return VARIANTS[by_plain[_plain(name)]]
    near = difflib.get_close_matches(_plain(name), by_plain, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(by_plain[match] for match in near)}?" if near else "`cnnzoo list` shows them all"
    raise InputError(f"{name!r} is no network of the zoo; {hint}")


def builder_of(name: str) -> Callable[..., "keras.Model"]:
    """The public function that builds a network (its variant's options are not yet applied)."""
    variant = info(name)
    return getattr(importlib.import_module(f"{__package__}.families.{variant.module}"), variant.builder)


def at_width(name: str, width: float) -> str:
    """The name that tells the width: mobilenet_v2 and 0.35 give mobilenet_v2_x0_35."""
    return f"{name}_x{float(width)}".replace(".", "_")


def _plain(name: str) -> str:
    """In lower case without "-" and "_", but for a pattern's ranges such as "[1-6]"."""
    return re.sub(r"[-_](?![^\[]*\])", "", name.lower())
