"""The demonstration, end to end on little data."""

import json
import pickle
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from keras_cnnzoo import InputError
from keras_cnnzoo.app.datasets import CIFAR10, dataset
from keras_cnnzoo.app.demo import run_demo
from keras_cnnzoo.app.result import Demo
from keras_cnnzoo.app.training import train_for
from keras_cnnzoo.export import Card

COLOURS = {"<blue>": (20, 30, 220), "green & gold": (200, 180, 40), "red": (220, 20, 30)}


def coloured(colour: tuple[int, int, int], count: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(-20, 20, (count, 32, 32, 3))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for seed, (name, colour) in enumerate(COLOURS.items()):
        (folder / name).mkdir()
        for index, pixels in enumerate(coloured(colour, 20, seed)):
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def demo(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    out = tmp_path_factory.mktemp("demo") / "out"
    return run_demo(str(pictures), out, seconds=1.0, size=32, seed=0, force=False, shown=False)


@pytest.mark.slow
def test_one_folder_holds_artifacts_cards_weights_and_the_page(demo: Demo) -> None:
    assert sorted(path.name for path in demo.folder.iterdir()) == [
        "report.html",
        "shufflenet_v2_x0_5_float32.tflite",
        "shufflenet_v2_x0_5_float32.tflite.json",
        "shufflenet_v2_x0_5_int8.tflite",
        "shufflenet_v2_x0_5_int8.tflite.json",
        "weights.safetensors",
    ]
    for scheme in ("float32", "int8"):
        card = Card.read(demo.folder / f"shufflenet_v2_x0_5_{scheme}.tflite.json")
        assert card.quantization["scheme"] == scheme
        assert card.labels == list(COLOURS)
        assert card.verification is not None
        assert card.verification["images"] == 12
    assert demo.rows()[0]["agreement"] == 1.0
    assert demo.rows()[0]["largest_difference"] < 1e-4 * demo.rows()[0]["largest_output"]


@pytest.mark.slow
def test_the_table_shows_accuracy_size_and_latency_of_both(demo: Demo) -> None:
    (float32, int8) = demo.rows()
    assert int8["bytes"] < 0.5 * float32["bytes"]
    assert set(float32["median_ms"]) == {1, 2}
    assert set(int8["ratio"]) == {1, 2}
    assert demo.table().row_count == 2
    json.dumps(demo.to_dict())


@pytest.mark.slow
def test_the_page_stands_alone_and_shows_names_as_text(demo: Demo) -> None:
    page = (demo.folder / "report.html").read_text()
    assert "&lt;blue&gt;" in page
    assert "<blue>" not in page
    assert not re.findall(r"""(?:src|href)=["']?https?:""", page)
    assert page.count("<figure>") == 12


@pytest.mark.slow
def test_a_demonstration_overwrites_nothing_without_force(demo: Demo, pictures: Path) -> None:
    with pytest.raises(InputError, match="exists already"):
        run_demo(str(pictures), demo.folder, seconds=1.0, size=32, seed=0, force=False, shown=False)


def test_the_digits_are_split_by_class_and_scaled() -> None:
    split = dataset("digits", 32, 0)
    assert split.train.pixels.shape == (1438, 32, 32, 3)
    assert (len(split.test), split.classes) == (359, tuple("0123456789"))
    held = np.bincount(split.test.labels)
    assert held.min() >= 34
    assert split.train.pixels.max() == 255


def test_cifar10_comes_from_keras_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache is filled with batches of the right form; that Keras would find them intact is taken as given."""
    batches = tmp_path / "cifar-10-batches-py"
    batches.mkdir()
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        content = {b"data": np.zeros((10000, 3072), np.uint8), b"labels": [i % 10 for i in range(10000)]}
        (batches / name).write_bytes(pickle.dumps(content))
    monkeypatch.setattr("keras.src.datasets.cifar10.get_file", lambda *a, **k: str(tmp_path))
    split = dataset("cifar10", 32, 0)
    assert (split.train.pixels.shape, split.test.pixels.shape) == ((50000, 32, 32, 3), (10000, 32, 32, 3))
    assert split.classes == CIFAR10


def test_cifar10_that_cannot_be_had_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object, **options: object) -> str:
        raise Exception("URL fetch failure")

    monkeypatch.setattr("keras.src.datasets.cifar10.get_file", fails)
    with pytest.raises(InputError, match="neither in Keras' cache nor to be downloaded"):
        dataset("cifar10", 32, 0)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": np.zeros((4, 32, 32, 3), np.uint8)}, "without labels"),
        ({"images": np.zeros((4, 32, 32, 3), np.uint8), "labels": np.zeros(4, int)}, "two classes or more"),
        ({"images": np.zeros((4, 32, 32, 3), np.float32), "labels": np.arange(4)}, "uint8"),
        ({"images": np.zeros((4, 32, 32, 3), np.uint8), "labels": np.arange(3)}, "expected 4 integers"),
        ({"pictures": np.zeros(3)}, "no `images`"),
    ],
)
def test_data_that_will_not_do_is_refused_in_a_sentence(arrays: dict, words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(InputError, match=words):
        dataset(str(tmp_path / "data.npz"), 32, 0)


def test_training_ends_with_the_time_and_learns(some_images: np.ndarray) -> None:
    image = keras.Input((32, 32, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3, activation="relu")(image))
    model = keras.Model(image, keras.layers.Dense(2)(x))
    labels = (some_images.mean((1, 2, 3)) > 0).astype(int)
    told: list[float] = []
    batches = train_for(model, some_images, labels, 5.0, told.append)
    assert batches == len(told)
    assert 5.0 <= sum(told) < 10
    assert (np.asarray(model(some_images)).argmax(-1) == labels).mean() > 0.9
