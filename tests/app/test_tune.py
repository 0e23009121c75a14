"""`cnnzoo tune`: which passes a search tries, keeps and tells of."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from typer.testing import CliRunner

from keras_cnnzoo import InputError
from keras_cnnzoo.app import tune
from keras_cnnzoo.app.tune import tune_model
from keras_cnnzoo.cli import app
from keras_cnnzoo.export import Card
from keras_cnnzoo.export.graph import Graph, Node
from keras_cnnzoo.export.lowering.passes import PASSES, Pass
from keras_cnnzoo.mobile_bench import Estimate


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """Three passes of choice have something to do."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 6), name="image")
    x = layers.Conv2D(4, 1)(layers.ReLU()(layers.ZeroPadding2D(1)(image)))
    return keras.Model(image, layers.AveragePooling2D(2)(x))


def by_name(speeds: dict[str, float], width: float = 0.0) -> tune.Measure:
    """Files are as fast as their passes say, and the interval is as wide."""

    def cost(path: Path) -> float:
        return float(np.prod([factor for name, factor in speeds.items() if name in path.stem]))

    def measure(paths: Sequence[Path]) -> list[Estimate]:
        ratios = [cost(path) / cost(paths[0]) for path in paths]
        return [Estimate(ratio, ratio - width, ratio + width) for ratio in ratios]

    return measure


def added(monkeypatch: pytest.MonkeyPatch, run: Callable[[Graph, Any], Graph]) -> None:
    """One more pass of choice, "added", behind the others."""
    passes = (*PASSES, Pass("added", run, "for a test"))
    monkeypatch.setattr(tune, "PASSES", passes)
    monkeypatch.setattr(tune, "NAMES", tuple(p.name for p in passes if not p.canonical))


def only(graph: Graph, op: str) -> Node:
    (node,) = (node for node in graph.nodes.values() if node.op == op)
    return node


def test_tuning_drops_what_is_surely_slower_and_keeps_what_is_surely_faster(model: keras.Model) -> None:
    speeds = {"early-pool": 0.5, "average-pool": 1.3, "relu-by-depthwise": 0.98}
    found = tune_model(model, budget=1e6, scheme="int8", measure=by_name(speeds, 0.05))
    assert found.passes == ("early-pool", "relu-by-depthwise")  # 2 % faster, within the interval, stays as it is
    assert (found.ratio, found.low, found.high) == pytest.approx((0.49, 0.44, 0.54))
    assert found.complete
    assert len({trial.passes for trial in found.trials}) == len(found.trials)


def test_what_two_interpreters_of_one_network_differ_by_is_no_gain(model: keras.Model) -> None:
    found = tune_model(model, budget=1e6, measure=lambda paths: [Estimate(1, 1, 1), Estimate(0.994, 0.993, 0.995)])
    assert found.trials
    assert not any(trial.kept for trial in found.trials)
    assert found.passes == ()
    assert found.ratio == 1


def test_rounds_too_few_for_an_interval_decide_nothing_and_are_valid_json(model: keras.Model) -> None:
    found = tune_model(model, budget=1e6, measure=lambda paths: [Estimate(1, 1, 1), Estimate(0.1, None, None)])
    assert found.passes == ()
    written = json.dumps(found.to_dict(), allow_nan=False)
    assert json.loads(written)["trials"][0]["high"] is None


