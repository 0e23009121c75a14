"""Public checkpoints as data: which network, where from, how good, fed how. Reading the table costs nothing."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from os import PathLike
from typing import TYPE_CHECKING

from ..errors import InputError, suggestion
from ..preprocessing import PRESETS, Preprocessing
from .bundled import DATA_SETS

if TYPE_CHECKING:
    import keras

NAMED = re.compile(r"\w+|keras\.applications|[a-z][\w.]*:\S+")  # what weights= may say instead of a file's path
EPSILON = 1e-6  # by which two epsilons of batch normalisation may differ


@dataclass(frozen=True)
class Checkpoint:
    """A public weights file.

    Args:
        network: the registry's name.
        origin: the library whose release it is, "torchvision", "timm", "keras.applications" or another's name.
        name: the release's, as in `weights="ORIGIN:NAME"`.
        url: of the file.
        hash: what the content's SHA-256 begins with, in hex, or "md5:" and its MD5; "server" where the server says it
            when asked.
        licence: SPDX identifier.
        size: height and width that its top-1 was measured at.
        preprocessing: what it was trained on.
        epsilon: of batch normalisation.
        top1: published, in percent; None where none was found.
        imagenet: whether `weights="imagenet"` means it.
        variant: the builder's, where its family has several.
    """

    network: str
    origin: str
    name: str
    url: str
    hash: str
    licence: str
    size: int
    preprocessing: Preprocessing
    epsilon: float
    top1: float | None
    imagenet: bool
    variant: str

    @property
    def spec(self) -> str:
        """What `weights=` takes."""
        return f"{self.origin}:{self.name}"


@cache
def checkpoints() -> tuple[Checkpoint, ...]:
    """All rows of catalogue.toml, in its order."""
    groups = tomllib.loads((files(__package__) / "catalogue.toml").read_text(encoding="utf-8"))["group"]
    return tuple(_checkpoint(group | row) for group in groups for row in group["rows"])


def checkpoint(spec: str, network: str) -> Checkpoint:
    """The checkpoint that `weights=spec` means for a network.

    Args:
        spec: "imagenet", "ORIGIN:NAME", or "ORIGIN", the first of its checkpoints.
        network: the registry's name.

    Raises:
        InputError: none of that name; those of the network are listed.
    """
    row = _row(spec, network)
    if row is not None:
        return row
    own = [row for row in checkpoints() if row.network == network]
    offered = ", ".join(repr(row.spec) for row in own)
    hint = suggestion(spec, [*DATA_SETS, *("imagenet" for row in own if row.imagenet), *(row.spec for row in own)])
    known = f"it has {offered}" if own else "none is known for it; give a weights file"
    raise InputError(f"weights={spec!r}: no such checkpoint of {network}; {hint}{known}")


def variant_of(weights: str | PathLike[str] | None, network: str) -> str | None:
    """The builder's variant that `weights` needs; None where it is no checkpoint's name."""
    row = _row(weights, network) if isinstance(weights, str) else None
    return None if row is None else row.variant


def _row(spec: str, network: str) -> Checkpoint | None:
    own = (row for row in checkpoints() if row.network == network)
    return next((r for r in own if spec in (r.spec, r.origin) or (spec == "imagenet" and r.imagenet)), None)


def is_named(weights: str | PathLike[str]) -> bool:
    """Whether `weights` names a checkpoint, not a file."""
    return isinstance(weights, str) and NAMED.fullmatch(weights) is not None


def require_conventions(model: "keras.Model", row: Checkpoint, variant: str | None) -> None:
    """Raises InputError where the network is another function than was trained, though names and shapes agree.

    Args:
        model: the network.
        row: its checkpoint.
        variant: the network's, None where its family has one form; and its batch normalisation's epsilon is compared.
    """
    if variant not in (None, row.variant):
        raise InputError(f"{row.spec} is {model.name} by other conventions; build it with variant={row.variant!r}")
    found = {layer.epsilon for layer in model.layers if type(layer).__name__ == "BatchNormalization"}
    wrong = [epsilon for epsilon in found if abs(epsilon - row.epsilon) > EPSILON]
    if wrong:
        raise InputError(
            f"{row.spec} was trained with epsilon {row.epsilon:g} in batch normalisation but {model.name} has "
            f"{wrong[0]:g}; build it with variant={row.variant!r}"
        )


def _checkpoint(row: dict) -> Checkpoint:
    return Checkpoint(
        network=row["network"],
        origin=row["origin"],
        name=row["name"],
        url=row["address"].format(file=row["file"]),
        hash=row.get("hash") or _hash(row["file"]),
        licence=row["licence"],
        size=row["size"],
        preprocessing=_preprocessing(row),
        epsilon=row["epsilon"],
        top1=row.get("top1"),
        imagenet=row.get("imagenet", False),
        variant=row.get("variant", "torch"),
    )


def _hash(file: str) -> str:
    """`resnet50-11ad3fa6.pth` begins with 11ad3fa6."""
    return re.findall(r"-([0-9a-f]{8,})\.", file)[-1]


def _preprocessing(row: dict) -> Preprocessing:
    preset = PRESETS[row["preprocess"]]
    return Preprocessing(
        preset.scale,
        preset.mean,
        preset.std,
        preset.channels,
        crop=row["size"] / row["resize"],
        interpolation=row["interpolation"],
    )


def of_network(pattern: str = "*") -> Iterator[Checkpoint]:
    """The checkpoints of the networks that match a shell pattern."""
    from ..registry import list_models

    wanted = set(list_models(pattern))
    return (row for row in checkpoints() if row.network in wanted)
