"""A machine's cost table, from the ratios that were measured."""

import datetime
import json
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from keras_cnnzoo import InputError
from keras_cnnzoo.app import costs
from keras_cnnzoo.app.costs import gains_of, measured, section
from keras_cnnzoo.mobile_bench import Estimate


def test_of_two_passes_that_may_do_the_same_the_first_has_the_step_and_neither_a_gain() -> None:
    gains = {"early-pool": (1.01, 1.0, 1.02), "average-pool": (1.02, 1.01, 1.03)}
    ratios = {f"without_{name}": gain for name, gain in gains.items()}
    ratios |= {"upto_nothing": (2.2, 2.1, 2.3), "upto_early-pool": (1.1, 1.0, 1.2), "with_wide-pixels": (0.8, 0.5, 1.0)}
    found = {gain.name: gain for gain in gains_of("net", "int8", ratios)}
    assert (found["early-pool"].value, found["early-pool"].step) == (1.01, pytest.approx(2.0))
    assert (found["average-pool"].value, found["average-pool"].step) == (1.02, pytest.approx(1.1))
    assert (found["wide-pixels"].value, found["wide-pixels"].low, found["wide-pixels"].high) == (1.25, 1.0, 2.0)
    table = tomllib.loads(section(list(found.values()), "2026-01-02"))
    (machine,) = table.values()
    assert machine["int8"]["early-pool"]["step"] == 2.0
    assert "step" not in machine["int8"]["wide-pixels"]
    assert table.popitem()[1]["measured"] == datetime.date(2026, 1, 2)


def test_a_file_that_could_not_be_made_costs_its_pass_the_gain_and_its_neighbours_the_step() -> None:
    ratios = {f"without_{name}": (1.1, 1.0, 1.2) for name in ("early-pool", "average-pool", "pool-padding")}
    ratios |= {"upto_nothing": (2.0, 2.0, 2.0), "upto_early-pool": (1.6, 1.6, 1.6)}
    found = {gain.name: gain.step for gain in gains_of("net", "int8", ratios)}
    assert found == {"early-pool": pytest.approx(1.25), "average-pool": None, "pool-padding": None}
    ratios = {"without_early-pool": (1.1, 1.0, 1.2), "upto_nothing": (2.0, 2.0, 2.0)}
    ratios |= {"upto_early-pool": (1.6, 1.6, 1.6), "upto_average-pool": (1.2, 1.2, 1.2)}
    assert {gain.name: gain.step for gain in gains_of("net", "int8", ratios)} == {"early-pool": pytest.approx(1.25)}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """In place of the bench: counts its calls, and may fail at a file."""
    here = SimpleNamespace(calls=0, unmeasured=[], machine="a board, 4 cores")

    def benchmark(paths: list[Path], **settings: Any) -> SimpleNamespace:
        here.calls += 1
        measurements = [
            SimpleNamespace(ratio=Estimate(1.5, 1.4, 1.6) if index else None) for index in range(len(paths))
        ]
        return SimpleNamespace(
            measurements=measurements[: len(paths) - len(here.unmeasured)], unmeasured=here.unmeasured
        )

    monkeypatch.setattr(costs, "benchmark", benchmark)
    monkeypatch.setattr(costs, "_machine", lambda: here.machine)
    return here


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for which in ("without_nothing", "without_early-pool", "upto_nothing"):
        (tmp_path / f"net_int8_{which}.tflite").touch()
    return tmp_path


def test_kept_figures_keep_their_day_and_are_those_of_this_machine_alone(bench: SimpleNamespace, files: Path) -> None:
    first = measured("net", "int8", files, 1)
    kept = files / "net_int8.json"
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"measured": "2026-01-02"}))
    again = measured("net", "int8", files, 1)
    assert (bench.calls, again.measured, again.machine) == (1, "2026-01-02", "a board, 4 cores")
    assert gains_of("net", "int8", again.ratios) == gains_of("net", "int8", first.ratios)
    bench.machine = "another, 8 cores"
    assert measured("net", "int8", files, 1).machine == "another, 8 cores"
    kept.write_text(json.dumps(first.ratios))  # which does not say where
    measured("net", "int8", files, 1)
    assert bench.calls == 3


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"seconds": 0.0}, "--seconds 0: no time to measure a file in"),
        ({"files": Path(__file__)}, r"test_costs\.py cannot be written to; choose another folder"),
        ({"prepare": True}, "name their place by --files FOLDER"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_a_file_is_built(
    asked: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Any] = []
    monkeypatch.setattr(costs, "build", lambda *file: built.append(file))
    asked = {"output": None, "files": None, "prepare": False, "only": "net", "seconds": 1.0, "force": False} | asked
    with pytest.raises(InputError, match=said):
        costs.main(**asked)
    assert not built


def test_a_file_that_is_not_measured_is_named_and_nothing_is_kept(bench: SimpleNamespace, files: Path) -> None:
    bench.unmeasured = [SimpleNamespace(label="net_int8_upto_nothing.tflite", reason="out of memory")]
    with pytest.raises(InputError, match=r"upto_nothing\.tflite: not measured \(out of memory\)"):
        measured("net", "int8", files, 1)
    assert not (files / "net_int8.json").exists()
