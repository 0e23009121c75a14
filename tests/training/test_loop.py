"""Training: it learns, goes on where it was interrupted with the same curve, and stops in one sentence."""

import csv
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from keras_cnnzoo import InputError, load_weights
from keras_cnnzoo.training import Arrays, Data, Diverged, Recipe, Run, loop, network, train, write_shards
from keras_cnnzoo.training.checkpoint import Checkpoint
from keras_cnnzoo.training.compiled import averaged, compile_by

from .conftest import small_network

RECIPE = Recipe(epochs=3, batch=20, learning_rate=0.1, flip=False)
# everything whose state a resumed run could lose
EVERYTHING = Recipe(
    epochs=3,
    batch=20,
    learning_rate=0.05,
    weight_decay=0.01,
    warmup=1,
    label_smoothing=0.1,
    shift=0.1,
    mixup=0.2,
    cutmix=1.0,
    ema=0.9,
    accumulate=2,
)


class KilledError(Exception):
    """What a kill is to code that runs in the test's own process."""


def killed_at(limit: int) -> Any:
    """A `step` that raises when so many batches are done."""
    done = 0

    def step(batches: float) -> None:
        nonlocal done
        done += int(batches)
        if done >= limit:
            raise KilledError

    return step


def curve(run: Run) -> np.ndarray:
    """(epochs, 4): losses and accuracies."""
    return np.array([[row.loss, row.accuracy, row.test_loss, row.test_accuracy] for row in run.history])


@pytest.fixture(scope="module")
def unbroken(small_data: Data) -> Run:
    return train(small_network(), small_data, EVERYTHING, seed=3)


@pytest.fixture
def always_saving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOST", 0.0)
    monkeypatch.setattr(loop, "WORTH", 0.0)


def test_it_learns_and_writes_what_it_says(small_data: Data, tmp_path: Path) -> None:
    run = train(small_network(dropout=0.0), small_data, RECIPE.changed(epochs=8), out=tmp_path)
    assert run.accuracy > 0.9
    assert run.history[0].loss > 2 * run.history[-1].loss
    with (tmp_path / "curves.csv").open() as file:
        assert [float(row["test_accuracy"]) for row in csv.DictReader(file)] == [r.test_accuracy for r in run.history]
    assert "<svg" in (tmp_path / "curves.svg").read_text()
    assert any((tmp_path / "tensorboard").iterdir())
    assert json.loads((tmp_path / "summary.json").read_text())["test_accuracy"] == run.accuracy
    again = keras.saving.load_model(tmp_path / "model.keras")
    pixels = np.random.default_rng(0).standard_normal((4, 12, 12, 3)).astype(np.float32)
    np.testing.assert_allclose(again(pixels), run.model(pixels), atol=1e-5)


@pytest.mark.usefixtures("always_saving")
def test_a_killed_run_goes_on_with_the_curve_of_an_unbroken_one(
    small_data: Data, tmp_path: Path, unbroken: Run
) -> None:
    for seed, steps in ((0, 3), (9, 10)):  # within the first epoch, and between the second's end and its test
        with pytest.raises(KilledError):
            train(small_network(seed=seed), small_data, EVERYTHING, seed=3, out=tmp_path, step=killed_at(steps))
    resumed = train(small_network(seed=9), small_data, EVERYTHING, seed=3, out=tmp_path)
    np.testing.assert_allclose(curve(resumed), curve(unbroken), rtol=1e-5)
    for ours, whole in zip(resumed.model.weights, unbroken.model.weights, strict=True):
        np.testing.assert_allclose(ours, whole, rtol=1e-4, atol=1e-6, err_msg=whole.path)


KILLED = """
    from keras_cnnzoo.training import loop, train
    loop.LOST = loop.WORTH = 0.0
    from tests_conftest import coloured, small_network
    from keras_cnnzoo.training import Data, Recipe
    data = Data(coloured(100, 0), coloured(31, 1), ("red", "green", "blue"), (12, 12, 3), "coloured noise")
    train(small_network(), data, Recipe(epochs=100000, batch=20, flip=False), out={out!r})
"""


