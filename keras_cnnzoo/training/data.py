"""What a network is trained and tested on. Needs numpy and Pillow alone, keras only to download a data set."""

import io
import os
import zipfile
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from ..archive import require_sound_zip
from ..errors import InputError
from ..images import SUFFIXES, UNDECODABLE, files_by_class, read_images

HELD_OUT = 0.2


@dataclass(frozen=True)
class Arrays:
    """Pictures of one size in memory: pixels (n, height, width, channels) uint8, labels (n,) int64."""

    pixels: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def chosen(self, indices: np.ndarray) -> "Arrays":
        return Arrays(self.pixels[indices], self.labels[indices])


@dataclass(frozen=True)
class Pictures:
    """Pictures as files or as their bytes, decoded when they are used; labels (n,) int64."""

    encoded: tuple[str | bytes, ...]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def chosen(self, indices: np.ndarray) -> "Pictures":
        return Pictures(tuple(self.encoded[i] for i in indices), self.labels[indices])

    def unreadable(self) -> str | None:
        """The first picture that cannot be decoded, in words."""
        for number, item in enumerate(self.encoded):
            if fault := fault_of(item):
                return f"{item if isinstance(item, str) else f'picture {number}'} ({fault})"
        return None


@dataclass(frozen=True)
class Records:
    """TFRecord files with as many pictures each as `counts` says (see `keras_cnnzoo.training.records`)."""

    files: tuple[str, ...]
    counts: tuple[int, ...]

    def __len__(self) -> int:
        return sum(self.counts)

    def unreadable(self) -> str | None:
        """The first file that breaks off, or record whose picture cannot be decoded, in words."""
        from .records import unreadable

        return unreadable(self)


Source = Arrays | Pictures | Records


@dataclass(frozen=True)
class Data:
    """Pictures to train on, others to test on.

    Args:
        train: to learn from.
        test: held out.
        classes: their names, by label.
        shape: (height, width, channels) of the network's input.
        name: where it came from, in words.
        skipped: files that are no pictures.
        cut: whether the test images were taken from the training images, not given as such.
    """

    train: Source
    test: Source
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    name: str
    skipped: int = 0
    cut: bool = False

    def limited(self, count: int, seed: int = 0) -> "Data":
        """At most `count` pictures of either part, drawn by `seed`; of TFRecords, whole files."""
        return replace(self, train=_limited(self.train, count, seed), test=_limited(self.test, count, seed))


def fault_of(picture: str | bytes) -> str | None:
    """Why a file, or the bytes of one, cannot be decoded; None where it can."""
    try:
        with Image.open(picture if isinstance(picture, str) else io.BytesIO(picture)) as opened:
            opened.load()
    except UNDECODABLE as error:
        return str(error)
    return None


def _limited(source: Source, count: int, seed: int) -> Source:
    if count < 1:
        raise InputError(f"limit {count}: 1 picture or more")
    if isinstance(source, Records):
        held = max(1, int(np.searchsorted(np.cumsum(source.counts), count, side="right")))
        return Records(source.files[:held], source.counts[:held])
    return (
        source if len(source) <= count else source.chosen(np.random.default_rng(seed).permutation(len(source))[:count])
    )


def dataset(
    source: str | os.PathLike[str],
    *,
    test: str | os.PathLike[str] | None = None,
    size: int | None = None,
    channels: int = 3,
    seed: int = 0,
) -> Data:
    """The data that a name or a path means.

    Args:
        source: "fashion_mnist" (28x28 in a black frame of 32x32, 1 channel), "cifar10", "digits" (scikit-learn's, 8x8,
            1 channel), an .npz file (`images` uint8 NHWC and `labels`, or JPEG bytes as `bytes`, `offsets` and
            `labels`), a folder with one folder a class (or with such folders below train/ and test/ or val/), or a
            folder of TFRecords that `write_shards` wrote.
        test: what to test on, an .npz file or a folder; else the set's own test images, or a fifth of each class.
        size: height and width of the network's input; else the pictures' own, and 224 for a folder's.
        channels: of a folder's pictures, 1 or 3.
        seed: of the fifth that is held out.

    Raises:
        InputError: no such data, nothing readable in it, fewer than two classes, or labels out of range.
    """
    from .named import NAMED

    name = str(source)
    if name in NAMED:
        data = NAMED[name](seed)
    elif (Path(name) / "dataset.json").is_file():
        from .records import read_shards

        data = read_shards(name, (size or 224, size or 224, channels))
    elif Path(name).is_dir():
        data = _folder(Path(name), (size or 224, size or 224, channels), seed)
    elif name.endswith(".npz"):
        data = _npz(Path(name), seed)
    else:
        raise InputError(f"{name}: expected {', '.join(NAMED)}, an .npz file, or a folder of pictures or TFRecords")
    if test is not None:
        held = dataset(test, size=size, channels=data.shape[2], seed=seed)
        name, whole = f"{data.name}, tested on {held.name}", _all_of(data) if data.cut else data.train
        data = replace(data, train=whole, test=_all_of(held), name=name, cut=False)
    data = _of_size(data, size)
    _check(data)
    return data


def _check(data: Data) -> None:
    for part, source in (("training", data.train), ("test", data.test)):
        if isinstance(source, Records):
            continue
        if not len(source):
            raise InputError(f"{data.name}: no {part} images")
        low, high = int(source.labels.min()), int(source.labels.max())
        if low < 0 or high >= len(data.classes):
            raise InputError(
                f"{data.name}: {part} labels from {low} to {high} but there are {len(data.classes)} classes; "
                "number them from 0"
            )
        if part == "training" and low == high:
            raise InputError(f"{data.name}: images of one class alone; a classifier needs two or more")


