"""Data sets: folders, .npz files and TFRecords give the same pictures, and a mistake is one sentence."""

import gzip
import io
import json
import os
import pickle
import re
import struct
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, features

from keras_cnnzoo import InputError
from keras_cnnzoo.preprocessing import PRESETS, Interpolation, Preprocessing
from keras_cnnzoo.training import Arrays, Data, Pictures, Recipe, dataset, pipeline, train, write_shards

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


def seen(data: Data, start: int = 0, **entries: object) -> list[tuple[int, int]]:
    """(number in the first pixel, label) of each picture that training sees from a step on, in order."""
    from keras_cnnzoo.training.pipeline import training_batches

    plain = Recipe(batch=4, flip=False, epochs=2).changed(**entries)  # type: ignore[arg-type]
    batches = training_batches(data, plain, PRESETS["none"], seed=1, start=start).as_numpy_iterator()
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
    for start in (1, 6):  # four steps an epoch
        assert seen(again, start) == found[4 * start :]


def test_folders_of_training_and_test_pictures_are_kept_apart(folder: Path) -> None:
    whole = folder.parent / "whole"
    whole.mkdir()
    for part in ("train", "val"):
        (whole / part).symlink_to(folder)
    data = dataset(whole, size=SIZE)
    assert (len(data.train), len(data.test)) == (20, 20)
    for source, part in ((data.train, "train"), (data.test, "val")):
        assert isinstance(source, Pictures)
        assert {Path(str(file)).parts[-3] for file in source.encoded} == {part}


def test_names_need_not_be_utf_8(folder: Path, tmp_path: Path) -> None:
    for i, file in enumerate(sorted(folder.glob("*/*.png"))):
        file.rename(os.fsdecode(os.fsencode(file.parent) + b"/caf\xe9%d.png" % i))
    data = dataset(folder, size=SIZE)
    assert len(data.fingerprint) == 12
    shards = Path(os.fsdecode(os.fsencode(tmp_path) + b"/shards\xe9"))
    write_shards(data, tmp_path / "shards", per_shard=5)
    (tmp_path / "shards").rename(shards)
    assert sorted(seen(data)) == sorted(seen(dataset(shards)))


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


def npz(path: Path, count: int, classes: list[str] | None = None, size: int = SIZE, channels: int = 3) -> Path:
    """As many classes as names, or two."""
    named = {} if classes is None else {"classes": classes}
    labels = np.arange(count) % len(classes or "ab")
    np.savez(
        path, images=pictures(count, channels).repeat(size // SIZE, 1).repeat(size // SIZE, 2), labels=labels, **named
    )
    return path


def test_a_test_set_of_other_classes_is_refused(tmp_path: Path) -> None:
    train, test = npz(tmp_path / "a.npz", 30, ["cat", "dog", "fox"]), npz(tmp_path / "b.npz", 10, ["dog", "fox"])
    with pytest.raises(InputError, match=r"b\.npz: its classes \(dog, fox\) are not those of a\.npz \(cat, dog, fox\)"):
        dataset(train, test=test)
    assert dataset(train, test=npz(tmp_path / "c.npz", 10)).classes == ("cat", "dog", "fox")


def test_a_label_that_the_training_images_lack_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "b.npz", images=pictures(6), labels=np.arange(6))
    with pytest.raises(InputError, match="test labels from 0 to 5 but there are 2 classes"):
        dataset(npz(tmp_path / "a.npz", 30), test=tmp_path / "b.npz")


def test_one_picture_of_one_class_may_be_a_test_set(folder: Path) -> None:
    few = folder.parent / "few"
    for name in ("cat", "dog"):
        (few / name).mkdir(parents=True)
    (few / "dog" / "0.png").write_bytes((folder / "dog" / "0.png").read_bytes())
    data = dataset(folder, test=few, size=SIZE)
    assert (len(data.train), len(data.test)) == (20, 1)
    assert isinstance(data.test, Pictures)
    assert data.test.labels.tolist() == [1]


def test_of_a_test_set_with_both_parts_the_test_part_is_taken(folder: Path) -> None:
    whole = folder.parent / "whole"
    for part, label in (("train", "a"), ("val", "b")):
        for name in ("cat", "dog"):
            (whole / part / name).mkdir(parents=True)
            picture = (folder / name / "0.png").read_bytes()
            (whole / part / name / f"{label}.png").write_bytes(picture)
    data = dataset(folder, test=whole, size=SIZE)
    assert isinstance(data.test, Pictures)
    assert [Path(str(file)).name for file in data.test.encoded] == ["b.png", "b.png"]


