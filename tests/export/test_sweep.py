"""The sweep: a row for each network and format, a failure included; a broken file is no success."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from keras_cnnzoo import InputError
from keras_cnnzoo.export.sweep import FORMATS, LEAST_SQNR, Row, chosen, compare, markdown, read, sweep

RNG = np.random.default_rng(0)


def test_an_answer_to_another_question_and_no_answer_are_far_below_the_limit() -> None:
    expected = [RNG.standard_normal((12, 10)).astype(np.float32) + 100]  # large, whatever the image
    noisy = expected[0] + 0.1 * RNG.standard_normal((12, 10)).astype(np.float32)
    assert compare(expected, [noisy])[1] == pytest.approx(20, abs=1.5)
    for broken in (expected[0][::-1], np.roll(expected[0], 1, axis=1), np.full_like(expected[0], 100)):
        assert compare(expected, [broken])[1] < min(LEAST_SQNR.values()) - 4


def test_a_network_that_fails_is_a_row_and_what_was_done_is_not_done_again(tmp_path: Path) -> None:
    record = tmp_path / "rows.jsonl"
    with ThreadPoolExecutor(1) as executor:  # 8 pixels are too few for AlexNet
        (first,) = sweep(["alexnet"], ["float32"], executor, size=8, record=record)
        (second,) = sweep(["alexnet"], ["float32"], executor, size=8, record=record)
    assert [row.ok for row in first] == [False]
    assert first[0].reason.startswith("not built")
    assert second == first == read(record)
    assert len(record.read_text().splitlines()) == 1


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
    assert "**failed**: InputError: no / such" in vgg


@pytest.mark.slow
def test_three_small_networks_go_to_every_format(tmp_path: Path) -> None:
    names = ["resnet20", "mobilenet_v1_x0_25", "shufflenet_v2_x0_5"]
    with ThreadPoolExecutor(1) as executor:
        rows = [row for done in sweep(names, FORMATS, executor, size=64, folder=tmp_path) for row in done]
    assert {(row.network, row.format) for row in rows} == {(name, f) for name in names for f in FORMATS}
    assert [(row.network, row.format, row.reason) for row in rows if not row.ok] == []
    assert [row.notes for row in rows if row.notes] == []
    assert len(list(tmp_path.glob("*.tflite"))) == len(names) * sum(not f.startswith("onnx") for f in FORMATS)
