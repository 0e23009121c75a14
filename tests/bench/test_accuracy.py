"""Accuracy through a runner, on pictures whose classes are known."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from keras_cnnzoo import InputError
from keras_cnnzoo.images import Images
from keras_cnnzoo.mobile_bench import benchmark
from keras_cnnzoo.mobile_bench.accuracy import Accuracy, accuracy, check_data, measured, outputs_of, quantized
from keras_cnnzoo.mobile_bench.artifact import CARD_SCHEMA, Artifact
from keras_cnnzoo.mobile_bench.order import Configuration
from keras_cnnzoo.mobile_bench.runners import Tensor
from keras_cnnzoo.preprocessing import Preprocessing

ARTIFACT = Artifact(Path("a.tflite"), 1, "", preprocessing=Preprocessing(scale=1 / 255))


class Brightness:
    """Scores class k by how near the mean of the picture is to k / 7; classes `known` first if there are more."""

    def __init__(self, classes: int = 8, dtype: str = "float32", tie: bool = False) -> None:
        self.inputs = (Tensor("x", (1, 8, 8, 3), dtype, 1 / 255 if dtype != "float32" else 0.0, -128),)
        self.classes, self.tie = classes, tie

    def outputs(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        (value,) = inputs
        assert value.dtype == np.dtype(self.inputs[0].dtype)
        mean = value.mean() if value.dtype == np.float32 else (value.astype(float) + 128).mean() / 255
        scores = -np.abs(np.arange(8) / 7 - mean)
        return [np.concatenate([np.full(self.classes - 8, -9.0), 0 * scores if self.tie else scores])[None]]

    def close(self) -> None:
        pass


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Eight classes of grey, in folders; one of sixteen pictures stands in a wrong folder, a neighbour's."""
    for label in range(8):
        folder = tmp_path / f"class{label}"
        folder.mkdir()
        for number in range(2):
            shade = label + (label == 3 and number == 1)
            Image.new("RGB", (8, 8), (round(255 * shade / 7),) * 3).save(folder / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize(
    ("runner", "labels"),
    [
        (Brightness(), None),
        (Brightness(dtype="int8"), None),
        (Brightness(classes=9), tuple(map(str, range(8)))),
        (Brightness(classes=9), ("background", *map(str, range(8)))),
        (Brightness(classes=9), ("none", *(f"class{k}" for k in range(8)))),
    ],
)
def test_right_answers_are_counted(pictures: Path, runner: Brightness, labels: tuple[str, ...] | None) -> None:
    found = measured(runner, dataclasses.replace(ARTIFACT, labels=labels), pictures)
    assert (found.top1, found.top5, found.images) == (15 / 16, 1.0, 16)


def test_the_pictures_that_were_drawn_do_not_tell_how_many_classes_there_are(tmp_path: Path) -> None:
    shades = [round(255 * label / 7) for label in range(7)]
    pixels = np.stack([np.full((8, 8, 3), shade, np.uint8) for shade in shades])
    np.savez(tmp_path / "seven.npz", images=pixels, labels=np.arange(7))
    assert measured(Brightness(), ARTIFACT, tmp_path / "seven.npz").top1 == 1


def test_a_folder_without_one_of_the_classes_is_read_by_the_card_s_names_or_refused(pictures: Path) -> None:
    shutil.rmtree(pictures / "class0")
    named = dataclasses.replace(ARTIFACT, labels=tuple(f"class{k}" for k in range(8)))
    assert measured(Brightness(), named, pictures).top1 == 13 / 14
    with pytest.raises(InputError, match=r"it has 7 classes, a\.tflite has 8, and no card tells by name"):
        measured(Brightness(), ARTIFACT, pictures)


def test_imagenet_s_background_class_stands_before_the_others() -> None:
    pictures = Images(np.zeros((2, 1, 1, 3), np.uint8), None, None, 0, "a.npz")
    assert outputs_of(np.array([0, 999]), pictures, ARTIFACT, 1001).tolist() == [1, 1000]
    assert outputs_of(np.array([0, 8]), pictures, ARTIFACT, 10).tolist() == [0, 8]
    with pytest.raises(InputError, match=r"a\.npz: labels go to 10, a\.tflite has 10 outputs for 10 classes"):
        outputs_of(np.array([10]), pictures, ARTIFACT, 10)


def test_pictures_are_turned_where_the_card_says_channels_first_and_the_last_fills_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 10, 3), np.uint8)
    np.savez(tmp_path / "five.npz", images=pixels, labels=np.arange(5))
    runner, fed = Brightness(), []
    runner.inputs = (Tensor("x", (4, 3, 6, 10), "float32"),)
    monkeypatch.setattr(runner, "outputs", lambda inputs: fed.append(*inputs) or [np.eye(8)[4 * len(fed) - 4 :][:4]])
    found = measured(runner, dataclasses.replace(ARTIFACT, channels_first=True), tmp_path / "five.npz")
    assert (found.top1, found.images) == (1, 5)
    expected = np.float32(pixels[[0, 1, 2, 3, 4, 4, 4, 4]].transpose(0, 3, 1, 2) / 255)
    np.testing.assert_allclose(np.stack(fed), expected.reshape(2, 4, 3, 6, 10), rtol=1e-6)


