"""A run's whole state in one file, written whole or not at all."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..errors import InputError
from ..files import write
from .curve import Row


@dataclass
class Progress:
    """How far a run is.

    Args:
        step: batches done.
        loss: sum over the batches of the epoch under way.
        correct: the same of their accuracy.
        seconds: spent in this and earlier sittings.
        history: the epochs that are over.
    """

    step: int = 0
    loss: float = 0.0
    correct: float = 0.0
    seconds: float = 0.0
    history: list[Row] = field(default_factory=list)


class Checkpoint:
    """Saves and restores a compiled model, its optimizer and the progress.

    Args:
        path: of the .safetensors file.
        model: compiled; its optimizer is built here.
        identity: what must be the same for the run to go on: entries that JSON knows.
    """

    def __init__(self, path: Path, model: keras.Model, identity: dict[str, Any]) -> None:
        self.path, self.model, self.identity = path, model, json.loads(json.dumps(identity))

    def save(self, progress: Progress) -> bool:
        """Writes the file, unless a variable is no longer finite: the one before then stays.

        Raises:
            InputError: the file cannot be written; the one before then stays, too.
        """
        state = {name: np.array(keras.ops.convert_to_numpy(v), order="C") for name, v in self._variables().items()}
        if not all(np.isfinite(value).all() for value in state.values() if value.dtype.kind == "f"):
            return False
        said = {"identity": json.dumps(self.identity), "progress": json.dumps(asdict(progress))}
        write(self.path, save(state, said))
        return True

    def restore(self) -> Progress | None:
        """Assigns the file's variables and returns its progress; None where there is no file.

        Raises:
            InputError: an unreadable file, or one of another run.
        """
        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, "np") as file:
                said = file.metadata() or {}
                identity, told = dict(json.loads(said["identity"])), json.loads(said["progress"])
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
            progress = Progress(**(told | {"history": [Row(**row) for row in told["history"]]}))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{self.path}: truncated, or no checkpoint of a training run ({error!r}); choose another --out, or "
                "--force to start anew"
            ) from error
        self._require_same(identity)
        variables = self._variables()
        if {name: tuple(v.shape) for name, v in variables.items()} != {name: v.shape for name, v in state.items()}:
            raise InputError(f"{self.path} is of another network of that name; choose another --out, or --force")
        for name, variable in variables.items():
            variable.assign(state[name])
        return progress

    def _variables(self) -> dict[str, Any]:
        """By number: the names of dropout's seeds count the layers of a process."""
        parts = {"model": self.model.variables, "optimizer": self.model.optimizer.variables}
        return {f"{part}/{i}": v for part, variables in parts.items() for i, v in enumerate(variables)}

    def _require_same(self, found: dict[str, Any]) -> None:
        """What a checkpoint of an older version does not say is not asked."""
        differs = _difference(found, {key: value for key, value in self.identity.items() if key in found})
        if differs:
            raise InputError(
                f"{self.path} is of another run ({differs}); choose another --out, or --force to start anew"
            )


def _difference(found: Any, wanted: Any, name: str = "") -> str:
    """The first entry that differs, in words."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        both = {key: (found.get(key), wanted.get(key)) for key in {**found, **wanted}}
        return next((_difference(*pair, key) for key, pair in both.items() if pair[0] != pair[1]), "")
    return "" if found == wanted else f"its {name} is {found}, not {wanted}"
