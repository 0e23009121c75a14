"""A page for each lab and an index of all: self-contained, for a phone too, dark and light."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from ...files import write
from .framework import Lab, Rows

MARKS = {"confirmed": "✓", "counted": "✓", "not shown": "○", "contradicted": "✗"}
WORDS = {"confirmed": "证实", "counted": "计数", "not shown": "未显示", "contradicted": "相反"}


def write_page(lab: Lab, result: Mapping[str, Any], rows: Rows, figures: Mapping[str, str], path: Path) -> None:
    """Writes a lab's page.

    Args:
        lab: which.
        result: `Result.to_dict()`.
        rows: all that was measured.
        figures: SVG elements by name.
        path: of the page.
    """
    full = lab.presets["full"].settings() | {"seeds": str(lab.presets["full"].seeds)}
    here = result["settings"] | {"seeds": str(result["seeds"])}
    settings = [(key, value, full[key]) for key, value in here.items()]
    conditions, measures, table = summary(lab, rows)
    page = (
        _environment()
        .get_template("lab.html")
        .render(
            lab=lab,
            result=result,
            scaled=[name for name, here, there in settings if here != there],
            settings=settings,
            figures=figures,
            conditions=conditions,
            measures=measures,
            table=table,
            marks=MARKS,
            words=WORDS,
        )
    )
    write(path, page)


def write_index(folder: Path) -> None:
    """Writes index.html: all labs, those that ran in `folder` with their verdicts."""
    from .claims import NAMES, lab

    ran = {name: _read(folder / name / "results.json") for name in NAMES}
    page = (
        _environment()
        .get_template("index.html")
        .render(labs=[(lab(name), ran[name]) for name in NAMES], marks=MARKS, words=WORDS)
    )
    write(folder / "index.html", page)


def summary(lab: Lab, rows: Rows) -> tuple[list[str], list[str], list[list[str]]]:
    """The table's conditions, its measures, and its rows: the mean over seeds, and their standard deviation."""
    conditions = [*lab.presets["full"].grid, *lab.by]
    measures = [name for name in lab.measures if rows.having(name)]
    cells: dict[tuple[Any, ...], Rows] = {}
    for row in rows:
        if any(name in row for name in measures):
            cells.setdefault(tuple(row.get(name, "") for name in conditions), Rows()).append(row)
    table = [[*map(str, cell), *(_over_seeds(alike, measure) for measure in measures)] for cell, alike in cells.items()]
    return conditions, measures, table


def _over_seeds(rows: Rows, measure: str) -> str:
    found = rows.having(measure)
    last = [found.where(seed=seed)[-1][measure] for seed in found.distinct("seed")]
    if not last:
        return ""
    spread = f" ± {np.std(last, ddof=1):.2g}" if len(last) > 1 else ""
    return f"{np.mean(last):,.4g}{spread}"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _environment() -> jinja2.Environment:
    loader = jinja2.PackageLoader(__package__, ".")
    return jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
