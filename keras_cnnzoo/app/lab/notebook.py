"""A notebook of a lab: the same claim, experiment, verdicts and figures, to run again."""

import inspect
import json
import os
from collections.abc import Iterable
from pathlib import Path

from ...files import write
from ...training.named import NAMED
from .framework import Lab

RUN = """\
from keras_cnnzoo.app.lab.claims import lab
from keras_cnnzoo.app.lab.run import run_lab

this = lab({name})
result = run_lab(this, {source}, ".", preset={preset}, seeds={seeds})"""
VERDICTS = """\
for verdict in result.verdicts:
    print(verdict.says, verdict.word, verdict.effect, (verdict.low, verdict.high), verdict.unit, sep="\\n  ")"""
SHOW = """\
from IPython.display import SVG, display

for name in {figures}:
    display(SVG(f"{folder}/{{name}}.svg"))"""


def write_notebook(
    lab: Lab, source: str | os.PathLike[str], preset: str, seeds: int, figures: Iterable[str], path: Path
) -> None:
    """Writes a notebook that takes up what was measured beside it.

    Args:
        lab: which.
        source: the data, as `run_lab` takes them; a path is written relative to the notebook.
        preset: its name.
        seeds: repetitions.
        figures: their names.
        path: of the .ipynb file, in the folder of all labs.
    """
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    where = str(source) if str(source) in NAMED else os.path.relpath(source, path.parent)
    names = {"name": json.dumps(lab.name), "source": json.dumps(where), "preset": json.dumps(preset), "seeds": seeds}
    experiment = inspect.getsource(lab.experiment).rstrip()
    claims = "\n".join(f"- {claim.says}" for claim in lab.claims)
    cells = [
        new_markdown_cell(
            f"# {lab.title} {lab.chinese}\n\n> {lab.claim} {lab.source}\n\n{claims}\n\n{lab.caveat}".rstrip()
        ),
        new_markdown_cell(f"## Experiment 实验\n\nOne cell of the grid, for one seed:\n\n```python\n{experiment}\n```"),
        new_code_cell(RUN.format(**names)),
        new_markdown_cell("## Verdict 结论"),
        new_code_cell(VERDICTS),
        new_markdown_cell("## Figures 图"),
        new_code_cell(SHOW.format(figures=json.dumps(list(figures)), folder=lab.name)),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    write(path, json.dumps(new_notebook(cells=cells), indent=1, ensure_ascii=False) + "\n")
