"""The sweep: a row for each network and format, a failure included; a broken file is no success."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from keras_cnnzoo import InputError
from keras_cnnzoo.export.cli import app
from keras_cnnzoo.export.sweep import _verdict, chosen, compare, sweep
from keras_cnnzoo.export.sweep_rows import FORMATS, LEAST_SQNR, Row, markdown, read

RNG = np.random.default_rng(0)


def test_an_answer_to_another_question_and_no_answer_are_far_below_the_limit() -> None:
    expected = [RNG.standard_normal((12, 10)).astype(np.float32) + 100]  # large, whatever the image
    noisy = expected[0] + 0.1 * RNG.standard_normal((12, 10)).astype(np.float32)
    assert compare(expected, [noisy])[1] == pytest.approx(20, abs=1.5)
    for broken in (expected[0][::-1], np.roll(expected[0], 1, axis=1), np.full_like(expected[0], 100)):
        assert compare(expected, [broken])[1] < min(LEAST_SQNR.values()) - 4


def test_an_answer_of_nan_is_no_equal_one() -> None:
    expected = [RNG.standard_normal((12, 10)).astype(np.float32)]
    spoiled = np.where(np.arange(12)[:, None] == 3, np.float32(np.nan), expected[0])
    difference, sqnr = compare(expected, [spoiled])
    assert _verdict("float32", expected, difference, sqnr) == "outputs differ by nan"
    assert compare(expected * 2, [spoiled, expected[0]])[0] != 0  # a second output does not hide the first


def test_a_network_that_fails_is_a_row_and_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tmp_path / "rows.jsonl"
    with ThreadPoolExecutor(1) as executor:  # 8 pixels are too few for AlexNet
        (first,) = sweep(["alexnet"], ["float32"], executor, size=8, record=record)
        assert [row.ok for row in first] == [False]
        assert first[0].reason.startswith("not built")
        assert first == read(record)
        mended = [Row("alexnet", "float32", 8, True)]
        monkeypatch.setattr("keras_cnnzoo.export.sweep.convert", lambda *job: mended)
        (second,) = sweep(["alexnet"], ["float32"], executor, size=8, record=record)
    assert second == mended == read(record)


def test_what_was_done_is_not_done_again_and_a_line_cut_short_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, asked = tmp_path / "rows.jsonl", []
    done, cut = Row("alexnet", "float32", 8, True), Row("alexnet", "float16", 8, True)
    text = "".join(json.dumps(dataclasses.asdict(row)) + "\n" for row in (done, cut))
    record.write_text(text[:-20])

    def convert(name: str, formats: list[str], *rest: object) -> list[Row]:
        asked.extend(formats)
        return [cut]

    monkeypatch.setattr("keras_cnnzoo.export.sweep.convert", convert)
    with ThreadPoolExecutor(1) as executor:
        (rows,) = sweep(["alexnet"], ["float32", "float16"], executor, size=8, record=record)
    assert asked == ["float16"]
    assert rows == [done, cut] == read(record)


def test_what_failed_of_other_networks_stays_in_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record, failed = tmp_path / "rows.jsonl", Row("vgg11", "float32", 8, False, "not built")
    record.write_text(json.dumps(dataclasses.asdict(failed)) + "\n")
    done = Row("alexnet", "float32", 8, True)
    monkeypatch.setattr("keras_cnnzoo.export.sweep.convert", lambda *job: [done])
    with ThreadPoolExecutor(1) as executor:
        (rows,) = sweep(["alexnet"], ["float32"], executor, size=8, record=record)
    assert rows == [done]
    assert read(record) == [failed, done]


def test_a_table_that_could_not_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    line = ["sweep", "-o", str(tmp_path / "out"), "--only", "alexnet", "--markdown", str(tmp_path)]
    with pytest.raises(InputError, match="is a folder; name a file"):
        app(line, standalone_mode=False)
    assert list(tmp_path.iterdir()) == []


def test_a_size_that_is_no_number_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--size ²: write a number of pixels"):
        app(["sweep", "-o", str(tmp_path / "out"), "--only", "alexnet", "--size", "²"], standalone_mode=False)


def test_a_record_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(InputError, match="not a record of a sweep"):
        read(tmp_path / "rows.jsonl")


def test_networks_are_chosen_by_pattern_the_smallest_first() -> None:
    assert chosen("vgg1?") == ["vgg11", "vgg13", "vgg16", "vgg19"]
    with pytest.raises(InputError, match="no network of the zoo"):
        chosen("vgg20")


def test_the_table_has_a_line_a_network_and_says_what_failed() -> None:
    rows = [
        Row("resnet20", "float32", 32, True, difference=1e-6, sqnr_db=100.0),
        Row("resnet20", "int8", 32, True, sqnr_db=17.04, operators={"CONV_2D": 21}, partitions=1),
        Row("vgg11", "int8", 96, False, "InputError: no | such"),
    ]
    header, _, vgg, resnet = markdown(rows, ["float32", "int8"]).splitlines()
    assert header.startswith("| network | size | float32 difference | int8 dB |")
    assert resnet == "| resnet20 | 32 | 1e-06 | 17.0 | 1 | - | 21 CONV_2D |"
    assert markdown(rows[:1], ["float32"]).splitlines()[2] == "| resnet20 | 32 | 1e-06 | - | - |  |"
    assert "**failed**: InputError: no / such" in vgg


@pytest.mark.slow
def test_small_networks_go_to_every_format(tmp_path: Path) -> None:
    names = ["resnet20", "mobilenet_v1_x0_25", "shufflenet_v2_x0_5", "mobilenet_v3_small"]
    with ThreadPoolExecutor(1) as executor:
        rows = [row for done in sweep(names, FORMATS, executor, size=64, folder=tmp_path) for row in done]
    assert {(row.network, row.format) for row in rows} == {(name, f) for name in names for f in FORMATS}
    noise = {(row.network, row.format): row.sqnr_db or 0.0 for row in rows}
    assert all(noise[name, "int16"] > noise[name, "int8"] + 1 for name in names)
    assert [(row.network, row.format, row.reason) for row in rows if not row.ok] == []
    assert [row.notes for row in rows if row.notes] == []
    assert len(list(tmp_path.glob("*.tflite"))) == len(names) * sum(not f.startswith("onnx") for f in FORMATS)
