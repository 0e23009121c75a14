"""Data sets: folders, .npz files and TFRecords give the same pictures, and a mistake is one sentence."""

import io
import pickle
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, features

from keras_cnnzoo import InputError
from keras_cnnzoo.preprocessing import PRESETS
from keras_cnnzoo.training import Arrays, Data, Pictures, Recipe, dataset, train, write_shards
from keras_cnnzoo.training.data import _all_of

SIZE = 12


def pictures(count: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, channels), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten PNG files in each of two classes; the first pixel of a picture is its number."""
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i, pixels in enumerate(pictures(10, seed=label)):
            pixels[0, 0] = 10 * label + i
            Image.fromarray(pixels).save(tmp_path / "set" / name / f"{i}.png")
    return tmp_path / "set"


def seen(data: Data, **entries: object) -> list[tuple[int, int]]:
    """(number in the first pixel, label) of each picture that training sees, in order."""
    from keras_cnnzoo.training.pipeline import training_batches

    plain = Recipe(batch=4, flip=False, epochs=2).changed(**entries)  # type: ignore[arg-type]
    batches = training_batches(data, plain, PRESETS["none"], seed=1, start=0).as_numpy_iterator()
    return [
        (int(image[0, 0, 0]), int(target.argmax()))
        for images, targets in batches
        for image, target in zip(images, targets, strict=True)
    ]


def test_a_folder_holds_out_a_fifth_of_each_class_and_reads_each_picture_once_an_epoch(folder: Path) -> None:
    data = dataset(folder, size=SIZE)
    assert (data.classes, data.shape, len(data.train), len(data.test)) == (("cat", "dog"), (SIZE, SIZE, 3), 16, 4)
    assert Counter(np.asarray(data.test.labels).tolist()) == {0: 2, 1: 2}  # type: ignore[union-attr]
    found = seen(data)
    for epoch in (found[:16], found[16:]):
        assert len({number for number, _ in epoch}) == 16
        assert all(label == number // 10 for number, label in epoch)
    assert found[:16] != found[16:]


def test_records_hold_the_same_pictures_in_shards(folder: Path, tmp_path: Path) -> None:
    data = dataset(folder, size=SIZE)
    write_shards(data, tmp_path / "shards", per_shard=5)
    again = dataset(tmp_path / "shards", size=SIZE)
    assert len(list((tmp_path / "shards").glob("train-*.tfrecord"))) == 4
    assert (len(again.train), len(again.test), again.classes) == (16, 4, data.classes)
    tf.random.set_seed(0)
    found = seen(again)
    tf.random.set_seed(7)
    assert seen(again) == found
    assert sorted(found[:16]) == sorted(seen(data)[:16])
    assert sorted(found[16:]) == sorted(found[:16])
    assert found[16:] != found[:16]


def test_folders_of_training_and_test_pictures_are_kept_apart(folder: Path) -> None:
    whole = folder.parent / "whole"
    whole.mkdir()
    for part in ("train", "val"):
        (whole / part).symlink_to(folder)
    data = dataset(whole, size=SIZE)
    assert (len(data.train), len(data.test)) == (20, 20)


def test_an_npz_file_of_arrays_or_of_jpeg_bytes(tmp_path: Path) -> None:
    pixels, labels = pictures(10), np.arange(10) % 2
    np.savez(tmp_path / "arrays.npz", images=pixels, labels=labels, classes=["a", "b"])
    arrays = dataset(tmp_path / "arrays.npz")
    assert isinstance(arrays.train, Arrays)
    assert (arrays.classes, arrays.shape) == (("a", "b"), (SIZE, SIZE, 3))

    encoded = []
    for image in pixels:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG")
        encoded.append(buffer.getvalue())
    offsets = np.cumsum([0, *map(len, encoded)])
    content = np.frombuffer(b"".join(encoded), np.uint8)
    np.savez(tmp_path / "jpeg.npz", bytes=content, offsets=offsets, labels=labels, classes=["a", "b"])
    jpeg = dataset(tmp_path / "jpeg.npz")
    assert isinstance(jpeg.train, Pictures)
    assert set(jpeg.train.encoded) <= set(encoded)
    assert jpeg.shape == (SIZE, SIZE, 3)


def test_another_file_may_be_tested_on(tmp_path: Path) -> None:
    for name, count in (("train", 20), ("test", 10)):
        np.savez(tmp_path / f"{name}.npz", images=pictures(count), labels=np.arange(count) % 2)
    data = dataset(tmp_path / "train.npz", test=tmp_path / "test.npz", size=16)
    assert (len(data.train), len(data.test), data.shape) == (20, 10, (16, 16, 3))


def test_the_clothes_stand_in_a_frame() -> None:
    from keras_cnnzoo.training.named import DEBIAN

    if not DEBIAN.is_dir():
        pytest.skip(f"no {DEBIAN}: apt-get install dataset-fashion-mnist")
    data = dataset("fashion_mnist")
    assert (len(data.train), len(data.test), data.shape) == (60_000, 10_000, (32, 32, 1))
    assert isinstance(data.train, Arrays)
    assert not data.train.pixels[:, :2].any()
    assert np.bincount(data.train.labels).tolist() == [6000] * 10
    assert len(data.limited(100).train) == 100


def one_class(folder: Path) -> Path:
    for file in (folder / "dog").iterdir():
        file.unlink()
    return folder


def too_high(folder: Path) -> Path:
    np.savez(folder / "x.npz", images=pictures(10), labels=np.arange(10) % 3, classes=["a", "b"])
    return folder / "x.npz"


def negative(folder: Path) -> Path:
    np.savez(folder / "x.npz", images=pictures(10), labels=np.arange(10) % 3 - 1, classes=["a", "b"])
    return folder / "x.npz"


def alike(folder: Path) -> Path:
    np.savez(folder / "x.npz", images=pictures(10), labels=np.zeros(10, int), classes=["a", "b"])
    return folder / "x.npz"


def unlabelled(folder: Path) -> Path:
    np.savez(folder / "x.npz", images=pictures(10))
    return folder / "x.npz"


def no_pictures(folder: Path) -> Path:
    for file in folder.glob("*/*"):
        file.write_text("no picture")
    return folder


def lost_shard(folder: Path) -> Path:
    write_shards(dataset(folder, size=SIZE), folder / "shards", per_shard=5)
    (folder / "shards" / "train-00001.tfrecord").unlink()
    return folder / "shards"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (one_class, "two folders or more"),
        (too_high, "training labels from 0 to 2 but there are 2 classes"),
        (negative, "training labels from -1"),
        (alike, "one class alone"),
        (unlabelled, "without `labels`"),
        (no_pictures, "none of its 20 pictures can be read"),
        (lost_shard, "train-00001.tfrecord: missing"),
        (lambda folder: folder / "nowhere", "expected fashion_mnist, cifar10, digits, an .npz file, or a folder"),
    ],
)
def test_bad_data_are_one_sentence(folder: Path, make: object, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        dataset(make(folder), size=SIZE)  # type: ignore[operator]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", ["webp", "ppm", "bmp", "gif", "png"])
def test_pictures_of_every_format_are_read_as_pillow_reads_them(tmp_path: Path, suffix: str, channels: int) -> None:
    if suffix == "webp" and not features.check("webp"):
        pytest.skip("this Pillow has no WebP")
    expected: list[np.ndarray] = []
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(3):
            file = tmp_path / name / f"{i}.{suffix}"
            grey = np.full((SIZE, SIZE, 3), 40 * len(expected), np.uint8)  # which a palette holds, too
            grey[:, :4] = 250
            Image.fromarray(grey).save(file, lossless=True)  # which WebP alone asks for
            expected.append(grey[..., :channels])
    data = dataset(tmp_path, size=SIZE, channels=channels)
    data = replace(data, test=_all_of(data))
    from keras_cnnzoo.training.pipeline import test_batches as held_out_batches

    images = np.concatenate([x for x, _ in held_out_batches(data, PRESETS["none"], 4).as_numpy_iterator()])
    assert sorted(images[:, 0, -1, 0].tolist()) == [0, 40, 80, 120, 160, 200]
    for image in images:
        np.testing.assert_allclose(image, expected[int(image[0, -1, 0]) // 40], atol=1)


def broken_off(folder: Path) -> tuple[Path, str]:
    file = folder / "dog" / "2.bmp"
    Image.fromarray(pictures(1)[0]).save(file)
    file.write_bytes(file.read_bytes()[:200])
    return folder, "2.bmp"


def broken_jpeg(folder: Path) -> tuple[Path, str]:
    file = folder / "dog" / "2.jpg"
    Image.fromarray(pictures(1)[0].repeat(9, 0).repeat(9, 1)).save(file)
    file.write_bytes(file.read_bytes()[:700])
    return folder, "2.jpg"


def broken_shard(folder: Path) -> tuple[Path, str]:
    write_shards(dataset(folder, size=SIZE), folder / "shards", per_shard=30)
    file = folder / "shards" / "train-00000.tfrecord"
    file.write_bytes(file.read_bytes()[:-100])
    return folder / "shards", "train-00000.tfrecord"


@pytest.mark.parametrize("make", [broken_off, broken_jpeg, broken_shard])
def test_a_picture_that_breaks_off_is_named_when_it_is_met(folder: Path, make: object) -> None:
    from .conftest import small_network

    source, name = make(folder)  # type: ignore[operator]
    data = dataset(source, size=SIZE)
    model = small_network(classes=2)
    with pytest.raises(InputError, match=re.escape(name)) as error:
        train(model, data, Recipe(epochs=3, batch=4, flip=False))
    assert "\n" not in str(error.value)


def test_the_shared_training_images_are_read(data: Path) -> None:
    found = dataset(data / "cifar10" / "train_jpeg.npz").limited(64)
    assert (len(found.train), len(found.test), found.shape) == (64, 64, (32, 32, 3))
    assert found.classes[:2] == ("airplane", "automobile")
    assert len(seen(found, batch=64)) == 128


def test_files_that_are_no_pictures_are_counted(folder: Path) -> None:
    (folder / "cat" / "3.png").write_text("no picture")
    assert dataset(folder, size=SIZE).skipped == 1


def test_the_digits_are_split_by_class_and_scaled() -> None:
    pytest.importorskip("sklearn")
    found = dataset("digits", size=32)
    assert isinstance(found.train, Arrays)
    assert isinstance(found.test, Arrays)
    assert (found.train.pixels.shape, len(found.test)) == ((1438, 32, 32, 1), 359)
    assert found.classes == tuple("0123456789")
    assert np.bincount(found.test.labels).min() >= 34
    assert found.train.pixels.max() == 255


def test_cifar10_comes_from_keras_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache is filled with batches of the right form; that Keras would find them intact is taken as given."""
    batches = tmp_path / "cifar-10-batches-py"
    batches.mkdir()
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        content = {b"data": np.zeros((10000, 3072), np.uint8), b"labels": [i % 10 for i in range(10000)]}
        (batches / name).write_bytes(pickle.dumps(content))
    monkeypatch.setattr("keras.src.datasets.cifar10.get_file", lambda *a, **k: str(tmp_path))
    found = dataset("cifar10")
    assert (len(found.train), len(found.test), found.shape) == (50_000, 10_000, (32, 32, 3))
    assert found.classes[0] == "airplane"


def test_cifar10_that_cannot_be_had_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object, **options: object) -> str:
        raise Exception("URL fetch failure")

    monkeypatch.setattr("keras.src.datasets.cifar10.get_file", fails)
    with pytest.raises(InputError, match="neither in Keras' cache nor to be downloaded"):
        dataset("cifar10")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": np.zeros((4, 32, 32, 3), np.float32), "labels": np.arange(4)}, "uint8"),
        ({"images": np.zeros((4, 32, 32, 3), np.uint8), "labels": np.arange(3)}, "expected 4 integers"),
        ({"pictures": np.zeros(3)}, "no `images`"),
        ({"bytes": np.zeros(9, np.uint8), "offsets": np.array([0, 9]), "labels": np.zeros(1)}, "cannot be decoded"),
        ({"bytes": np.zeros(9, np.uint8), "offsets": np.array([0]), "labels": np.zeros(0)}, "one more than the 0"),
    ],
)
def test_an_npz_file_that_will_not_do_is_refused_in_a_sentence(arrays: dict, words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(InputError, match=words):
        dataset(tmp_path / "data.npz")
