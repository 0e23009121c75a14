"""`cnnzoo train` and `cnnzoo shard` at the command line."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from typer.testing import CliRunner

from keras_cnnzoo import InputError
from keras_cnnzoo.cli import app
from keras_cnnzoo.preprocessing import PRESETS
from keras_cnnzoo.training import build
from keras_cnnzoo.weights import preprocessing_of, save_weights

from .conftest import coloured, small_network


@pytest.fixture
def images(tmp_path: Path) -> str:
    source = coloured(100, 0)
    np.savez(tmp_path / "images.npz", images=source.pixels, labels=source.labels, classes=["red", "green", "blue"])
    return str(tmp_path / "images.npz")


def run(*arguments: str) -> str:
    """Standard output; errors are raised."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_training_prints_json_and_the_second_time_finds_it_done(
    images: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "network", lambda *args, **options: small_network())
    command = ["train", "resnet20", "--data", images, "--recipe", "resnet_cifar", "--epochs", "2", "--batch", "20"]
    command += ["--out", str(tmp_path / "run"), "--set", "flip=false", "--json", "-q"]
    found = json.loads(run(*command))
    assert (found["recipe"]["flip"], found["recipe"]["epochs"], len(found["history"])) == (False, 2, 2)
    assert json.loads(run(*command)) == found
    with pytest.raises(InputError, match="of another run"):
        run(*command, "--learning-rate", "0.01")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--recipe", "mobilnet"], "did you mean 'mobilenet'"),
        (["--set", "mixup=many"], "--set 'mixup=many': expected"),
        (["--set", "wdith=2"], "resnet20 has no option 'wdith'"),
        (["--set", "mix_up=0.2"], "did you mean 'mixup'? it takes include_top"),
        (["--set", "dropout=1.5"], "dropout=1.5: expected a share from 0 up to, not including, 1"),
        (["--channels", "2"], "channels=2: expected 1 or 3"),
        (["--precision", "half"], "precision half: expected one of float32, mixed_bfloat16, mixed_float16"),
        (["--coordinator", "a:1"], "give --hosts, too"),
        (["--hosts", "2", "--coordinator", "a:1", "--process-id", "0"], "set KERAS_BACKEND=jax"),
        (["--export", "int3"], "--export int3: float32, float16, dynamic or int8"),
        (["--batch", "0"], "batch=0: expected 1 or more"),
        (["--limit", "30", "--batch", "200"], "fewer than a batch of 200"),
        (["--limit", "30", "--set", "batch=200"], "fewer than a batch of 200"),
    ],
)
def test_bad_input_is_told_before_anything_is_built(
    images: str, tmp_path: Path, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())
    with pytest.raises(InputError) as error:
        run("train", "resnet20", "--data", images, "--out", str(tmp_path / "run"), "-q", *arguments)
    assert said in str(error.value)
    assert not (tmp_path / "run").exists()


