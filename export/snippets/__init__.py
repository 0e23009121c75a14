"""How to run a file from an app: a program of a few dozen lines, its numbers taken from the file's card."""

from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from ...preprocessing import Preprocessing
from ..card import Card
from ..classifier import read_classifier

Language = Literal["python", "kotlin", "swift", "cpp"]
SUFFIXES: dict[Language, str] = {"python": "py", "kotlin": "kt", "swift": "swift", "cpp": "cc"}
LIMITS = {"float32": (None, None), "int8": (-128, 127), "uint8": (0, 255)}


def snippet(path: str | PathLike[str], language: Language) -> str:
    """The program that classifies a picture with a .tflite file.

    Args:
        path: of the file; its card stands beside it.
        language: of the program.

    Raises:
        InputError: no card, no preprocessing in it, several images a call, an input that is no picture, or 16 bits.
    """
    facts = _facts(path, *read_classifier(path))
    import jinja2

    template = (files(__package__) / f"snippet.{SUFFIXES[language]}.j2").read_text()
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(template).render(facts)


def _facts(path: str | PathLike[str], card: Card, spec: Preprocessing) -> dict[str, Any]:
    """What a template names: the sizes, types and scales of the card's first input and output."""
    source, target = card.inputs[0], card.outputs[0]
    _, height, width, channels = source["shape"]
    least, most = LIMITS[source["dtype"]]
    fitting = spec.for_channels(channels)
    return {
        "file": Path(path).name,
        "height": height,
        "width": width,
        "channels": channels,
        "classes": target["shape"][-1],
        "reads": source["dtype"],
        "returns": target["dtype"],
        "input_scale": source["scale"],
        "input_zero": source["zero_point"],
        "output_scale": target["scale"],
        "output_zero": target["zero_point"],
        "least": least,
        "most": most,
        "scale": spec.scale,
        "mean": [float(value) for value in fitting.mean],
        "std": [float(value) for value in fitting.std],
        "bgr": spec.channels == "bgr" and channels == 3,
        "crop": spec.crop,
        "interpolation": spec.interpolation,
    }