def test_the_fingerprint_tells_other_pictures_labels_and_splits_but_no_other_place(
    folder: Path, tmp_path: Path
) -> None:
    pixels, labels = pictures(10), np.arange(10) % 2
    arrays = Data(Arrays(pixels, labels), Arrays(pixels, labels), ("a", "b"), (SIZE, SIZE, 3), "x")
    other = replace(arrays, test=Arrays(255 - pixels, labels))
    swapped = replace(arrays, train=Arrays(pixels, 1 - labels))
    renamed = replace(arrays, classes=("b", "a"))
    files, again, resplit = dataset(folder), dataset(folder), dataset(folder, seed=7)
    found = [data.fingerprint for data in (arrays, other, swapped, renamed, files, resplit)]
    assert len(set(found)) == 6
    assert again.fingerprint == files.fingerprint
    write_shards(files, tmp_path / "one", per_shard=5)
    write_shards(files, tmp_path / "two", per_shard=4)
    assert dataset(tmp_path / "one").fingerprint != dataset(tmp_path / "two").fingerprint
    assert dataset(folder.rename(tmp_path / "moved")).fingerprint == files.fingerprint


def test_shards_are_read_at_the_shape_that_they_were_written_from(tmp_path: Path) -> None:
    grey = dataset(npz(tmp_path / "grey.npz", 10, channels=1))
    write_shards(grey, tmp_path / "shards")
    assert dataset(tmp_path / "shards").shape == (SIZE, SIZE, 1)
    assert dataset(tmp_path / "shards", size=24).shape == (24, 24, 1)
    index = tmp_path / "shards" / "dataset.json"
    index.write_text(json.dumps({key: v for key, v in json.loads(index.read_text()).items() if key != "shape"}))
    assert dataset(tmp_path / "shards", size=SIZE, channels=1).shape == (SIZE, SIZE, 1)  # written by an older version


def test_shards_of_an_earlier_set_are_kept_or_go_as_a_whole(folder: Path, tmp_path: Path) -> None:
    data = dataset(folder, size=SIZE)
    write_shards(data, tmp_path / "shards", per_shard=2)
    (tmp_path / "shards" / "dataset.json").unlink()
    before = {file: file.read_bytes() for file in (tmp_path / "shards").iterdir()}
    with pytest.raises(InputError, match=r"test-00000\.tfrecord: exists already; give --force"):
        write_shards(data, tmp_path / "shards", per_shard=2)
    assert {file: file.read_bytes() for file in (tmp_path / "shards").iterdir()} == before
    write_shards(data, tmp_path / "shards", per_shard=16, force=True)
    assert {file.name for file in (tmp_path / "shards").iterdir()} == {
        "dataset.json", "test-00000.tfrecord", "train-00000.tfrecord",
    }  # fmt: skip


def test_what_shards_cannot_hold_is_said(folder: Path, tmp_path: Path) -> None:
    for channels in (2, 4):
        data = dataset(npz(tmp_path / "x.npz", 10, channels=channels))
        with pytest.raises(InputError, match=f"pictures of {channels} channels; shards hold those of 1 or 3"):
            write_shards(data, tmp_path / "shards")
    files = dataset(folder, size=SIZE)
    (folder / "dog" / "3.png").unlink()
    with pytest.raises(InputError, match=r"3\.png: cannot be read \(No such file or directory\); mend or remove it"):
        write_shards(files, tmp_path / "shards")
    assert not list((tmp_path / "shards").glob("*.json"))


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"classes": ["cat"]}, "1 classes, .*expected 2 classes or more"),
        ({"test": {}}, r"\[\] to test on; .*no file or part without pictures"),
        ({"train": {"train-00000.tfrecord": -100}}, r"\[-100\] to train on"),
        ({"shape": [SIZE, SIZE, 0]}, "pictures of 0 channels"),
    ],
)
def test_shards_of_which_no_classifier_learns_are_refused(
    folder: Path, tmp_path: Path, entries: dict, said: str
) -> None:
    index = write_shards(dataset(folder, size=SIZE), tmp_path / "shards")
    index.write_text(json.dumps(json.loads(index.read_text()) | entries))
    with pytest.raises(InputError, match=rf"dataset\.json: .*{said}"):
        dataset(tmp_path / "shards")


def test_shards_of_more_classes_are_no_test_set(tmp_path: Path) -> None:
    write_shards(dataset(npz(tmp_path / "many.npz", 60, [str(i) for i in range(12)])), tmp_path / "shards")
    few = npz(tmp_path / "few.npz", 30)
    with pytest.raises(InputError, match=r"TFRecords of 12 classes, few\.npz has 2; give both the same"):
        dataset(few, test=tmp_path / "shards")


