"""The JSON card beside each artifact: all that a runner must know to feed the file and to trust it."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..files import write

if TYPE_CHECKING:
    from ..complexity import Complexity
    from .calibration import Calibration
    from .origin import Origin

SCHEMA_VERSION = 1
TOOLS = (
    "keras-cnnzoo",
    "keras",
    "tensorflow",
    "ai-edge-litert",
    "litert-quantizer",
    "numpy",
    "onnx",
    "onnxruntime",
    "tf2onnx",
)


@dataclass(frozen=True)
class Card:
    """An artifact's card; each field is a section of card.schema.json."""

    artifact: dict[str, Any]
    model: dict[str, Any]
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    preprocessing: dict[str, Any] | None
    labels: list[str] | None
    quantization: dict[str, Any]
    operators: dict[str, int]
    delegate: dict[str, Any] | None
    conversion: dict[str, Any]
    verification: dict[str, Any] | None
    versions: dict[str, str]
    created: str
    schema_version: int = SCHEMA_VERSION
    target: dict[str, Any] | None = None

    def write(self, path: str | PathLike[str]) -> Path:
        """Validates and writes the card whole or not at all, beside the artifact at `path`; returns where."""
        card = asdict(self)
        _validate(card, path)
        return write(card_path(path), json.dumps(card, indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: str | PathLike[str]) -> "Card":
        """Reads and validates a card by its own path (….tflite.json).

        Raises:
            InputError: unreadable, of a newer schema, or not valid.
        """
        try:
            card = json.loads(Path(path).read_text())
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise InputError(f"{path}: not a readable card ({error}); export again, or remove it") from error
        _validate(card, path)
        return cls(**{field.name: card[field.name] for field in fields(cls) if field.name in card})


def card_beside(artifact: str | PathLike[str], content: bytes) -> Card | None:
    """The card of an artifact of these bytes, if one stands beside it.

    Raises:
        InputError: it cannot be read, or it is another file's, which would lend this one its scales and preprocessing.
    """
    path = card_path(artifact)
    if not path.is_file():
        return None
    card = Card.read(path)
    if card.artifact["sha256"] != artifact_facts("", content)["sha256"]:
        raise InputError(f"{path}: the card of another file (its sha256 differs); export again, or remove it")
    return card


def card_path(artifact: str | PathLike[str]) -> Path:
    """Where the card of an artifact stands."""
    return Path(f"{artifact}.json")


def artifact_facts(name: str, content: bytes) -> dict[str, Any]:
    """The card's `artifact` section."""
    return {
        "file": name,
        "format": Path(name).suffix[1:],
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }


def model_facts(name: str, cost: "Complexity", origin: "Origin") -> dict[str, Any]:
    """The card's `model` section."""
    return {
        "name": name,
        "builder": origin.builder,
        "options": origin.options,
        "weights": origin.weights,
        "parameters": cost.params,
        "macs": cost.macs,
        "training": origin.training,
    }


def calibration_facts(data: "Calibration | None") -> dict[str, Any] | None:
    """What the card says of the representative dataset."""
    return None if data is None else {"source": data.source, "count": len(data), "random": data.random}


def tool_versions() -> dict[str, str]:
    """The installed versions of what made the file."""
    found = {}
    for tool in TOOLS:
        try:
            found[tool] = version(tool)
        except PackageNotFoundError:
            continue
    return found


def _validate(card: Any, path: str | PathLike[str]) -> None:
    import jsonschema

    known = card.get("schema_version") if isinstance(card, dict) else None
    if isinstance(known, int) and known > SCHEMA_VERSION:
        raise InputError(f"{path}: card of schema {known}; this keras-cnnzoo reads up to {SCHEMA_VERSION}, update it")
    schema = json.loads((files(__package__) / "card.schema.json").read_text())
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(card))
    if error is not None:
        raise InputError(
            f"{path}: not a valid card, {error.json_path} {error.message[:200]}; export again, or remove it"
        )
