"""`cnnzoo-export lower`, its lint and the accuracy gate."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from typer.testing import CliRunner

from keras_cnnzoo import InputError
from keras_cnnzoo.export.calibration import Calibration
from keras_cnnzoo.export.cli import app
from keras_cnnzoo.export.emit import emit
from keras_cnnzoo.export.graph import Graph, from_keras
from keras_cnnzoo.export.lowering import lower
from keras_cnnzoo.export.lowering.accuracy import Accuracy, AccuracyGate, sqnr
from keras_cnnzoo.export.lowering.guard import lower_under
from keras_cnnzoo.export.lowering.lint import beyond_graph, layer_of, lint
from keras_cnnzoo.export.lowering.passes import PASSES, Pass
from keras_cnnzoo.export.schemes import Quantization
from keras_cnnzoo.export.tflite import emitted

SHUFFLENET = ["shufflenet_v1", "--set", "input_shape=32,32,3", "--set", "small_input=true", "--weights", "random"]


def run(*arguments: str, expect: int = 0) -> Any:
    result = CliRunner().invoke(app, ["lower", *arguments])
    if isinstance(result.exception, InputError):
        assert expect == 2
        return str(result.exception)
    assert result.exit_code == expect, result.output
    return result.output


@pytest.fixture(scope="module")
def explained() -> dict[str, Any]:
    return json.loads(run(*SHUFFLENET, "--quantize", "int8", "--json", "--quiet"))


def test_an_int8_shufflenet_becomes_one_partition(explained: dict[str, Any]) -> None:
    before, after = explained["partitions"]
    assert before > 3
    assert after == 1
    assert explained["lint"] == []
    assert "RELU" in explained["operators"][0]
    assert "RELU" not in explained["operators"][1]


@pytest.mark.parametrize(
    ("machine", "least"),
    [((), 1.1), (("--costs-of", "x86_64 AMX"), 1.1), (("--costs-of", "x86_64 AVX512-VNNI"), 1.2)],
    ids=str,
)
def test_the_expected_gain_is_that_of_the_machine_s_costs(machine: tuple[str, ...], least: float) -> None:
    """The Zen 4's passes were measured one after the other, the Xeon's each beside all others, which shows less."""
    found = json.loads(run(*SHUFFLENET, "--quantize", "int8", "--json", "--quiet", *machine))
    assert found["expected_gain"] > least


def test_each_pass_says_what_it_did_or_why_not(explained: dict[str, Any]) -> None:
    steps = {step["name"]: step for step in explained["steps"]}
    assert steps["relu-to-producers"]["outcome"] == "did"
    assert "features_stage1_unit1_activ" in steps["relu-to-producers"]["nodes"]
    assert steps["channel-order"]["outcome"] == "declined"
    assert any("no plain convolution" in reason for _, reason in steps["channel-order"]["left"])


def test_the_lowered_network_is_written_as_a_keras_file(tmp_path: Path) -> None:
    path = tmp_path / "lowered.keras"
    text = run(*SHUFFLENET, "--explain", "--quiet", "-o", str(path))
    assert "late-shuffle: changed" in text
    assert keras.saving.load_model(path).input_shape == (None, 32, 32, 3)
    assert "exists" in run(*SHUFFLENET, "-o", str(path), expect=2)


@pytest.mark.parametrize("scheme", ["int16", "int4"])
def test_what_lowering_makes_of_other_integers_is_told_too(scheme: str) -> None:
    found = json.loads(run("resnet20", "--weights", "random", "--quantize", scheme, "--json", "--quiet"))
    assert found["operators"][1]["CONV_2D"] == 21


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--lower", "faster"], "choose auto, none"),
        (["--costs-of", "abacus"], "known are"),
        (["-o", "lowered.h5"], "is a .keras file"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], says: str) -> None:
    assert says in run(*SHUFFLENET, *arguments, expect=2)


def test_a_network_of_two_inputs_is_refused_in_a_sentence(tmp_path: Path) -> None:
    inputs = [keras.Input((8, 8, 3)) for _ in range(2)]
    model = keras.Model(inputs, layers.Add()([layers.Conv2D(2, 1)(x) for x in inputs]))
    model.save(tmp_path / "two.keras")
    for scheme in ("float32", "int8"):
        assert "has 2 inputs" in run(str(tmp_path / "two.keras"), "--quantize", scheme, expect=2)


def test_a_ratio_to_no_signal_is_minus_infinity() -> None:
    silent = np.zeros((2, 3), np.float32)
    assert sqnr(silent, silent) == np.inf
    assert sqnr(silent, silent + 1) == -np.inf


def model_of(function: Any) -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 6), name="image")
    return keras.Model(image, function(image))


def test_lint_names_the_layer_behind_each_operator_that_costs() -> None:
    def network(x: Any) -> Any:
        parts = [layers.Conv2D(2, 1, name=f"conv{i}")(x) for i in range(6)]
        y = layers.ReLU(name="lonely")(layers.Concatenate(name="wide")(parts))
        return layers.MaxPooling2D(1, 2, name="skip")(y)

    model = model_of(network)
    graph = from_keras(model)
    plain = lint(emit(lower(graph, PASSES[:5])), graph.nodes)
    found = {(f.operator, f.layer): f for f in plain.findings}
    assert found["CONCATENATION", "wide"].splits
    assert ("RELU", "lonely") in found
    assert found["MAX_POOL_2D", "skip"].splits
    clean = lint(emit(lower(graph, PASSES)), graph.nodes)
    assert clean.findings == ()
    assert clean.partitions == 1


def test_a_tensor_belongs_to_the_longest_layer_name_that_begins_it() -> None:
    assert layer_of("block/conv/0/relu", {"block", "block/conv"}) == "block/conv"
    assert layer_of("stage2_split:1/joined", {"stage2_split"}) == "stage2_split"
    assert layer_of("elsewhere", {"conv"}) == "elsewhere"


def test_what_a_file_has_beyond_the_graph_is_counted() -> None:
    graph = lower(from_keras(model_of(layers.Conv2D(4, 1, activation="relu"))))
    assert beyond_graph(emit(graph), graph) == {}
    other = lower(from_keras(model_of(lambda x: layers.MaxPooling2D(2)(layers.Conv2D(4, 1)(x)))))
    assert beyond_graph(emit(other), graph) == {"MAX_POOL_2D": 1}


def coarse(graph: Graph, declined: Any) -> Graph:
    """Exact in float, ruinous in int8: a kernel of a hundredth, a bias and scale of a hundred behind it."""
    (conv,) = (n for n in graph.nodes.values() if n.op == "Conv2D")
    kernel, bias = conv.weights
    wide = np.concatenate([kernel, kernel], -1)
    wide[..., conv.shape[-1] :] *= 1000
    config = conv.config | {"filters": 2 * conv.shape[-1]}
    big = replace(
        conv,
        name="wide",
        config=config,
        weights=(wide, np.concatenate([bias, 1000 * bias])),
        shapes=((*conv.shape[:2], 2 * conv.shape[-1]),),
    )
    half = np.eye(2 * conv.shape[-1], conv.shape[-1], dtype=np.float32)[None, None]
    down = replace(conv, config=conv.config | {"kernel_size": (1, 1)}, inputs=("wide",), weights=(half, 0 * bias))
    return graph.splice(conv.name, big, down)


@pytest.fixture(scope="module")
def classifier(some_images: np.ndarray) -> tuple[keras.Model, np.ndarray]:
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3), name="image")
    x = layers.Conv2D(8, 3, name="conv")(layers.ReLU()(image))
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    return keras.Model(image, layers.Dense(4)(x)), some_images


@pytest.mark.parametrize("labelled", [False, True])
def test_a_pass_that_costs_int8_accuracy_is_declined_and_one_that_does_not_stays(
    classifier: tuple[keras.Model, np.ndarray], labelled: bool
) -> None:
    model, images = classifier
    expected = np.asarray(model(images))
    accuracy = Accuracy(images, expected.argmax(-1) if labelled else None, 1.0)
    data = Calibration(images[:8], "test")
    gate = AccuracyGate(accuracy, expected, lambda graph: emitted(graph, Quantization("int8", corrections=()), data))
    ruinous = Pass("coarse", coarse, "to be declined")
    harmless = next(p for p in PASSES if p.name == "relu-by-depthwise")
    lowered = lower_under(from_keras(model), (*PASSES[:5], ruinous, harmless), gate=gate)
    declined, kept = lowered.steps[-2:]
    assert declined.outcome == "declined"
    assert ("top-1" if labelled else "dB") in (declined.fault or "")
    assert "wide" not in lowered.graph.nodes
    assert (kept.name, kept.outcome) == (harmless.name, "did")
