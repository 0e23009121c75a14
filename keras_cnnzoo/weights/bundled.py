"""Weights that ship in the package, trained by `benchmarks/bundled_weights.py`. Reading the table costs nothing.

`bundled/` holds float16 .safetensors files and bundled.json, which says what was measured of each.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..registry import at_width

FOLDER = Path(__file__).parent / "bundled"
DATA_SETS = ("fashion_mnist", "cifar10_jpeg")  # what weights= may say
LARGEST = 12_000_000  # bytes of all files together


@dataclass(frozen=True)
class Bundled:
    """A file of the package.

    Args:
        network: the registry's name.
        data: a name of DATA_SETS.
        options: of the builder, beside `input_shape` and `classes`.
        input_shape: (height, width, channels).
        classes: the classes' names.
        top1: of this file, in percent of the data set's test images.
        images: how many these are.
        seed: of the training.
        recipe: its name.
        epochs: passes over the training images.
        seconds: that the training took.
        cores: that it ran on.
        command: that trained it.
        sha256: of the file.
    """

    network: str
    data: str
    options: dict[str, Any]
    input_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    top1: float
    images: int
    seed: int
    recipe: str
    epochs: int
    seconds: float
    cores: int
    command: str
    sha256: str

    @property
    def path(self) -> Path:
        """Of the file."""
        return FOLDER / f"{self.network}-{self.data}.safetensors"

    @property
    def spec(self) -> str:
        """What `weights=` takes."""
        return self.data

    @property
    def size(self) -> int:
        """Height and width that it reads."""
        return self.input_shape[0]

    @property
    def licence(self) -> str:
        """SPDX identifier, the package's."""
        return "Apache-2.0"

    @property
    def verified(self) -> bool:
        """Whether the file is the one that was measured."""
        return self.path.is_file() and hashlib.sha256(self.path.read_bytes()).hexdigest() == self.sha256

    @property
    def names(self) -> tuple[str, ...]:
        """The registry's name, and the one that a width among the options gives."""
        width = self.options.get("width", 1)
        return self.network, at_width(self.network, width) if width != 1 else self.network

    def defaults(self) -> dict[str, Any]:
        """What its builder must be called with."""
        return self.options | {"input_shape": self.input_shape, "classes": len(self.classes)}


def all_bundled() -> tuple[Bundled, ...]:
    """Every row of bundled.json."""
    rows = json.loads((FOLDER / "bundled.json").read_text(encoding="utf-8"))
    return tuple(Bundled(**row | {key: tuple(row[key]) for key in ("input_shape", "classes")}) for row in rows)


def bundled(data: str, network: str) -> Bundled:
    """The weights of a network that were trained on a data set.

    Raises:
        InputError: none such ship; those that do are listed.
    """
    rows = [row for row in all_bundled() if row.data == data]
    for row in rows:
        if network in row.names:
            return row
    offered = ", ".join(row.network for row in rows) or "no network"
    raise InputError(f"weights={data!r}: none of {network} ship; those of {offered} do; see `cnnzoo train`")
