"""The demonstration's report: one self-contained page."""

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from ..files import write
from .result import Demo

PICTURES, PICTURE_SIZE = 24, 64


def write_page(
    demo: Demo, pixels: np.ndarray, labels: np.ndarray, classes: Sequence[str], answers: list[np.ndarray]
) -> None:
    """Writes report.html into the demonstration's folder; it needs no network and no other file.

    Args:
        demo: what was found.
        pixels: of held-out images to choose from, (n, height, width, channels) uint8.
        labels: theirs, (n,).
        classes: the classes' names.
        answers: for each artifact, the classes that it names for these images.
    """
    environment = jinja2.Environment(loader=jinja2.PackageLoader(__package__, "."), autoescape=True)
    page = environment.get_template("report.html").render(
        title=f"{demo.network} on {demo.data}",
        demo=demo,
        rows=demo.rows(),
        threads=sorted({m.threads for m in demo.measured}),
        slowest=max(m.summary.p90.value for m in demo.measured),
        largest=max(card.artifact["bytes"] for card in demo.cards),
        pictures=_pictures(pixels, labels, classes, answers),
        cards=[(card.artifact["file"], json.dumps(asdict(card), indent=2)) for card in demo.cards],
        environment=asdict(demo.environment),
    )
    write(demo.folder / "report.html", page)


def _pictures(
    pixels: np.ndarray, labels: np.ndarray, classes: Sequence[str], answers: list[np.ndarray]
) -> list[dict[str, Any]]:
    """Held-out pictures with their class and what each file answers; those that int8 changed come first."""
    changed = np.any([answer != answers[0] for answer in answers], axis=0)
    wrong = answers[0] != labels
    order = np.lexsort((np.arange(len(changed)), ~wrong, ~changed))[:PICTURES]
    return [
        {
            "source": _data_url(pixels[i]),
            "label": classes[labels[i]],
            "answers": [(classes[answer[i]], bool(answer[i] == labels[i])) for answer in answers],
        }
        for i in order
    ]


def _data_url(pixels: np.ndarray) -> str:
    picture = Image.fromarray(pixels.squeeze()).resize((PICTURE_SIZE, PICTURE_SIZE), Image.Resampling.NEAREST)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
