"""Public checkpoints as data: which network, where from, how good, fed how. Reading the table costs nothing."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from os import PathLike
from typing import TYPE_CHECKING

from ..errors import InputError
from ..preprocessing import PRESETS, Preprocessing

if TYPE_CHECKING:
    import keras

NAMED = re.compile(r"imagenet|[a-z][\w.]*:\S+")  # what weights= may say instead of a path
EPSILON = 1e-6  # by which two epsilons of batch normalisation may differ


@dataclass(frozen=True)
class Checkpoint:
    """A public weights file.

    Args:
        network: the registry's name.
        origin: the library whose release it is, "torchvision" or "timm".
        name: the release's, as in `weights="ORIGIN:NAME"`.
        url: of the file.
        hash: what the content's SHA-256 begins with, in hex; "server" where the hub says it when asked.
        licence: SPDX identifier.
        size: height and width that its top-1 was measured at.
        preprocessing: what it was trained on.
        epsilon: of batch normalisation.
        top1: published, in percent; None where none was found.
        imagenet: whether `weights="imagenet"` means it.
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
        spec: "imagenet" or "ORIGIN:NAME".
        network: the registry's name.

    Raises:
        InputError: none of that name; those of the network are listed.
    """
    own = [row for row in checkpoints() if row.network == network]
    for row in own:
        if row.spec == spec or (spec == "imagenet" and row.imagenet):
            return row
    offered = ", ".join(repr(row.spec) for row in own)
    known = f"it has {offered}" if own else "none is known for it; give a weights file"
    raise InputError(f"weights={spec!r}: no such checkpoint of {network}; {known}")


def is_named(weights: str | PathLike) -> bool:
    """Whether `weights` names a checkpoint, not a file."""
    return isinstance(weights, str) and NAMED.fullmatch(weights) is not None


def require_epsilon(model: "keras.Model", row: Checkpoint) -> None:
    """Raises InputError where the network's batch normalisation has another epsilon: no name and no shape shows it."""
    found = {layer.epsilon for layer in model.layers if type(layer).__name__ == "BatchNormalization"}
    wrong = [epsilon for epsilon in found if abs(epsilon - row.epsilon) > EPSILON]
    if wrong:
        raise InputError(
            f"{row.spec} was trained with epsilon {row.epsilon:g} in batch normalisation but {model.name} has "
            f"{wrong[0]:g}; build it with variant='torch'"
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
