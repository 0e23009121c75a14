"""Reports are functions of the result alone, and nothing that a file or a remote says becomes markup."""

import csv
import dataclasses
import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from keras_cnnzoo import InputError
from keras_cnnzoo.mobile_bench import (
    Estimate,
    Report,
    Unmeasured,
    as_csv,
    as_html,
    as_json,
    as_markdown,
    benchmark,
    tables,
)
from keras_cnnzoo.mobile_bench.accuracy import Accuracy
from keras_cnnzoo.mobile_bench.cli.compare import compare as compare_files
from keras_cnnzoo.mobile_bench.cli.measure import _show
from keras_cnnzoo.mobile_bench.regression import Change, compare_reports
from keras_cnnzoo.mobile_bench.report.as_json import document, read_json
from keras_cnnzoo.mobile_bench.report.table import latency_table
from keras_cnnzoo.mobile_bench.runners import Layer

EVIL = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'


@pytest.fixture(scope="module")
def report(model: Path, larger_model: Path) -> Report:
    return benchmark([model, larger_model, model], runs=60)


@pytest.fixture(scope="module")
def hostile(report: Report) -> Report:
    """Markup in every text that comes from outside."""
    first = report.measurements[0]
    probe = dataclasses.replace(first.probe, device=EVIL, notes=(EVIL,), operators={EVIL: 1}, versions={EVIL: EVIL})
    artifact = dataclasses.replace(first.artifact, path=Path(EVIL.replace("/", "|")))
    changed = dataclasses.replace(
        first,
        target=EVIL,
        artifact=artifact,
        probe=probe,
        options={EVIL: EVIL},
        layers=(Layer(EVIL, EVIL, 3.0),),
        accuracy=Accuracy(0.5, 0.9, 10, EVIL),
        failure=EVIL,
    )
    failed = Unmeasured(EVIL, artifact, EVIL, 1, {}, EVIL, None)
    return dataclasses.replace(
        report,
        measurements=(changed, *report.measurements[1:]),
        warnings=(EVIL,),
        unmeasured=(failed,),
        environments={EVIL: {EVIL: EVIL}},
    )


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
    report = benchmark([model, twin], runs=5)
    labels = [m.label for m in report.measurements]
    assert labels == [f"{path.parent.name}/{path.name} (1 thread)" for path in (model, twin)]
    for text in (printed(report, 400), as_markdown(report).replace("\\", ""), as_html(report)):
        assert all(f"{path.parent.name}/{path.name}" in text for path in (model, twin))


def test_where_software_is_makes_no_other_configuration(report: Report) -> None:
    options = {"accelerator": "wasm", "litertjs": "/somewhere", "install": True}
    changed = dataclasses.replace(report.measurements[0], runner="web", options=options)
    assert changed.label == "small.tflite (web, accelerator wasm, 1 thread)"


def test_json_and_csv_are_the_same_for_the_same_report(report: Report) -> None:
    assert as_json(report) == as_json(report)
    assert len(as_csv(report).splitlines()) == 1 + 3
    found = json.loads(as_json(report))
    assert found["measurements"][2]["artifact"]["sha256"] == report.measurements[0].artifact.sha256


def test_csv_names_what_failed_and_the_accuracy(hostile: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(hostile))))
    assert [row["failure"] for row in rows] == [EVIL, "", "", EVIL]
    assert (rows[0]["top1"], rows[1]["top1"], rows[-1]["median_ms"]) == ("0.5", "", "")
    failed = dataclasses.replace(hostile, measurements=())
    assert len(as_csv(failed).splitlines()) == 2
    assert "1 thread" in as_markdown(failed) + as_html(failed)


def test_json_is_valid_and_read_again(report: Report, hostile: Report, tmp_path: Path) -> None:
    for number, value in enumerate((report, hostile)):
        path = tmp_path / f"{number}.json"
        path.write_text(as_json(value))
        assert read_json(path) == document(value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"schema_version": 1}, "schema version 1, this cnnzoo-bench knows 2; measure again"),
        ({"measurements": [{}]}, r"measurements\.0 is not valid \('warm_up' is a required property\)"),
        ({"warnings": [1]}, r"warnings\.0 is not valid"),
        ({"warnings": [float("nan")]}, "NaN is not a number"),
    ],
)
def test_json_that_is_not_a_report_is_named(report: Report, tmp_path: Path, change: dict, sentence: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(document(report) | change))
    with pytest.raises(InputError, match=sentence):
        read_json(path)


