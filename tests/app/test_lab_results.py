"""What docs/labs says of each lab follows from the rows that stand there."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="pip install 'keras-cnnzoo[lab]'")

from matplotlib import rc_context

from keras_cnnzoo.app.lab.claims import NAMES, lab
from keras_cnnzoo.app.lab.figures import STYLE
from keras_cnnzoo.app.lab.framework import Rows
from keras_cnnzoo.app.lab.verdict import decide

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs" / "labs"
RESULTS = sorted(path.stem for path in DOCS.glob("*.json"))


def read(name: str) -> tuple[dict[str, Any], Rows]:
    result = json.loads((DOCS / f"{name}.json").read_text(encoding="utf-8"))
    named = (dict(zip(result["columns"], row, strict=True)) for row in result["rows"])
    return result, Rows({key: value for key, value in row.items() if value is not None} for row in named)


def test_the_results_are_of_labs_that_there_are() -> None:
    assert RESULTS
    assert set(RESULTS) <= set(NAMES)


@pytest.mark.parametrize("name", RESULTS)
def test_a_lab_s_verdicts_follow_from_its_rows(name: str) -> None:
    result, rows = read(name)
    assert result["preset"] == "standard"
    assert result["settings"] == lab(name).preset("standard").settings()
    assert result["seeds"] == len(rows.distinct("seed")) >= 3
    for claim, said in zip(lab(name).claims, result["verdicts"], strict=True):
        found = decide(claim, rows)
        assert (found.says, found.word) == (said["says"], said["word"])
        numbers = [(getattr(found, key), said[key]) for key in ("effect", "low", "high")]
        assert [a is None for a, _ in numbers] == [b is None for _, b in numbers]
        assert [a or 0.0 for a, _ in numbers] == pytest.approx([b or 0.0 for _, b in numbers], rel=2e-2, abs=1e-3)


@pytest.mark.parametrize("name", RESULTS)
def test_a_lab_s_figures_are_drawn_from_its_rows(name: str, tmp_path: Path) -> None:
    _, rows = read(name)
    drawn = {f"{name}-{figure}.svg": picture for figure, picture in lab(name).figures(rows).items()}
    assert set(drawn) == {path.name for path in DOCS.glob(f"{name}-*.svg")}
    for file, picture in drawn.items():
        with rc_context(STYLE):
            picture.savefig(tmp_path / file)
        assert places(tmp_path / file) == pytest.approx(places(DOCS / file), abs=1), file


def places(picture: Path) -> list[float]:
    """Where its lines and marks are, in points."""
    attributes = re.findall(r' (?:d|x|y)="([^"]*)"', picture.read_text(encoding="utf-8"))
    return [float(number) for text in attributes for number in re.findall(r"-?\d+(?:\.\d+)?", text)]


def test_the_page_and_readme_say_what_stands_there(script: Callable[[str], ModuleType]) -> None:
    taker = script("benchmarks/lab_results.py")
    labs = taker.published()
    assert [lab["lab"] for lab in labs] == [name for name in NAMES if name in RESULTS]
    assert (ROOT / "docs" / "labs.md").read_text(encoding="utf-8") == taker.page(labs)
    assert taker.verdicts(labs) in (ROOT / "README.md").read_text(encoding="utf-8")
