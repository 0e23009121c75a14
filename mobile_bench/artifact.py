"""A model file and the card beside it, read with distrust: either may come from anywhere."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..preprocessing import Preprocessing
from .events import LARGEST

CARD_SCHEMA = 1  # the newest that is understood here
SIGNS = {".tflite": (b"TFL3", 4), ".keras": (b"PK", 0), ".onnx": (b"\x08", 0)}
"""By suffix, bytes that such a file holds and where: of .onnx only the tag of its first field is fixed."""


@dataclass(frozen=True)
class Artifact:
    """A .tflite, .onnx or .keras file.

    Attributes:
        path: as it was given.
        bytes: its size.
        sha256: of its content, in hex.
        macs: multiply-accumulates of one inference, where a card tells.
        parameters: of the model that it was made from, where a card tells.
        preprocessing: from pixels to its input, where a card tells.
        channels_first: whether its pictures are (channels, height, width), as a card tells.
        labels: the classes' names by output, where a card tells.
        named: what tells it from the other files of a measurement, where its own name does not.
    """

    path: Path
    bytes: int
    sha256: str
    macs: int | None = None
    parameters: int | None = None
    preprocessing: Preprocessing | None = None
    channels_first: bool = False
    labels: tuple[str, ...] | None = None
    named: str | None = None

    @property
    def name(self) -> str:
        """For readers: the file's own, or the shortest end of its path that no other file shares."""
        return self.named or self.path.name


def short_names(paths: Collection[Path]) -> dict[Path, str]:
    """By path, the shortest end of it that no other shares."""
    ends = {path: ["/".join(path.parts[-count:]) for count in range(1, len(path.parts) + 1)] for path in paths}
    shared = Counter(end for found in ends.values() for end in found)
    return {path: next((end for end in found if shared[end] == 1), str(path)) for path, found in ends.items()}


def read_artifact(path: str | os.PathLike[str]) -> Artifact:
    """The file at `path`, checked against `path`.json where that card exists.

    Raises:
        InputError: no such file, not what its name says, or a card that is unreadable, too new, or of another file.
    """
    path = Path(path)
    content = _read(path)
    if not content:
        raise InputError(f"{path}: the file is empty; export the model again")
    _check_sign(path, content)
    digest = hashlib.sha256(content).hexdigest()
    card_path = path.with_name(path.name + ".json")
    if not card_path.exists():
        return Artifact(path, len(content), digest)
    card = _Card(card_path)
    if card.number("artifact", "bytes") not in (None, len(content)) or card.text("artifact", "sha256") not in (
        None,
        digest,
    ):
        raise InputError(f"{path}: its card {card_path.name} describes another file; export the model again")
    macs, parameters = card.number("model", "macs"), card.number("model", "parameters")
    first = card.layout() == "NCHW"
    return Artifact(path, len(content), digest, macs, parameters, card.preprocessing(), first, card.labels())


def _check_sign(path: Path, content: bytes) -> None:
    if path.suffix not in SIGNS:
        raise InputError(f"{path}: files are told by their suffix; give {', '.join(SIGNS)}")
    sign, offset = SIGNS[path.suffix]
    if content[offset : offset + len(sign)] != sign:
        place = f"its bytes {offset} to {offset + len(sign)} are not {sign!r}"
        raise InputError(f"{path}: this is not a {path.suffix} file ({place}); export the model again")


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise InputError(f"{path}: this is a folder; name the files in it, as in {path}/*.tflite")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; name one that is there") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); name one that can") from error


class _Card:
    """The JSON beside an artifact, of which only the schema version has to be there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.fields = json.loads(_read(path))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: the card is not JSON ({error}); delete it or export the model again") from error
        version = self.number("schema_version")
        if version is None:
            raise InputError(f"{path}: the card has no schema_version; delete it or export the model again")
        if version > CARD_SCHEMA:
            raise InputError(
                f"{path}: the card has schema version {version}, this cnnzoo-bench knows {CARD_SCHEMA}; "
                "update keras-cnnzoo"
            )

    def number(self, *keys: str) -> int | None:
        value = self._find(keys)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST):
            return value
        raise self._wrong(keys, "a whole number below 2^62")

    def text(self, *keys: str) -> str | None:
        value = self._find(keys)
        if value is None or isinstance(value, str):
            return value
        raise self._wrong(keys, "a text")

    def layout(self) -> str | None:
        """Of the first input."""
        inputs = self._find(("inputs",))
        if inputs is None:
            return None
        if not isinstance(inputs, list) or not all(isinstance(tensor, dict) for tensor in inputs):
            raise self._wrong(("inputs",), "a list of objects")
        found = inputs[0].get("layout") if inputs else None
        return found if isinstance(found, str) else None

    def labels(self) -> tuple[str, ...] | None:
        """By output."""
        found = self._find(("labels",))
        if found is None:
            return None
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            raise self._wrong(("labels",), "a list of texts")
        return tuple(found) or None

    def preprocessing(self) -> Preprocessing | None:
        spec = self._find(("preprocessing",))
        try:
            return None if spec is None else Preprocessing.from_dict(spec)
        except InputError as error:
            raise InputError(f"{self.path}: its {error}") from error

    def _find(self, keys: tuple[str, ...]) -> Any:
        value = self.fields
        for depth, key in enumerate(keys):
            if not isinstance(value, dict):
                raise self._wrong(keys[:depth], "an object")
            value = value.get(key)
            if value is None:
                return None
        return value

    def _wrong(self, keys: tuple[str, ...], expected: str) -> InputError:
        subject = f"its {'.'.join(keys)}" if keys else "the card"
        return InputError(f"{self.path}: {subject} is not {expected}; delete the card or export the model again")