def _all_of(data: Data) -> Source:
    """Both parts together; of TFRecords the test part."""
    train, test = data.train, data.test
    if isinstance(train, Arrays) and isinstance(test, Arrays):
        return Arrays(np.concatenate([train.pixels, test.pixels]), np.concatenate([train.labels, test.labels]))
    if isinstance(train, Pictures) and isinstance(test, Pictures):
        return Pictures(train.encoded + test.encoded, np.concatenate([train.labels, test.labels]))
    return test


def split(source: Source, classes: tuple[str, ...], shape: tuple[int, int, int], name: str, seed: int) -> Data:
    """A fifth of each class held out."""
    assert not isinstance(source, Records)
    labels = source.labels
    order = np.random.default_rng(seed).permutation(len(labels))
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        held[members[: round(HELD_OUT * len(members))]] = True
    if not held.any():
        raise InputError(f"{name}: too few images to hold some out; give three or more of a class, or test data")
    train, test = (source.chosen(np.flatnonzero(part)) for part in (~held, held))
    return Data(train, test, classes, shape, name, cut=True)


def _npz(path: Path, seed: int) -> Data:
    require_sound_zip(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            jpeg = {"bytes", "offsets", "labels"} <= set(file.files)
            found = {key: file[key] for key in ("bytes", "offsets", "labels", "classes") if jpeg and key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a readable .npz file ({error})") from error
    if jpeg:
        return _jpeg_npz(path, found, seed)
    images = read_images(path, None)
    if images.labels is None:
        raise InputError(f"{path}: without `labels`; a classifier learns from labelled images")
    labels = images.labels.astype(np.int64)
    return split(
        Arrays(images.pixels, labels), images.classes or _numbered(labels), images.pixels.shape[1:], path.name, seed
    )


def _jpeg_npz(path: Path, found: dict[str, np.ndarray], seed: int) -> Data:
    content, offsets, labels = found["bytes"].tobytes(), found["offsets"], found["labels"].astype(np.int64)
    if not len(labels) or len(offsets) != len(labels) + 1 or offsets[-1] > len(content):
        raise InputError(f"{path}: `offsets` must be one more than the {len(labels)} labels, and end within `bytes`")
    encoded = tuple(content[a:b] for a, b in pairwise(offsets))
    try:
        with Image.open(io.BytesIO(encoded[0])) as first:
            shape = first.height, first.width, 1 if first.mode == "L" else 3
    except UNDECODABLE as error:
        raise InputError(f"{path}: its first picture cannot be decoded ({error})") from error
    classes = tuple(map(str, found["classes"])) if "classes" in found else _numbered(labels)
    return split(Pictures(encoded, labels), classes, shape, path.name, seed)


def _numbered(labels: np.ndarray) -> tuple[str, ...]:
    return tuple(map(str, range(int(labels.max()) + 1))) if len(labels) else ()


def _folder(path: Path, shape: tuple[int, int, int], seed: int) -> Data:
    below = next((path / name for name in ("test", "val", "validation") if (path / name).is_dir()), None)
    if (path / "train").is_dir() and below is not None:
        train, classes, skipped = _by_class(path / "train")
        test, others, more = _by_class(below)
        if others != classes:
            raise InputError(f"{below}: its classes are not those of {path / 'train'}; name the folders alike")
        return Data(train, test, classes, shape, path.name, skipped + more)
    pictures, classes, skipped = _by_class(path)
    return replace(split(pictures, classes, shape, path.name, seed), skipped=skipped)


def _by_class(path: Path) -> tuple[Pictures, tuple[str, ...], int]:
    """Pictures of a folder with one folder a class, the classes' names, and how many files are no pictures."""
    found, classes = files_by_class(path)
    if len({label for _, label in found}) < 2:
        raise InputError(f"{path}: needs pictures in two folders or more, one a class ({', '.join(sorted(SUFFIXES))})")
    readable = [(str(file), label) for file, label in found if _is_picture(file)]
    if not readable:
        raise InputError(f"{path}: none of its {len(found)} pictures can be read")
    files, labels = zip(*readable, strict=True)
    return Pictures(files, np.array(labels, np.int64)), classes, len(found) - len(readable)


def _is_picture(file: Path) -> bool:
    """By its header; what is broken further in is told when it is decoded."""
    try:
        with Image.open(file):
            return True
    except UNDECODABLE:
        return False


def _of_size(data: Data, size: int | None) -> Data:
    """Arrays scaled to `size`, and the test images to those of the training."""
    shape = data.shape if size is None else (size, size, data.shape[2])
    if min(shape[:2]) < 8 or max(shape[:2]) > 2048:
        raise InputError(f"{data.name}: pictures of {shape[0]}x{shape[1]}; from 8 to 2048 pixels, see --size")
    train, test = (
        _scaled(part, shape, data.name) if isinstance(part, Arrays) else part for part in (data.train, data.test)
    )
    return replace(data, train=train, test=test, shape=shape)


def _scaled(arrays: Arrays, shape: tuple[int, int, int], name: str) -> Arrays:
    height, width, channels = shape
    if arrays.pixels.shape[3] != channels:
        raise InputError(f"{name}: images of {arrays.pixels.shape[3]} channels beside others of {channels}")
    if arrays.pixels.shape[1:3] == (height, width):
        return arrays
    resized = np.empty((len(arrays), *shape), np.uint8)
    for image, target in zip(arrays.pixels, resized, strict=True):
        for channel in range(channels):
            plane = Image.fromarray(np.ascontiguousarray(image[..., channel]))
            target[..., channel] = np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR))
    return Arrays(resized, arrays.labels)
