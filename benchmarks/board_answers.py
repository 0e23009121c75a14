"""A board that says what a file holds, for benchmarks/hardening.py: ssh is a shell here, its Python only prints."""

import io
import json
import os
import shutil
from functools import partial
from pathlib import Path
from unittest.mock import patch

from rich.console import Console

from keras_cnnzoo import InputError
from keras_cnnzoo.mobile_bench import Report, as_csv, as_html, as_json, as_markdown, benchmark, tables
from keras_cnnzoo.mobile_bench.targets import Settings

PROGRAMS = {
    "ssh": """\
for command; do :; done
eval "$command"
""",
    "python": """\
if [ "$1" = -c ]; then echo "$3 [[3, 11], \\"armv7l\\", {}]"; exit; fi
LC_ALL=C sed "s/^/$2 /" "$0".says
""",
}
MARKUP = "<script>"  # what mutations.ODD puts into texts
MEASURE = partial(benchmark, runs=40, profile=True)  # here and there alike: what is said must fit what is asked


def board_of(folder: Path, artifact: Path) -> Path:
    """The file of what the board says, which is what this machine found; the board's programs stand beside it."""
    for name, lines in PROGRAMS.items():
        (folder / name).write_text(f"#!/bin/sh\n{lines}")
        (folder / name).chmod(0o755)
    journal, says = folder / "journal", folder / "board.jsonl"
    MEASURE([artifact], journal=journal)
    _, *lines = journal.read_text().splitlines()
    says.write_text("".join(line.partition("\t")[2] + "\n" for line in lines))
    return says


def measured_there(says: Path) -> Report:
    """The report of a measurement of a.tflite on the board; both stand in one folder with its programs."""
    folder = says.parent
    shutil.copy(says, folder / "python.says")
    connection = Settings(remote_python=str(folder / "python"))
    with patch.dict(os.environ, PATH=f"{folder}{os.pathsep}{os.environ['PATH']}"):
        return MEASURE([folder / "a.tflite"], targets=["ssh://board"], connection=connection)


def read_board(says: Path) -> None:
    """Measures on a board that says what the file holds, and writes every report of it.

    Raises:
        InputError: it was refused, wholly or from some line on.
        AssertionError: a text of the board became markup.
    """
    report = measured_there(says)
    json.loads(as_json(report))
    as_csv(report)
    Console(file=io.StringIO()).print(tables(report))
    assert as_html(report).count(MARKUP) == 1, "markup in the page"  # the page's own
    assert MARKUP not in as_markdown(report), "markup in the table"
    broken = [m.failure for m in report.measurements if m.failure] + [u.reason for u in report.unmeasured if u.reason]
    if broken:
        raise InputError(broken[0])