@pytest.mark.parametrize(
    ("options", "said"),
    [({"channels": 2}, "channels=2: expected 1 or 3"), ({"seed": -1}, "seed=-1: expected 0 or more")],
)
def test_wrong_options_are_one_sentence(folder: Path, options: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        dataset(folder, **options)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("crop", [1.0, 0.8, 0.75])
def test_test_pictures_are_cut_as_the_spec_says(folder: Path, interpolation: Interpolation, crop: float) -> None:
    spec = Preprocessing(crop=crop, interpolation=interpolation)
    pixels = np.random.default_rng(0).integers(60, 190, (60, 91, 3), np.uint8)  # what bicubic keeps in 0..255
    noise = Image.fromarray(pixels)
    for file in folder.glob("*/*.png"):
        noise.save(file)
    (images, _), *_ = pipeline.test_batches(dataset(folder, size=24), spec, 4).as_numpy_iterator()
    np.testing.assert_allclose(images[0], np.asarray(spec.fit(noise, (24, 24))), atol=1)


def cropped(data: Data, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """A training picture where the box that is drawn is the left third of the lower half."""
    monkeypatch.setattr(pipeline, "boxes", lambda draws, n, area: tf.tile([[0.5, 0, 1, 1 / 3]], (n, 1)))
    recipe = Recipe(batch=4, flip=False, epochs=1, area=0.5)
    return next(pipeline.training_batches(data, recipe, PRESETS["none"], 0, 0).as_numpy_iterator())[0][0]


def test_the_box_of_an_array_is_scaled_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    down, right = np.mgrid[:SIZE, :SIZE]
    source = Arrays(np.stack([[20 * down, 20 * right]] * 4).transpose(0, 2, 3, 1).astype(np.uint8), np.arange(4) % 2)
    found = cropped(Data(source, source, ("a", "b"), (SIZE, SIZE, 2), "slopes"), monkeypatch)
    expected = np.stack([20 * ((SIZE - 1) / 2 + down / 2), 20 * right / 3], axis=-1)
    np.testing.assert_allclose(found, expected, atol=0.51)


def test_the_box_of_a_picture_is_cut_from_its_own_pixels(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.random.default_rng(0).integers(0, 256, (2 * SIZE, 3 * SIZE, 3), np.uint8)
    for file in folder.glob("*/*.png"):
        Image.fromarray(whole).save(file)
    found = cropped(dataset(folder, size=SIZE), monkeypatch)
    np.testing.assert_array_equal(found, whole[SIZE:, :SIZE])


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


def nothing(folder: Path) -> Path:
    for file in folder.glob("*/*"):
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
        (one_class, "one class alone"),
        (nothing, "pictures in two folders or more"),
        (too_high, "`labels` run from 0 to 2 but `classes` name 2"),
        (negative, "`labels` run from -1"),
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
            two = np.full((SIZE, SIZE, 3), (40 * len(expected), 90, 250 - 30 * i), np.uint8)  # a palette holds them
            two[:, :4] = 250, 20, 120
            picture = Image.fromarray(two)
            picture.save(file, lossless=True)  # which WebP alone asks for
            expected.append(np.asarray(picture.convert("L"))[..., None] if channels == 1 else two)
    data = dataset(tmp_path, test=tmp_path, size=SIZE, channels=channels)
    images = np.concatenate([x for x, _ in pipeline.test_batches(data, PRESETS["none"], 4).as_numpy_iterator()])
    np.testing.assert_allclose(images, expected, atol=1)


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


def test_clothes_that_are_broken_are_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(gzip.compress(bytes(10_000)))
    content[10] = 7  # a kind of block that zlib has not
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / f"{name}-ubyte.gz").write_bytes(content)
    monkeypatch.setattr("keras_cnnzoo.training.named.DEBIAN", tmp_path)
    with pytest.raises(InputError, match=r"truncated, or no idx file .*install Debian's"):
        dataset("fashion_mnist")


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
        (
            {"images": np.zeros((4, 32, 32, 3), np.uint8), "labels": np.arange(4), "classes": "abcd"},
            r"`classes` are <U4 \(\); expected a row",
        ),
        (
            {"images": np.zeros((4, 32, 32, 3), np.uint8), "labels": np.array([0, 1, 2, 10**10])},
            "a label of 10000000000 but no `classes`",
        ),
        (
            {"bytes": np.zeros(9, np.uint8), "offsets": np.array([0, 9]), "labels": np.zeros(1, int)},
            "cannot be decoded",
        ),
        ({"bytes": np.zeros(9, np.uint8), "offsets": np.array([0]), "labels": np.zeros(0, int)}, "holds no images"),
        ({"bytes": np.zeros(9, np.uint8), "offsets": np.array([0, 12]), "labels": np.zeros(1, int)}, "do not rise"),
        ({"bytes": np.zeros(9, np.uint8), "offsets": np.array([0, 9, 4]), "labels": np.zeros(2, int)}, "do not rise"),
        ({"bytes": np.zeros(9, np.uint8), "offsets": np.array([-9, 9]), "labels": np.zeros(1, int)}, "do not rise"),
        ({"bytes": np.zeros(9), "offsets": np.array([0, 9]), "labels": np.zeros(1, int)}, "`bytes` are float64"),
        ({"bytes": np.zeros(9, np.uint8), "offsets": np.zeros(2), "labels": np.zeros(1, int)}, "`offsets` float64"),
        (
            {"bytes": np.zeros(9, np.uint8), "offsets": np.array([0, 9]), "labels": np.array(["cat"])},
            "`labels` are <U3",
        ),
    ],
)
def test_an_npz_file_that_will_not_do_is_refused_in_a_sentence(arrays: dict, words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(InputError, match=words):
        dataset(tmp_path / "data.npz")


def test_a_broken_compressed_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", images=pictures(20), labels=np.arange(20) % 2)
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[30 + sum(struct.unpack("<HH", content[26:30]))] = 7  # a kind of block that zlib has not
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.npz: not a readable \.npz file \(.*invalid block type\)"):
        dataset(tmp_path / "x.npz")
