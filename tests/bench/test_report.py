"""Reports are functions of the result alone."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from keras_cnnzoo.mobile_bench import Report, as_csv, as_json, benchmark, tables


@pytest.fixture(scope="module")
def report(model: Path, larger_model: Path) -> Report:
    return benchmark([model, larger_model, model], runs=60)


def printed(report: Report, width: int) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(tables(report, width=width))
    return console.export_text()


def test_a_table_fits_the_terminal(report: Report) -> None:
    for width in (80, 100, 160):
        text = printed(report, width)
        assert "…" not in text
        assert max(map(len, text.splitlines())) <= width


def test_a_wide_table_shows_more_intervals_than_a_narrow_one(report: Report) -> None:
    assert printed(report, 160).count("–") > printed(report, 80).count("–") > 0


def test_two_files_of_one_name_are_told_apart(model: Path, tmp_path: Path) -> None:
    twin = tmp_path / model.name
    twin.write_bytes(model.read_bytes())
    assert str(twin) in printed(benchmark([model, twin], runs=5), 400)


def test_json_and_csv_are_the_same_for_the_same_report(report: Report) -> None:
    assert as_json(report) == as_json(report)
    assert len(as_csv(report).splitlines()) == 1 + 3
    assert (
        json.loads(as_json(report))["measurements"][2]["artifact"]["sha256"] == report.measurements[0].artifact.sha256
    )
