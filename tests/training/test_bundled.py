"""Weights that ship: trained, kept in half precision, found by name, 12 MB at most."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from typer.testing import CliRunner

import keras_cnnzoo as zoo
from keras_cnnzoo import InputError
from keras_cnnzoo.cli import app
from keras_cnnzoo.preprocessing import PRESETS
from keras_cnnzoo.registry import VARIANTS
from keras_cnnzoo.training import Arrays, Data, dataset
from keras_cnnzoo.training.named import DEBIAN
from keras_cnnzoo.training.pipeline import test_images as held_out_images
from keras_cnnzoo.weights import bundled, preprocessing_of
from keras_cnnzoo.weights.bundled import all_bundled

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "bundled_weights.py"


@pytest.fixture(scope="module")
def trainer(script: Callable[[str], ModuleType]) -> ModuleType:
    if not SCRIPT.is_file():
        pytest.skip("not a checkout: no benchmarks")
    return script("benchmarks/bundled_weights.py")


def halves(count: int, seed: int) -> Arrays:
    """Noise whose upper or lower half is brighter."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    pixels = rng.integers(0, 120, (count, 16, 16, 1))
    pixels[labels == 0, :8] += 130
    pixels[labels == 1, 8:] += 130
    return Arrays(pixels.astype(np.uint8), labels)


def test_what_ships_is_whole_known_and_small() -> None:
    rows = all_bundled()
    for row in rows:
        assert hashlib.sha256(row.path.read_bytes()).hexdigest() == row.sha256, row.path
        assert row.network in VARIANTS
        assert row.data in bundled.DATA_SETS
    files = {path.name for path in bundled.FOLDER.glob("*.safetensors")}
    assert files == {row.path.name for row in rows}
    assert sum((bundled.FOLDER / name).stat().st_size for name in files) <= 12_000_000


@pytest.mark.slow
@pytest.mark.parametrize("row", all_bundled(), ids=lambda row: row.path.stem)
def test_what_ships_answers_about_as_well_as_its_row_says(row: bundled.Bundled, request: pytest.FixtureRequest) -> None:
    if row.data == "fashion_mnist":
        if not DEBIAN.is_dir():
            pytest.skip(f"no {DEBIAN}: apt-get install dataset-fashion-mnist")
        found = dataset("fashion_mnist")
    else:
        file = request.getfixturevalue("data") / "cifar10" / "test.npz"
        found = dataset(file, test=file)
    spec = preprocessing_of(row.data, row.network)
    assert spec is not None
    images, labels = held_out_images(found, spec, 500)
    answers = zoo.create(row.network, weights=row.data).predict(images, verbose=0).argmax(-1)
    assert len(found.classes) == len(row.classes)
    assert 100 * (answers == labels).mean() == pytest.approx(row.top1, abs=4)  # 2 is a standard deviation of 500


def test_weights_that_do_not_ship_are_refused_in_a_sentence() -> None:
    with pytest.raises(InputError, match="weights='fashion_mnist': none of vgg19 ship"):
        zoo.create("vgg19", weights="fashion_mnist")


def test_a_network_built_otherwise_than_it_was_trained_is_refused_with_the_way_to_build_it() -> None:
    row = all_bundled()[0]
    with pytest.raises(InputError, match=rf"keras_cnnzoo\.create\('{row.network}', weights='{row.data}'\) builds"):
        zoo.create(row.network, weights=row.data, norm="none")


def test_the_plans_are_of_networks_recipes_and_options_that_exist(trainer: ModuleType) -> None:
    assert len({plan.name for plan in trainer.PLANS}) == len(trainer.PLANS) == 12
    for plan in trainer.PLANS:
        assert plan.network in VARIANTS
        assert plan.data in bundled.DATA_SETS
        assert trainer.recipe(plan.recipe).changed(plan.settings).epochs >= plan.epochs
        assert plan.minutes <= 40


def test_no_minutes_are_refused(trainer: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        trainer.main(["--out", "runs", "--minutes", "0"])
    assert "--minutes 0: give more than 0" in capsys.readouterr().err


@pytest.mark.slow
def test_a_network_is_trained_kept_and_found_by_name(
    trainer: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundled, "FOLDER", tmp_path / "bundled")
    (tmp_path / "bundled").mkdir()
    (tmp_path / "bundled" / "bundled.json").write_text("[]")
    data = Data(halves(96, 0), halves(32, 1), ("up", "down"), (16, 16, 1), "halves")
    settings = (*trainer.LIGHT, "batch=8", "ema=0.5", "flip=false")
    plan = replace(trainer.PLANS[0], settings=settings, epochs=2, minutes=0.5)
    monkeypatch.setattr(trainer, "PLANS", (plan,))
    monkeypatch.setattr(trainer, "images", lambda *arguments: (data, "--data halves.npz"))
    trainer.main(["--out", str(tmp_path / "runs")])

    (row,) = all_bundled()
    assert (row.network, row.images, row.classes, row.input_shape) == ("resnet20", 32, ("up", "down"), (16, 16, 1))
    model = zoo.create("resnet20", weights="fashion_mnist")
    answers = np.asarray(model(PRESETS["torch"](data.test.pixels))).argmax(-1)  # type: ignore[union-attr]
    assert 100 * (answers == data.test.labels).mean() == pytest.approx(row.top1, abs=0.01)  # type: ignore[union-attr]
    assert preprocessing_of("fashion_mnist", "resnet20") == PRESETS["torch"]
    float32 = (tmp_path / "runs" / "resnet20-fashion_mnist" / "weights.safetensors").stat().st_size
    assert row.path.stat().st_size < 0.6 * float32
    listed = json.loads(CliRunner().invoke(app, ["weights", "list", "resnet20", "--json"]).stdout)
    assert listed[-1]["top1"] == row.top1
    assert "--set ema=0.5" in row.command
    said = CliRunner().invoke(app, ["weights", "path", "resnet20", "fashion_mnist"])
    assert said.stdout.strip() == str(row.path)
    before = row.path.stat().st_mtime_ns
    trainer.main(["--out", str(tmp_path / "runs")])
    assert row.path.stat().st_mtime_ns == before
    assert CliRunner().invoke(app, ["weights", "verify", "resnet20"]).exit_code == 0
    row.path.write_bytes(row.path.read_bytes()[:-1])
    said = CliRunner().invoke(app, ["weights", "verify", "resnet20"])
    assert (said.exit_code, "not the file that was shipped" in said.stdout) == (3, True)