def test_a_kill_at_any_instant_leaves_a_whole_checkpoint(small_data: Data, tmp_path: Path) -> None:
    (tmp_path / "tests_conftest.py").write_text((Path(__file__).parent / "conftest.py").read_text())
    code = textwrap.dedent(KILLED.format(out=str(tmp_path / "run")))
    path = tmp_path / "run" / "checkpoint.safetensors"
    child = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    try:
        while not path.exists():
            assert child.poll() is None, "it ended before its first checkpoint"
            time.sleep(0.05)
        time.sleep(0.517)  # in the midst of a save, most likely: it does little else
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    left = Recipe(epochs=100000, batch=20, flip=False)
    session = loop._Session(small_network(), small_data, left, path.parent, 0, loop.PRESETS["torch"], float, print)
    session.begin(force=False)
    assert session.progress.step > 0
    assert 0 <= session.progress.step - 5 * len(session.progress.history) <= 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_save_and_say_so(small_data: Data, tmp_path: Path, number: signal.Signals) -> None:
    handler = signal.getsignal(number)

    def interrupt(batches: float) -> None:
        if batches:
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt, match="interrupted after step 1; the same command goes on from there"):
        train(small_network(), small_data, RECIPE, out=tmp_path, step=interrupt)
    assert signal.getsignal(number) is handler
    refused = Checkpoint(tmp_path / "checkpoint.safetensors", small_network(), {"network": "other"})
    with pytest.raises(InputError, match="its network is small, not other"):
        refused.restore()


def test_a_weight_that_is_no_number_stops_and_leaves_the_last_good_checkpoint(
    small_data: Data, tmp_path: Path, always_saving: None
) -> None:
    model, kept, done = small_network(), tmp_path / "checkpoint.safetensors", 0

    def poison(batches: float) -> None:
        nonlocal done
        done += int(batches)
        if done == 3:
            model.get_layer("fc").bias.assign([np.nan] * 3)

    said = (
        r"epoch 1, step 3: a weight is no .*smaller --learning-rate than 0\.1, .*last good state .*--force starts anew"
    )
    with pytest.raises(Diverged, match=said) as error:
        train(model, small_data, RECIPE, out=tmp_path, step=poison)
    assert "\n" not in str(error.value)
    assert all(np.isfinite(value).all() for value in load_file(kept).values() if value.dtype.kind == "f")
    with safe_open(kept, "np") as file:
        assert json.loads(file.metadata()["progress"])["step"] == 2


@pytest.mark.parametrize("out", [None, "run"])
def test_weights_that_the_last_step_ruins_are_told_with_that_step(
    small_data: Data, tmp_path: Path, out: str | None
) -> None:
    once = RECIPE.changed(epochs=1, batch=100, learning_rate=1e38)
    with pytest.raises(Diverged, match="epoch 1, step 1: "):
        train(small_network(norm=False), small_data, once, out=None if out is None else tmp_path / out)
    assert not list(tmp_path.glob("run/curves.*"))


def test_files_of_no_run_are_kept_unless_forced(small_data: Data, tmp_path: Path) -> None:
    for name in loop.FILES:
        (tmp_path / name).write_text("mine")
        with pytest.raises(InputError, match=rf"{name}: exists already; give --force"):
            train(small_network(), small_data, RECIPE, out=tmp_path)
        assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(name, "mine")]
        (tmp_path / name).unlink()
    for name in loop.FILES:
        (tmp_path / name).write_text("mine")
    train(small_network(), small_data, RECIPE.changed(epochs=1), out=tmp_path, force=True)
    assert [name for name in loop.FILES if (tmp_path / name).read_bytes() == b"mine"] == []


