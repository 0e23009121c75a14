"""Accuracy through a runner, on pictures whose classes are known."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_cnnzoo import InputError
from keras_cnnzoo.mobile_bench import accuracy as module
from keras_cnnzoo.mobile_bench.accuracy import accuracy, quantized
from keras_cnnzoo.mobile_bench.artifact import Artifact
from keras_cnnzoo.mobile_bench.order import Configuration
from keras_cnnzoo.mobile_bench.runners import Tensor
from keras_cnnzoo.preprocessing import Preprocessing

ARTIFACT = Artifact(Path("a.tflite"), 1, "", preprocessing=Preprocessing(scale=1 / 255))
CONFIGURATION = Configuration(Path("a.tflite"), "litert")


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


@pytest.mark.parametrize("runner", [Brightness(), Brightness(dtype="int8"), Brightness(classes=9)])
def test_right_answers_are_counted(pictures: Path, runner: Brightness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open_runner", lambda configuration: runner)
    found = accuracy(ARTIFACT, CONFIGURATION, pictures)
    assert (found.top1, found.top5, found.images) == (15 / 16, 1.0, 16)


def test_pictures_are_turned_where_the_card_says_channels_first(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = Brightness()
    runner.inputs = (Tensor("x", (1, 3, 8, 8), "float32"),)
    shapes = []
    answer = runner.outputs
    monkeypatch.setattr(runner, "outputs", lambda inputs: shapes.append(inputs[0].shape) or answer(inputs))
    monkeypatch.setattr(module, "open_runner", lambda configuration: runner)
    found = accuracy(dataclasses.replace(ARTIFACT, channels_first=True), CONFIGURATION, pictures)
    assert found.top1 == 15 / 16
    assert set(shapes) == {(1, 3, 8, 8)}


def test_ties_count_as_chance(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open_runner", lambda configuration: Brightness(tie=True))
    found = accuracy(ARTIFACT, CONFIGURATION, pictures)
    assert (found.top1, found.top5) == (1 / 8, 5 / 8)


def test_without_a_card_or_labels_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open_runner", lambda configuration: Brightness())
    with pytest.raises(InputError, match="no card tells how to feed it"):
        accuracy(dataclasses.replace(ARTIFACT, preprocessing=None), CONFIGURATION, tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="no labels"):
        accuracy(ARTIFACT, CONFIGURATION, tmp_path)


def test_values_beyond_the_range_of_an_input_are_clipped() -> None:
    tensor = Tensor("x", (1,), "int8", 0.5, 10)
    assert quantized(np.array([-1000, 0, 1, 1000], np.float32), tensor).tolist() == [-128, 10, 12, 127]
    with pytest.raises(InputError, match="without a scale"):
        quantized(np.zeros(1, np.float32), dataclasses.replace(tensor, scale=0.0))