def test_pictures_are_cut_as_the_card_says(tmp_path: Path) -> None:
    for label in range(8):
        shade = round(255 * label / 7)
        picture = Image.new("RGB", (16, 16), (255 - shade,) * 3)
        picture.paste((shade,) * 3, (4, 4, 12, 12))
        (tmp_path / f"class{label}").mkdir()
        picture.save(tmp_path / f"class{label}" / "a.png")
    card = dataclasses.replace(ARTIFACT, preprocessing=Preprocessing(scale=1 / 255, crop=0.5))
    assert measured(Brightness(), card, tmp_path).top1 == 1


def test_ties_count_as_chance(pictures: Path) -> None:
    found = measured(Brightness(tie=True), ARTIFACT, pictures)
    assert (found.top1, found.top5) == (1 / 8, 5 / 8)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_network_that_answers_no_numbers_has_no_accuracy(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, wrong: float
) -> None:
    runner = Brightness()
    monkeypatch.setattr(runner, "outputs", lambda inputs: [np.array([[0.0] * 7 + [wrong]])])
    with pytest.raises(InputError, match=r"a\.tflite answers NaN or infinity; check its weights, or the range"):
        measured(runner, ARTIFACT, pictures)


def test_a_runner_without_outputs_is_shown_no_pictures(pictures: Path) -> None:
    runner = Brightness()
    runner.inputs = ()
    with pytest.raises(InputError, match="its runner takes no pictures and tells no outputs; leave --data out"):
        measured(runner, ARTIFACT, pictures)


def test_without_a_card_or_labels_there_is_a_sentence(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no card tells how to feed it"):
        accuracy(Configuration(model, "litert"), tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="no labels"):
        check_data(tmp_path, None)


@pytest.mark.parametrize(
    ("labels", "count", "sentence"),
    [
        ([0, -1], None, "its labels begin at -1"),
        ([0, 1], 0, "--images 0: give at least 1"),
        ([0, 1], -1, "--images -1"),
    ],
)
def test_labels_and_numbers_that_cannot_be_are_refused(
    tmp_path: Path, labels: list[int], count: int | None, sentence: str
) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 8, 8, 3), np.uint8), labels=labels)
    with pytest.raises(InputError, match=sentence):
        check_data(tmp_path / "a.npz", count)


def test_an_artifact_is_asked_in_a_process_of_its_own(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy.tflite"
    path.write_bytes(model.read_bytes())
    card = {"schema_version": CARD_SCHEMA, "preprocessing": Preprocessing(scale=1 / 255).to_dict()}
    path.with_name("copy.tflite.json").write_text(json.dumps(card))
    pixels = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 8), np.uint8)
    scores = np.stack([answers(model, np.float32(picture / 255)) for picture in pixels])
    labels = scores.argmax(1)
    labels[0] = scores[0].argmin()
    np.savez(tmp_path / "five.npz", images=pixels, labels=labels)
    ties = (scores == scores.max(1, keepdims=True)).sum(1)[1:]
    expected = [sum(np.minimum(top / ties, 1)) / 5 for top in (1, 5)]
    found = accuracy(Configuration(path, "litert"), tmp_path / "five.npz")
    assert found == Accuracy(*map(pytest.approx, expected), images=5, source="five.npz")
    (measurement,) = benchmark([path], runs=5, data=tmp_path / "five.npz", images=3).measurements
    assert measurement.accuracy is not None
    assert (measurement.accuracy.images, measurement.accuracy.source) == (3, "five.npz")


def answers(model: Path, picture: np.ndarray) -> np.ndarray:
    """The network's outputs in one row."""
    interpreter = Interpreter(str(model))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[None])
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).ravel()


def test_a_file_that_crashes_its_runtime_is_a_sentence(make_model: Callable[..., Path], pictures: Path) -> None:
    crash = make_model("crash.tflite", middle="SPLIT")
    card = {"schema_version": CARD_SCHEMA, "preprocessing": ARTIFACT.preprocessing.to_dict()}  # type: ignore[union-attr]
    crash.with_name(crash.name + ".json").write_text(json.dumps(card))
    with pytest.raises(InputError, match=r"crash\.tflite: no accuracy: litert did not survive the pictures"):
        accuracy(Configuration(crash, "litert"), pictures)


def test_values_beyond_the_range_of_an_input_are_clipped() -> None:
    tensor = Tensor("x", (1,), "int8", 0.5, 10)
    assert quantized(np.array([-1000, 0, 1, 1000], np.float32), tensor).tolist() == [-128, 10, 12, 127]
    with pytest.raises(InputError, match="without a scale"):
        quantized(np.zeros(1, np.float32), dataclasses.replace(tensor, scale=0.0))