def test_a_run_that_was_killed_in_its_first_seconds_goes_on(small_data: Data, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(small_network(), small_data, RECIPE, out=tmp_path, step=killed_at(6))
    assert (tmp_path / "curves.csv").is_file()
    assert len(train(small_network(), small_data, RECIPE, out=tmp_path).history) == RECIPE.epochs


def test_another_recipe_s_checkpoint_is_refused_and_force_starts_anew(small_data: Data, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(small_network(), small_data, RECIPE, out=tmp_path, step=lambda n: n and os.kill(os.getpid(), 2))
    other = RECIPE.changed(learning_rate=0.05)
    with pytest.raises(InputError, match=r"its learning_rate is 0\.1, not 0\.05"):
        train(small_network(), small_data, other, out=tmp_path)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"half a file")
    with pytest.raises(InputError, match="truncated, or no checkpoint"):
        train(small_network(), small_data, RECIPE, out=tmp_path)
    anew = train(small_network(), small_data, other, out=tmp_path, force=True)
    assert [row.step for row in anew.history] == [5, 10, 15]


def interrupted(model: keras.Model, data: Data, folder: Path, recipe: Recipe = RECIPE) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(model, data, recipe, out=folder, step=lambda n: n and os.kill(os.getpid(), 2))


def small_with(activation: str) -> keras.Model:
    model = small_network()
    next(layer for layer in model.layers if layer.name == "conv").activation = keras.activations.get(activation)
    return model


def test_a_checkpoint_of_another_function_or_of_other_pictures_is_refused(small_data: Data, tmp_path: Path) -> None:
    interrupted(small_with("relu"), small_data, tmp_path)
    with pytest.raises(InputError, match=r"its network_fingerprint is \w{12}, not \w{12}"):
        train(small_with("relu6"), small_data, RECIPE, out=tmp_path)
    with pytest.raises(InputError, match=r"its class_names is \['red', 'green', 'blue'\], not \['blue', "):
        train(small_with("relu"), replace(small_data, classes=("blue", "green", "red")), RECIPE, out=tmp_path)
    other = Arrays(255 - small_data.train.pixels, small_data.train.labels)  # type: ignore[union-attr]
    with pytest.raises(InputError, match=r"its data_fingerprint is \w{12}, not \w{12}"):
        train(small_with("relu"), replace(small_data, train=other), RECIPE, out=tmp_path)
    assert len(train(small_with("relu"), small_data, RECIPE, out=tmp_path).history) == RECIPE.epochs


def test_a_checkpoint_of_a_version_without_fingerprints_goes_on(small_data: Data, tmp_path: Path) -> None:
    interrupted(small_network(), small_data, tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    with safe_open(path, "np") as file:
        said, state = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    older = json.loads(said["identity"])
    for key in ("network_fingerprint", "data_fingerprint", "class_names"):
        del older[key]
    save_file(state, path, said | {"identity": json.dumps(older)})
    assert train(small_network(), small_data, RECIPE, out=tmp_path).history[-1].step == 15


def test_a_checkpoint_whose_progress_is_of_another_version_is_refused(small_data: Data, tmp_path: Path) -> None:
    interrupted(small_network(), small_data, tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    with safe_open(path, "np") as file:
        said, state = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for progress in ("{}", "[]", '{"history": [{"epoch": 1}]}', '{"history": [], "stepz": 1}'):
        save_file(state, path, said | {"progress": progress})
        with pytest.raises(InputError, match="truncated, or no checkpoint of a training run"):
            train(small_network(), small_data, RECIPE, out=tmp_path)


def nested_network(*behind: keras.layers.Layer) -> keras.Model:
    return keras.Sequential([small_network(), *behind])


def test_the_weights_of_a_nested_model_come_back(small_data: Data, tmp_path: Path) -> None:
    dense = [keras.layers.Dense(3, name="answer") for _ in range(2)]
    train(nested_network(dense[0]), small_data, RECIPE.changed(epochs=1, ema=0.9), out=tmp_path)
    model = nested_network(dense[1])
    load_weights(model, tmp_path / "weights.safetensors")
    kept = keras.saving.load_model(tmp_path / "model.keras")
    assert all(np.array_equal(a, b) for a, b in zip(model.weights, kept.weights, strict=True))


def test_frozen_norms_are_free_again_afterwards_and_nested_ones_are_frozen(small_data: Data) -> None:
    model = nested_network(keras.layers.Dense(3, name="answer"))
    (norm,) = (layer for layer in model.layers[0].layers if layer.name == "norm")
    before = [np.array(v) for v in norm.weights]
    train(model, small_data, RECIPE.changed(["frozen_norm=true"], epochs=1))
    assert all(np.array_equal(a, b) for a, b in zip(before, norm.weights, strict=True))
    assert norm.trainable


@pytest.mark.parametrize("behind", [keras.layers.Softmax, lambda: keras.layers.Activation("softmax")])
def test_probabilities_are_told_from_logits_wherever_the_softmax_stands(behind: Any) -> None:
    probable = nested_network(behind())
    image = keras.Input(probable.input_shape[1:])
    nest = keras.Model(image, probable(image))
    for model, logits in ((small_network(), True), (probable, False), (nest, False)):
        compile_by(RECIPE, model, 5)
        assert model.loss.get_config()["from_logits"] == logits


def test_other_answers_than_logits_and_probabilities_are_refused(small_data: Data) -> None:
    with pytest.raises(InputError, match=r"answers by sigmoid; .* classifier_activation=None"):
        train(nested_network(keras.layers.Dense(3, "sigmoid")), small_data, RECIPE)


def test_force_leaves_no_curve_of_the_earlier_run(small_data: Data, tmp_path: Path) -> None:
    for _ in range(2):
        train(small_network(), small_data, RECIPE.changed(epochs=1), out=tmp_path, force=True)
        assert len(list((tmp_path / "tensorboard").iterdir())) == 1


def test_a_full_disk_stops_in_one_sentence_and_the_last_checkpoint_stays(
    small_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, always_saving: None
) -> None:
    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    def fill(batches: float) -> None:
        if (tmp_path / "checkpoint.safetensors").exists():
            monkeypatch.setattr(Path, "write_bytes", full)

    with pytest.raises(InputError, match="could not be written \\(No space left on device\\)"):
        train(small_network(), small_data, RECIPE, out=tmp_path, step=fill)
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["checkpoint.safetensors"]


def test_a_disk_that_tensorflow_finds_full_is_said_in_the_same_words(
    small_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "{{node x}} /y; No space left on device\nand more")

    monkeypatch.setattr(tf.io.TFRecordWriter, "write", full)
    with pytest.raises(
        InputError, match=r"train-00000\.tfrecord: could not be written \(No space left on device\); make room"
    ):
        write_shards(small_data, tmp_path / "shards")
    assert list((tmp_path / "shards").iterdir()) == []
    monkeypatch.setattr(tf.summary, "create_file_writer", full)
    with pytest.raises(InputError, match=r"tensorboard: could not be written \(No space left on device\); make room"):
        train(small_network(), small_data, RECIPE, out=tmp_path / "run")


def test_a_test_that_fails_leaves_the_trained_weights_in_their_place() -> None:
    model = small_network()
    compile_by(RECIPE.changed(ema=0.9), model, 5)
    before = [np.array(v) + 1 for v in model.trainable_variables]
    for variable, value in zip(model.trainable_variables, before, strict=True):
        variable.assign(value)

    def failing_test() -> None:
        with averaged(model):
            assert not np.array_equal(model.trainable_variables[0], before[0])
            raise KilledError

    with pytest.raises(KilledError):
        failing_test()
    for variable, value in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_averages_answer_with_statistics_of_their_own_and_momentum_and_all_are_back_afterwards() -> None:
    model = small_network(dropout=0.0)
    compile_by(RECIPE.changed(ema=0.9), model, 5)
    (norm,) = (layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization))
    reads = keras.Model(model.inputs, norm.input)
    rng = np.random.default_rng(0)
    batches = [rng.normal(i, 1 + i, (4, *model.input_shape[1:])).astype(np.float32) for i in range(3)]
    for average in model.optimizer.averages:
        average.assign(rng.normal(size=average.shape))
    before, momentum = [np.array(v) for v in model.variables], norm.momentum
    with averaged(model, batches):
        values = np.stack([np.asarray(reads(images)) for images in batches])  # by the averages
        np.testing.assert_allclose(norm.moving_mean, values.mean((0, 1, 2, 3)), rtol=1e-4)
        np.testing.assert_allclose(norm.moving_variance, values.var((1, 2, 3)).mean(0), rtol=1e-4)
    assert norm.momentum == momentum
    assert all(np.array_equal(v, w) for v, w in zip(before, model.variables, strict=True))
    with averaged(model, batches, keep=True):
        kept = np.array(norm.moving_mean)
    np.testing.assert_array_equal(norm.moving_mean, kept)


@pytest.mark.usefixtures("always_saving")
def test_half_precision_learns_by_a_scaled_loss_and_goes_on_after_a_kill(small_data: Data, tmp_path: Path) -> None:
    def network(seed: int = 0) -> keras.Model:
        keras.config.set_dtype_policy("mixed_float16")
        try:
            return small_network(seed=seed, dropout=0.0)
        finally:
            keras.config.set_dtype_policy("float32")

    recipe = RECIPE.changed(epochs=4, ema=0.5, accumulate=2)
    whole = train(network(), small_data, recipe)
    assert isinstance(whole.model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert whole.history[-1].loss < 0.8 * whole.history[0].loss
    with pytest.raises(KilledError):
        train(network(), small_data, recipe, out=tmp_path, step=killed_at(7))
    resumed = train(network(seed=9), small_data, recipe, out=tmp_path)
    np.testing.assert_allclose(curve(resumed), curve(whole), rtol=1e-3)
    kept = keras.saving.load_model(tmp_path / "model.keras")
    assert {layer.dtype_policy.name for layer in kept.layers} == {"float32"}


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.inner = small_network()
        self(np.zeros((1, *self.inner.input_shape[1:])))

    def call(self, inputs: Any) -> Any:
        return self.inner(inputs)


def test_data_that_do_not_fit_are_refused_before_anything_is_compiled(small_data: Data) -> None:
    for changed, said in (
        ({"shape": (16, 16, 3)}, r"reads \(12, 12, 3\), the data are \(16, 16, 3\)"),
        ({"classes": ("a", "b")}, r"answers \(3,\), the data have 2 classes"),
    ):
        with pytest.raises(InputError, match=said):
            train(small_network(), replace(small_data, **changed), RECIPE)
    with pytest.raises(
        InputError, match=r"its input is not known; put keras\.Input\(\(12, 12, 3\)\) before its layers"
    ):
        train(nested_network(), small_data, RECIPE)
    with pytest.raises(InputError, match=r"a subclass of keras\.Model; build it as a functional or sequential model"):
        train(Subclassed(), small_data, RECIPE)
    with pytest.raises(InputError, match="precision float16: expected one of float32, mixed_bfloat16, mixed_float16"):
        network("resnet20", small_data, precision="float16")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="100 training images are fewer than a batch of 128"):
        train(small_network(), small_data, RECIPE.changed(batch=128))
