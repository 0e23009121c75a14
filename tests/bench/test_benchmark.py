"""The whole path from files to a report, in Python."""

import dataclasses
from pathlib import Path

import pytest

from keras_cnnzoo import InputError
from keras_cnnzoo.mobile_bench import Report, benchmark, compare


@pytest.fixture(scope="module")
def report(model: Path, larger_model: Path) -> Report:
    return benchmark([model, larger_model], threads=(1, 2), runs=60)


def test_each_file_is_measured_at_each_thread_count(report: Report, model: Path, larger_model: Path) -> None:
    expected = [(path, threads) for path in (model, larger_model) for threads in (1, 2)]
    assert [(m.artifact.path, m.threads) for m in report.measurements] == expected
    for measurement in report.measurements:
        assert sum(len(block) for block in measurement.samples.durations_ns) == 60


def test_each_is_compared_with_the_first_file_at_its_own_thread_count(report: Report) -> None:
    first, first_2, other, other_2 = report.measurements
    assert first.ratio is None
    assert first_2.ratio is None
    for measurement, reference in ((other, first), (other_2, first_2)):
        assert measurement.ratio == compare(measurement.samples.rounds, reference.samples.rounds)


def test_a_report_is_a_value_that_cannot_be_changed(report: Report) -> None:
    for value in (report, report.measurements[0], report.measurements[0].probe, report.environment):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, dataclasses.fields(value)[0].name, None)


def test_progress_is_told_to_the_end(model: Path) -> None:
    told: list[tuple[int, int]] = []
    benchmark([model], runs=12, watch=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == list(range(1, told[-1][1] + 1))


def test_more_threads_than_cores_are_warned_of(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0})
    report = benchmark([model], threads=(1, 2), runs=4)
    assert report.warnings[0].startswith("2 threads on 1 cores")


@pytest.mark.parametrize("wrong", [{"runs": 0}, {"block": 3}, {"threads": ()}, {"threads": (1, 0)}, {"seed": -1}])
def test_values_out_of_range_are_refused_before_any_file_is_read(wrong: dict) -> None:
    with pytest.raises(InputError, match="give"):
        benchmark(["absent.tflite"], **wrong)


def test_no_file_is_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        benchmark([])
