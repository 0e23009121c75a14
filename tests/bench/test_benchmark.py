"""The whole path from files to a report, in Python."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from keras_cnnzoo import InputError
from keras_cnnzoo.mobile_bench import Report, bench, benchmark, compare, session, targets
from keras_cnnzoo.mobile_bench.bench import Interrupted
from keras_cnnzoo.mobile_bench.events import Block, Event
from keras_cnnzoo.mobile_bench.journal import Journal
from keras_cnnzoo.mobile_bench.result import _energy
from keras_cnnzoo.mobile_bench.taken import Taken


class Gone:
    """A target that is switched off."""

    address = "ssh://nobody@nowhere"

    def measure(self, order: object) -> None:
        raise InputError("nowhere does not answer")


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


def test_a_target_is_not_asked_for_what_a_journal_holds(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "journal.jsonl"
    whole = benchmark([model], runs=20, journal=journal)
    monkeypatch.setattr(targets, "target", lambda address, settings: Gone())
    again = benchmark([model], runs=20, journal=journal).measurements[0]
    assert (again.failure, again.summary) == (None, whole.measurements[0].summary)


def test_a_disk_that_is_full_is_named_and_what_was_measured_is_in_the_report(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Journal.add

    def add(journal: Journal, target: int, event: Event) -> None:
        if isinstance(event, Block) and event.round == 3:
            journal.file = Path("/dev/full").open("w")  # noqa: SIM115  the journal closes it
        write(journal, target, event)

    monkeypatch.setattr(Journal, "add", add)
    (measured,) = benchmark([model], runs=20, journal=tmp_path / "journal.jsonl").measurements
    assert measured.samples.numbers == (0, 1, 2, 3)
    assert (measured.failure or "").startswith(f"{tmp_path}/journal.jsonl: it cannot be written any more (No space")


def test_what_was_measured_before_an_interrupt_is_in_its_report(model: Path) -> None:
    def stop(done: float, total: float) -> None:
        if done > 5:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as interrupt:
        benchmark([model], runs=40, watch=stop)
    (measured,) = interrupt.value.report.measurements
    assert 0 < sum(map(len, measured.samples.durations_ns)) < 40
    assert measured.failure == "it was interrupted"
    assert str(interrupt.value) == ""  # who catches it says whether that report is shown
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


def test_an_accuracy_that_failed_is_a_failure_and_one_that_nobody_asked_for_is_told(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise InputError("no card")

    np.savez(tmp_path / "a.npz", images=np.zeros((1, 8, 8, 3), np.uint8), labels=[0])
    monkeypatch.setattr(bench, "accuracy", refuse)
    monkeypatch.setattr(bench, "_runners_for", lambda path, runners: ["litert", "micro"])
    monkeypatch.setattr(session, "probe", lambda configuration, seed: ({}, {"timed": configuration.runner != "micro"}))
    monkeypatch.setattr(session, "check", lambda configuration: None)
    report = benchmark([model], runs=5, data=tmp_path / "a.npz")
    assert [m.failure for m in report.measurements] == ["no card"]
    assert "no card" not in report.warnings
    assert any("(micro, 1 thread): it has no accuracy either" in warning for warning in report.warnings)


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


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"runs": 0}, "give at least 1"),
        ({"runs": 10**12}, "10{12} runs in blocks of 20 calls are more than 1,000,000 rounds; give at most 17,000,000"),
        ({"seconds": 1_080_000.0}, r"budget of 1.08e\+06 s .* give more than 0 and less than 1,000,000"),
        ({"block": 3}, "give at least 4"),
        ({"threads": ()}, "give at least 1"),
        ({"threads": (1, 0)}, "give at least 1"),
        ({"seed": -1}, "give 0 or more"),
        ({"images": 5}, "--images 5: they are pictures of --data"),
    ],
)
def test_values_out_of_range_are_refused_before_any_file_is_read(wrong: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        benchmark(["absent.tflite"], **wrong)


@pytest.mark.parametrize(
    ("settings", "target", "sentence"),
    [
        (
            {"remote_python": "p"},
            "local",
            "--remote-python: no target of local has a use for it; leave it out, or give",
        ),
        ({"install": True}, "local", "--install: no target of local"),
        ({"ssh_config": "c"}, "adb://a", "--ssh-config: no target of adb://a"),
        ({"benchmark_model": "b"}, "ssh://b", "--benchmark-model: no target of ssh://b .* give a --target adb://"),
        ({"benchmark_model": "b", "remote_python": "p"}, "adb://a", "--remote-python: --benchmark-model does without"),
    ],
)
def test_what_no_target_has_a_use_for_is_refused(
    model: Path, settings: dict, target: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "target", lambda address, settings: Gone())
    with pytest.raises(InputError, match=sentence):
        benchmark([model], targets=[target], connection=targets.Settings(**settings))


def test_no_file_is_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        benchmark([])


def test_the_energy_of_a_configuration_is_the_median_of_its_blocks() -> None:
    one = np.ones(1, np.int64)
    told = Taken(blocks={0: {n: Block(0, n, one, one, joules) for n, joules in enumerate((1.0, None, 9.0, 2.0))}})
    assert _energy(told, 0) == 2
    assert _energy(Taken(blocks={0: {0: Block(0, 0, one, one)}}), 0) is None
