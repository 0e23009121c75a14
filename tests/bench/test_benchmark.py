"""The whole path from files to a report, in Python."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from keras_cnnzoo import InputError
from keras_cnnzoo.mobile_bench import Report, bench, benchmark, compare, targets
from keras_cnnzoo.mobile_bench.bench import Interrupted


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
    told: list[tuple[float, float]] = []
    benchmark([model], runs=12, watch=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == list(range(1, told[-1][1] + 1))


def test_more_threads_than_cores_are_warned_of(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0})
    report = benchmark([model], threads=(1, 2), runs=4)
    assert report.warnings[0].startswith("2 threads on 1 cores")


def test_a_measurement_that_was_interrupted_goes_on_and_loses_nothing(model: Path, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"

    def stop(done: float, total: float) -> None:
        if done > 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        benchmark([model], runs=40, journal=journal, watch=stop)
    before = journal.read_text()
    assert 0 < before.count('"block"') < 10
    journal.write_text(before + '0\t{"event": "blo')  # torn by a kill
    report = benchmark([model], runs=40, journal=journal)
    assert journal.read_text().startswith(before)
    assert sum(map(len, report.measurements[0].samples.durations_ns)) == 40
    assert benchmark([model], runs=40, journal=journal).measurements[0].summary == report.measurements[0].summary
    with pytest.raises(InputError, match="of another measurement"):
        benchmark([model], runs=41, journal=journal)


def test_what_was_measured_before_an_interrupt_is_in_its_report(model: Path) -> None:
    def stop(done: float, total: float) -> None:
        if done > 5:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as interrupt:
        benchmark([model], runs=40, watch=stop)
    (measured,) = interrupt.value.report.measurements
    assert 0 < sum(map(len, measured.samples.durations_ns)) < 40
    assert measured.failure == "it was interrupted"
    with pytest.raises(KeyboardInterrupt) as plain:
        benchmark([model], runs=40, watch=lambda done, total: stop(9, total))
    assert not isinstance(plain.value, Interrupted)


def test_pictures_that_are_not_there_are_named_before_anything_is_measured(model: Path, tmp_path: Path) -> None:
    told: list[float] = []
    with pytest.raises(InputError, match="expected a folder of pictures"):
        benchmark([model], data=tmp_path / "photos", watch=lambda done, total: told.append(done))
    assert not told


def test_what_was_not_measured_is_asked_for_no_pictures(
    model: Path, make_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((1, 8, 8, 3), np.uint8), labels=[0])
    asked = []
    monkeypatch.setattr(bench, "accuracy", lambda configuration, *rest: asked.append(configuration.artifact))
    benchmark([model, make_model("crash.tflite", middle="SPLIT")], runs=5, threads=(1, 2), data=tmp_path / "a.npz")
    assert asked == [model]


def test_a_browser_is_not_looked_for_on_a_board(model: Path) -> None:
    with pytest.raises(
        InputError, match="--runner web: it needs this machine's browser; leave it out, or --target ssh"
    ):
        benchmark([model], runners=["litert", "web"], targets=["local", "ssh://pi@board"])


def test_a_budget_is_spent_on_rounds(model: Path, larger_model: Path) -> None:
    report = benchmark([model, larger_model], seconds=0.5)
    assert min(len(m.samples.numbers) for m in report.measurements) >= 8
    assert report.measurements[1].ratio is not None


def test_a_target_that_cannot_be_reached_is_a_row(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        address = "ssh://nobody@nowhere"

        def measure(self, order: object) -> None:
            raise InputError("nowhere does not answer")

    real = targets.target
    monkeypatch.setattr(targets, "target", lambda address, settings: Gone() if "ssh" in address else real(address))
    report = benchmark([model], runs=5, targets=("local", "ssh://nobody@nowhere"))
    assert len(report.measurements) == 1
    assert [entry.reason for entry in report.unmeasured] == ["nowhere does not answer"]


def test_the_time_of_each_operator_is_taken_where_it_is_asked_for(model: Path) -> None:
    (measurement,) = benchmark([model], runs=5, profile=True).measurements
    assert len(measurement.layers) >= 3
    assert sum(layer.microseconds for layer in measurement.layers) > 0
    assert any("Conv" in layer.type for layer in measurement.layers)
    report = benchmark([model], runs=5, profile=True, options={"xnnpack": [False]})
    assert any("no profile by operator: LiteRT's profiler is reached with XNNPACK only" in w for w in report.warnings)


@pytest.mark.parametrize("wrong", [{"runs": 0}, {"block": 3}, {"threads": ()}, {"threads": (1, 0)}, {"seed": -1}])
def test_values_out_of_range_are_refused_before_any_file_is_read(wrong: dict) -> None:
    with pytest.raises(InputError, match="give"):
        benchmark(["absent.tflite"], **wrong)


def test_no_file_is_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        benchmark([])
