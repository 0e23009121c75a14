"""What the scripts of benchmarks/ keep, skip and compare; none of them measures here."""

import json
import subprocess
import sys
import zipfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from keras_cnnzoo import InputError
from keras_cnnzoo.weights.bundled import all_bundled

ROOT = Path(__file__).resolve().parents[1]
Load = Callable[[str], ModuleType]
CIFAR10 = {("resnet20", "CIFAR-10"), ("resnet56", "CIFAR-10")}


@pytest.fixture
def load(script: Load, monkeypatch: pytest.MonkeyPatch) -> Load:
    """A script by its name, which finds its neighbours as when it is run."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return lambda name: script(f"benchmarks/{name}.py")


@pytest.fixture
def conversion(load: Load) -> ModuleType:
    return load("conversion")


def test_a_conversion_of_another_version_or_by_other_costs_is_none_and_its_figures_go(
    conversion: ModuleType, tmp_path: Path
) -> None:
    facts, figures = tmp_path / "net_facts.json", tmp_path / "net_int8.json"
    assert conversion.kept_facts(facts, None) is None
    figures.touch()
    conversion.keep_facts(facts, "x86_64 AMX", {"int8": {}}, [figures])
    assert not figures.exists()
    for costs_of in ("x86_64 AMX", None):
        assert conversion.kept_facts(facts, costs_of)["int8"] == {}
    assert conversion.kept_facts(facts, "aarch64 NEON") is None
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"cnnzoo": "0.0.1"}))
    assert conversion.kept_facts(facts, "x86_64 AMX") is None
    facts.write_text(json.dumps({"int8": {}}))  # as they were kept before
    assert conversion.kept_facts(facts, None) is None


@pytest.mark.parametrize(("code", "stays"), [(1, True), (-9, False)], ids=["failed", "killed"])
def test_a_failed_conversion_is_a_fact_and_a_killed_one_is_tried_again(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int, stays: bool
) -> None:
    lowering = load("lowering")
    done = subprocess.CompletedProcess([], code, "", "Traceback\nValueError: no rule")
    monkeypatch.setattr(lowering, "apart", lambda *called: done)
    lowering._converted("net", tmp_path, None)
    cells, place = lowering._row(tmp_path, "net", "int8", 1)
    assert cells[0] == ("ValueError: no rule" if stays else "killed by signal 9")
    assert place == ""
    assert (lowering.kept_facts(tmp_path / "net_facts.json", None) is not None) is stays


def test_kept_figures_say_where_and_when_they_were_measured(conversion: ModuleType, tmp_path: Path) -> None:
    kept = tmp_path / "net_int8.json"
    kept.write_text(json.dumps({"speeds": [[1.2, 1.1, 1.3]], "where": "a board, 2026-01-02"}))
    assert conversion.speeds(kept, [], [1], 1)["where"] == "a board, 2026-01-02"


def test_a_kill_while_facts_are_kept_leaves_those_that_were_there(
    conversion: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def killed(*paths: Path) -> None:
        raise KeyboardInterrupt

    facts = tmp_path / "net_facts.json"
    conversion.keep_facts(facts, None, {"int8": {}}, [])
    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        conversion.keep_facts(facts, None, {"int8": {"sqnr": 1}}, [])
    assert conversion.kept_facts(facts, None)["int8"] == {}


def test_of_files_that_are_not_measured_nothing_is_kept(
    conversion: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    report = SimpleNamespace(unmeasured=[SimpleNamespace(label="plain.tflite", reason="out of memory")])
    monkeypatch.setattr("keras_cnnzoo.mobile_bench.benchmark", lambda files, **settings: report)
    with pytest.raises(SystemExit, match=r"plain\.tflite: not measured \(out of memory\)"):
        conversion.speeds(tmp_path / "net_int8.json", [], [1], 1)
    assert not list(tmp_path.iterdir())


def test_the_comparison_with_arm64_wants_files(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["arm64.py"])
    with pytest.raises(SystemExit, match=r"usage: .* FILE\.tflite"):
        load("arm64").main()


def test_tensorflow_s_own_int8_file_reads_and_returns_integers(conversion: ModuleType) -> None:
    import keras
    import tensorflow as tf

    from keras_cnnzoo.export.interpreter import LiteRT

    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(image)))
    images = conversion.blurred_noise(4, (8, 8, 3))
    conversion.settle(model, images)
    assert np.asarray(model(images)).std() == pytest.approx(1, abs=0.1)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    file = LiteRT(conversion.plain(converter, "int8", images))
    assert [file.input["dtype"], file.outputs[0]["dtype"]] == [np.int8, np.int8]


def test_a_function_of_a_script_runs_in_a_process_of_its_own(conversion: ModuleType) -> None:
    assert conversion.apart("conversion", "where").returncode == 0
    assert "AttributeError" in conversion.apart("conversion", "nowhere", "a", None).stderr


def test_exports_that_fail_alike_alone_and_at_once_are_not_the_same(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scale = load("scale")
    monkeypatch.setattr(scale, "prepare", lambda folder: None)
    monkeypatch.setattr(scale, "FORMS", {"int8": ((), ".tflite")})
    monkeypatch.setattr(scale, "tool", lambda *words: [sys.executable, "-c", "raise SystemExit('no such network')"])
    monkeypatch.setattr(scale.os, "environ", dict(scale.os.environ))
    (tmp_path / "checkpoint").touch()
    assert scale.at_once(tmp_path, tmp_path / "checkpoint") == 1
    assert "| int8 | no: exit code 1: no such network" in capsys.readouterr().out


def wheel(path: Path, record: str, year: int) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("a-1.dist-info/RECORD", (year, 1, 1, 0, 0, 0)), record)
    return path


def test_rows_of_another_wheel_are_run_again(load: Load, tmp_path: Path) -> None:
    installs = load("installs")
    ours, later, changed = (
        installs.contents_of(wheel(tmp_path / f"{name}.whl", record, year))
        for name, record, year in (("a", "x", 2020), ("b", "x", 2021), ("c", "y", 2020))
    )
    assert ours == later != changed
    row = {"python": "python3.11", "versions": "newest", "extra": "", "fault": ""}
    asked = Namespace(python=["python3.11"], versions=["newest"], extra=[""], checkpoint=None, out=tmp_path / "rows")
    for known, left in (({"wheel": ours}, 0), ({"wheel": changed}, 1), ({}, 1)):
        asked.out.write_text(json.dumps(row | known) + "\n")
        assert len(list(installs.to_try(asked, ours))) == left
        assert len(installs.rows_in(asked.out, ours)) == 1 - left


def test_compression_aware_methods_are_compared_with_float_which_comes_first(load: Load) -> None:
    train_aware = load("train_aware")
    assert train_aware.chosen("qat") == ["float", "qat"]
    assert train_aware.chosen("qat,float,prune") == ["float", "qat", "prune"]
    with pytest.raises(InputError, match="--methods qta: choose of qat"):
        train_aware.chosen("qta")


def test_models_of_other_epochs_or_images_are_not_found_again(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import keras

    train_aware, trained = load("train_aware"), []
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    monkeypatch.setattr(train_aware.keras_cnnzoo, "create", lambda *network, **options: None)

    def train(*data: Any, epochs: int, **options: Any) -> SimpleNamespace:
        trained.append(epochs)
        return SimpleNamespace(model=model, ranges={"a": (0.0, 1.0)})

    monkeypatch.setattr(train_aware, "train_aware", train)
    for images, epochs in ((10, 1), (10, 1), (10, 2), (20, 2)):
        _, ranges = train_aware.tuned("prune-2:4", Path(), np.zeros(images), np.zeros(images), epochs, tmp_path)
        assert ranges == {"a": (0.0, 1.0)}
    assert trained == [1, 2, 2]


def test_a_scheme_that_names_no_estimator_or_correction_is_refused(load: Load) -> None:
    pytest.importorskip("onnxruntime")
    options = load("onnx_accuracy").quantization_of("mse/clipping+bias")
    assert (options.estimator, options.corrections) == ("mse", ("clipping", "bias"))
    assert load("onnx_accuracy").quantization_of("percentile").corrections == ()
    for scheme in ("mes", "mse/clipping+bais"):
        with pytest.raises(InputError, match="choose one of"):
            load("onnx_accuracy").quantization_of(scheme)


def test_without_our_file_there_is_no_ratio_to_ours(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    onnx_paths = load("onnx_paths")
    monkeypatch.setattr(onnx_paths, "latency_ratios", lambda files, image, rounds: dict.fromkeys(files, 1.5))
    assert onnx_paths.ratios_to_ours({"tf2onnx": None}, np.zeros(1), 1) == {"tf2onnx": "-"}
    assert onnx_paths.ratios_to_ours({"ours": None, "tf2onnx": None}, np.zeros(1), 1)["tf2onnx"] == "1.50"


def test_the_comparison_of_exports_wants_photographs_to_answer_and_leaves_no_folder(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    export_speed = load("export_speed")
    monkeypatch.setattr(export_speed, "_inputs", lambda images, count, size: np.zeros((min(count, 15), 1, 1, 3)))
    with pytest.raises(SystemExit, match="--count 10 needs 20 photographs"):
        export_speed.prepare("MobileNetV2", "photographs", str(tmp_path), 10)
    seen: list[Path] = []

    def child(step: str, network: str, images: Path, folder: Path, *more: Any) -> dict[str, Any]:
        assert folder.is_dir()
        seen.append(folder)
        return {"versions": {}}

    monkeypatch.setattr(export_speed, "_child", child)
    monkeypatch.setattr(export_speed, "_print_rows", lambda *row: None)
    export_speed.main(tmp_path, repeats=1, count=10, scheme="int8", only="MobileNetV2", output=None)
    assert len(seen) == 3
    assert not seen[0].exists()


def test_torch_trains_with_the_decay_with_which_ours_does(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    models = pytest.importorskip("torchvision").models
    monkeypatch.setattr(models, "tiny", lambda num_classes: torch.nn.Linear(3, num_classes), raising=False)
    made: list[Any] = []
    sgd = torch.optim.SGD
    monkeypatch.setattr(torch.optim, "SGD", lambda *options: made.append(sgd(*options)))
    training_step = load("training_step")
    training_step.torchs("tiny", 8, 2)
    decays = [(len(group["params"]), group["weight_decay"]) for group in made[0].param_groups]
    assert decays == [(1, training_step.RECIPE.weight_decay), (1, 0)]
    assert training_step.RECIPE.weight_decay > 0


def test_the_readmes_table_of_accuracy_is_that_of_the_rows_which_every_network_that_ships_has(load: Load) -> None:
    script, page = load("accuracy_summary"), (ROOT / "docs" / "accuracy.md").read_text()
    assert script.summary(page) in (ROOT / "README.md").read_text()
    headings = {"fashion_mnist": "Fashion-MNIST", "cifar10_jpeg": "CIFAR-10 in JPEGs"}
    rows = {(network, data): set(ways) for network, data, ways in script.networks(page)}
    assert set(rows) == CIFAR10 | {(row.network, headings[row.data]) for row in all_bundled()}
    wanted = {"float32", *load("quantization").WAYS}
    assert {key: ways for key, ways in rows.items() if ways != wanted} == {}