def test_combinations_that_come_to_the_same_file_are_measured_once(
    model: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def renew(graph: Graph, declined: Any) -> Graph:
        conv = only(graph, "Conv2D")
        return graph.splice(conv.name, replace(conv, config=conv.config | {"name": "in no file"}))

    added(monkeypatch, renew)
    contents: list[bytes] = []

    def measure(paths: Sequence[Path]) -> list[Estimate]:
        contents.append(paths[1].read_bytes())
        return [Estimate(1, 1, 1), Estimate(1.5, 1.5, 1.5)]

    found = tune_model(model, budget=1e6, measure=measure)
    assert len(set(contents)) == len(contents) == len(found.trials) > 3
    assert ("added",) not in {trial.passes for trial in found.trials}


def test_a_pass_whose_pattern_an_earlier_one_consumes_is_tried_without_that(
    model: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pool_twice(graph: Graph, declined: Any) -> Graph:
        pools = [node for node in graph.nodes.values() if node.op == "AveragePooling2D"]
        if not pools:
            return graph
        config = pools[0].config | {"pool_size": (1, 1), "strides": (1, 1)}
        shapes = graph.producer(pools[0].inputs[0]).shapes
        first = replace(pools[0], name="first", config=config, shapes=shapes)
        return graph.splice(pools[0].name, first, replace(pools[0], inputs=("first",)))

    added(monkeypatch, pool_twice)  # average-pool leaves no pool
    found = tune_model(model, budget=1e6, measure=by_name({"average-pool": 2.0, "added": 0.5}))
    assert found.passes == ("added",)


def test_an_int8_combination_that_answers_worse_takes_no_part(
    model: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def far_from_zero(graph: Graph, declined: Any) -> Graph:
        """Exact in float; in int8 the range is a hundred times that of the answers."""
        conv = only(graph, "Conv2D")
        kernel, bias = conv.weights
        there = replace(conv, name="there", weights=(kernel, bias + 100))
        back = replace(conv, inputs=("there",), weights=(np.eye(4, dtype=np.float32)[None, None], bias * 0 - 100))
        return graph.splice(conv.name, there, back)

    added(monkeypatch, far_from_zero)
    measure = by_name({"added": 0.1})
    int8, float32 = (tune_model(model, budget=1e6, scheme=s, measure=measure) for s in ("int8", "float32"))
    assert not any("added" in trial.passes for trial in int8.trials)
    assert "dB" in int8.undone["added"]
    assert "added" in float32.passes
    assert float32.undone == {}


def test_tuning_stops_when_it_has_measured_for_its_budget(model: keras.Model) -> None:
    told: list[float] = []

    def measure(paths: Sequence[Path]) -> list[Estimate]:
        time.sleep(0.02)
        return [Estimate(1, 1, 1)] * len(paths)

    found = tune_model(model, budget=0.01, measure=measure, step=told.append)
    assert not found.complete
    assert found.passes == ()
    assert len(found.trials) == len(told) == 1


@pytest.mark.parametrize("scheme", ["float32", "int8"])
def test_a_network_of_two_inputs_is_refused_before_it_is_measured(scheme: Any) -> None:
    images = [keras.Input((8, 8, 3)), keras.Input((8, 8, 3))]
    model = keras.Model(images, layers.ReLU()(layers.Add()(images)), name="two")
    with pytest.raises(InputError, match="two has 2 inputs; networks of one are tuned"):
        tune_model(model, budget=1e6, scheme=scheme, measure=by_name({}))


def test_a_budget_that_is_no_time_is_refused_before_any_work() -> None:
    result = CliRunner().invoke(app, ["tune", "no-such-network", "--budget", "0s"])
    assert "--budget 0s: this is no time" in str(result.exception)


@pytest.fixture(scope="module")
def saved(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "small.keras"
    model.save(path)
    return path


def test_tune_measures_on_this_machine(saved: Path) -> None:
    result = CliRunner().invoke(app, ["tune", str(saved), "--budget", "1s", "--json", "--quiet"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["trials"]
    assert all(trial["low"] <= trial["ratio"] <= trial["high"] for trial in found["trials"])


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command measures nothing: early-pool doubles the speed."""
    monkeypatch.setattr(tune, "measuring", lambda *where, **how: by_name({"early-pool": 0.5}, 0.1))


@pytest.mark.parametrize("scheme", ["float32", "int8"])
@pytest.mark.usefixtures("measured")
def test_the_fastest_file_is_kept_with_its_card_where_it_is_asked_for(saved: Path, tmp_path: Path, scheme: str) -> None:
    path = tmp_path / "fastest.tflite"
    line = ["tune", str(saved), "--quantize", scheme, "-o", str(path), "--quiet"]
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 0, result.output
    card = Card.read(path.with_suffix(".tflite.json"))
    assert "early-pool" in card.conversion["lowering"]
    assert card.quantization["scheme"] == scheme
    again = CliRunner().invoke(app, line)
    assert "exists already" in str(again.exception)
    assert CliRunner().invoke(app, [*line, "--force"]).exit_code == 0


@pytest.mark.usefixtures("measured")
def test_a_name_under_which_no_file_can_be_kept_is_refused_before_any_work(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["tune", "no-such-network", "-o", str(tmp_path / "fastest.onnx")])
    assert "ends in .tflite" in str(result.exception)


@pytest.mark.usefixtures("measured")
def test_the_verdict_tells_its_interval_and_what_took_no_part(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(graph: Graph, declined: Any) -> Graph:
        conv = only(graph, "Conv2D")
        return graph.splice(conv.name, replace(conv, weights=(conv.weights[0] * 2, conv.weights[1])))

    added(monkeypatch, wrong)
    result = CliRunner().invoke(app, ["tune", str(saved), "--quiet"])
    assert result.exit_code == 0, result.output
    assert "2.00 times as fast as none (1.67 to 2.50)" in result.stdout
    assert "took no part: added: outputs differ by" in result.stdout