def test_an_artifact_of_no_run_is_kept(images: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "network", lambda *args, **options: small_network())
    monkeypatch.setattr("keras_cnnzoo.app.trained.export_run", lambda path, *args, **options: {"file": str(path)})
    command = ["train", "resnet20", "--data", images, "--epochs", "1", "--batch", "20", "--out", str(tmp_path)]
    command += ["--export", "int8", "--json", "-q"]
    for name in ("resnet20_int8.tflite", "resnet20_int8.tflite.json"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(InputError, match=rf"{name}: exists already; give --force"):
            run(*command)
        (tmp_path / name).unlink()
    run(*command)
    (tmp_path / "resnet20_int8.tflite").write_text("of the run")
    assert json.loads(run(*command))["artifact"] == {"file": str(tmp_path / "resnet20_int8.tflite")}


def test_several_hosts_without_jax_are_refused_in_a_sentence(
    images: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr("keras_cnnzoo.training.cli.find_spec", lambda name: None)
    with pytest.raises(InputError, match="--hosts 2: several hosts need JAX, which is not here; pip install jax"):
        run("train", "resnet20", "--data", images, "--out", str(tmp_path / "run"), "--hosts", "2")


def test_shards_are_written_and_read(images: str, tmp_path: Path) -> None:
    found = json.loads(run("shard", images, "--out", str(tmp_path / "shards"), "--per-shard", "30", "--json", "-q"))
    assert (found["train"], found["test"], found["skipped"]) == (79, 21, 0)
    assert len(list((tmp_path / "shards").glob("*.tfrecord"))) == 4
    with pytest.raises(InputError, match="exists already"):
        run("shard", images, "--out", str(tmp_path / "shards"), "-q")


def test_shard_counts_what_is_no_picture_and_prints_brackets_as_they_are(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "set[/a]" / name).mkdir(parents=True)
        for i in range(5):
            Image.new("RGB", (16, 16), (i, 0, 0)).save(tmp_path / "set[/a]" / name / f"{i}.png")
    (tmp_path / "set[/a]" / "dog" / "4.png").write_text("no picture")
    out = tmp_path / "shards[/a]"
    result = CliRunner().invoke(app, ["shard", str(tmp_path / "set[/a]"), "--out", str(out)], catch_exceptions=False)
    assert result.stdout.startswith(f"{out / 'dataset.json'}\n")
    assert "set[/a]: 1 files are no readable pictures" in result.stderr.replace("\n", "")
    assert "read " in result.stderr


def test_a_try_with_fewer_images_than_a_batch_trains_on_all_of_them(
    images: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "network", lambda *args, **options: small_network())
    command = ["train", "resnet20", "--data", images, "--recipe", "mobilenet", "--epochs", "1", "--limit", "32"]
    found = json.loads(run(*command, "--out", str(tmp_path / "run"), "--json", "-q"))
    assert (found["recipe"]["batch"], found["history"][0]["step"]) == (32, 1)


def test_pixels_are_normalised_as_for_the_weights_to_start_from(
    images: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "network", lambda *args, **options: small_network())
    save_weights(small_network(), tmp_path / "tf.safetensors", preprocessing=PRESETS["tf"])
    command = ["train", "resnet20", "--data", images, "--recipe", "resnet_cifar", "--epochs", "1", "--batch", "20"]
    run(*command, "--weights", str(tmp_path / "tf.safetensors"), "--out", str(tmp_path / "run"), "-q")
    assert preprocessing_of(tmp_path / "run" / "weights.safetensors") == PRESETS["tf"]


@pytest.mark.slow
def test_the_modern_recipe_trains_weights_that_fine_tuning_starts_from(images: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    command = ["train", "resnet20", "--data", images, "--size", "16", "--epochs", "1", "--json", "-q"]
    modern = json.loads(run(*command, "--recipe", "modern", "--batch", "20", "--out", str(first)))
    assert modern["history"][0]["step"] == 3
    assert np.isfinite(modern["history"][0]["test_loss"])
    weights = ["--weights", str(first / "weights.safetensors")]
    weights += ["--set", "unfreeze=3"]  # given, so that it does not shrink with the epochs
    tuned = json.loads(run(*command, "--recipe", "fine_tune", "--batch", "20", *weights, "--out", str(second)))
    assert (tuned["recipe"]["unfreeze"], tuned["recipe"]["warmup"]) == (3.0, 0.05)
    before, after = (load_file(folder / "weights.safetensors") for folder in (first, second))
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert "linear/kernel" in changed
    assert not [
        name for name in changed if name.startswith("layer1_") or ("/kernel" not in name and "linear" not in name)
    ]


@pytest.mark.slow
def test_a_network_is_trained_in_mixed_precision_and_exported(images: str, tmp_path: Path) -> None:
    command = ["train", "resnet20", "--data", images, "--recipe", "resnet_cifar", "--epochs", "1", "--batch", "40"]
    command += ["--out", str(tmp_path), "--precision", "mixed_bfloat16", "--export", "int8", "--json", "-q"]
    found = json.loads(run(*command))
    assert found["artifact"]["verification"]["images"] == 21
    assert (tmp_path / "resnet20_int8.tflite.json").exists()
    model = keras.saving.load_model(tmp_path / "model.keras")
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