def test_a_terminal_is_told_nothing_that_it_would_obey(
    hostile: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    escape = "\x1b]0;title\x07\x9b31m"
    first = hostile.measurements[0]
    probe = dataclasses.replace(first.probe, operators={escape: 1})
    layers, artifact = (Layer(escape, escape, 3.0),), dataclasses.replace(first.artifact, named=escape)
    measured = dataclasses.replace(first, artifact=artifact, probe=probe, target=escape, layers=layers)
    failed = dataclasses.replace(hostile.unmeasured[0], reason=escape)
    environments = {escape: {"cpu": escape}}
    value = dataclasses.replace(
        hostile, measurements=(measured,), unmeasured=(failed,), warnings=(escape,), environments=environments
    )
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(as_json(value))
    new.write_text(as_json(dataclasses.replace(value, environments={escape: {"cpu": "another"}})))
    compare_files(old, new)
    _show(value, dict.fromkeys(("json", "csv", "markdown", "html")), force=False)
    said = capsys.readouterr()
    assert "title" in said.out
    assert "title" in said.err
    assert not set("\x1b\x07\x9b") & set(said.out + said.err)


@pytest.mark.parametrize(
    ("part", "key", "values"),
    [
        ("samples", "durations_ns", [[], [[]], [[0]], [[10**400]]]),
        ("probe", "versions", [[1], "abc", {"litert": 1}]),
    ],
)
def test_samples_and_versions_that_cannot_be_are_not_valid(
    report: Report, tmp_path: Path, part: str, key: str, values: list
) -> None:
    for value in values:
        found = document(report)
        found["measurements"][0][part][key] = value
        path = tmp_path / "report.json"
        path.write_text(json.dumps(found))
        with pytest.raises(InputError, match=rf"measurements\.0\.{part}\.{key}"):
            read_json(path)


def test_markdown_has_a_row_per_configuration_and_no_markup_of_others(report: Report, hostile: Report) -> None:
    assert len([line for line in as_markdown(report).splitlines() if line.startswith("|")]) == 2 + 3
    assert not re.search(r"(?<!\\)<", as_markdown(hostile))
    columns = {len(re.findall(r"(?<!\\)\|", line)) for line in as_markdown(hostile).splitlines() if line[:1] == "|"}
    assert len(columns) == 1


def test_a_page_needs_no_network_and_holds_no_markup_of_others(report: Report, hostile: Report) -> None:
    for value in (report, hostile):
        page = as_html(value)
        assert page.count("<script") == 2
        assert not re.search(r"<img|(?:src|href)=\"(?!data:)|url\(|@import|fetch\(", page)
    data = re.search(r'<script id="data" type="application/json">(.*?)</script>', as_html(hostile), re.S)
    assert data is not None
    assert json.loads(data[1])["rows"][0]["layers"][0]["type"] == EVIL


def test_a_change_is_found_with_its_interval(report: Report) -> None:
    old, new = document(report), document(report)
    for measurement in new["measurements"]:
        blocks = measurement["samples"]["durations_ns"]
        measurement["samples"]["durations_ns"] = [[2 * t for t in block] for block in blocks]
    for change in compare_reports(old, new).changes:
        assert change.ratio.value == pytest.approx(2)
        assert change.ratio.low is not None
        assert change.ratio.low <= 2 <= change.ratio.high
    assert not any(change.slower_than(0.05) for change in compare_reports(old, old).changes)
    with pytest.raises(InputError, match="share no configuration"):
        compare_reports(old, new | {"measurements": []})


@pytest.mark.parametrize(("low", "slower"), [(1.06, True), (1.05, False), (1.04, False), (0.5, False), (None, False)])
def test_slower_is_what_is_so_by_its_whole_interval(low: float | None, slower: bool) -> None:
    assert Change("a", "local", 1.0, 2.0, Estimate(2.0, low, 3.0)).slower_than(0.05) == slower


def test_what_cannot_be_judged_is_told(report: Report) -> None:
    old, new = document(report), document(report)
    few, other = new["measurements"][:2]
    few["samples"]["durations_ns"] = few["samples"]["durations_ns"][:7]
    other["label"], other["probe"]["versions"] = "new.tflite (1 thread)", {}
    new["environments"]["local"]["cpu"] = "another"
    found = compare_reports(old, new)
    assert [change.decided for change in found.changes] == [False, True]
    assert found.gone == ("larger.tflite (1 thread)",)
    assert found.added == ("new.tflite (1 thread)",)
    assert any(sentence.startswith("local: cpu was ") for sentence in found.differences)
    few["probe"]["versions"] = {"ai-edge-litert": "0"}
    assert any(sentence.endswith(", is 0") for sentence in compare_reports(old, new).differences)


def test_a_ratio_that_is_not_known_is_empty_and_the_reference_s_is_1(report: Report) -> None:
    reference, unpaired, _ = report.measurements
    unknown = dataclasses.replace(report, measurements=(reference, dataclasses.replace(unpaired, ratio=None)))
    first, second = csv.DictReader(io.StringIO(as_csv(unknown)))
    assert (first["ratio"], second["ratio"], second["verdict"]) == ("1.0", "", "")
    lines = [line.split(" | ") for line in as_markdown(unknown).splitlines() if ".tflite" in line]
    assert [line[8] for line in lines] == ["1", ""]
    data = re.search(r'<script id="data" type="application/json">(.*?)</script>', as_html(unknown), re.S)
    assert data is not None
    assert [(row["ratio"], row["verdict"]) for row in json.loads(data[1])["rows"]] == [(None, "reference"), (None, "")]
    assert [m["is_reference"] for m in document(unknown)["measurements"]] == [True, False]
    assert list(latency_table(unknown, intervals=True).columns[7].cells) == ["1", ""]
