"""The data that a name or a path means. Needs numpy and Pillow alone, but for data sets by name."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import InputError
from ..images import SUFFIXES, UNDECODABLE, Images, files_by_class, none_readable, open_images
from .data import Arrays, Data, Pictures, Records, Whole
from .named import NAMED
from .records import read_shards

DEFAULT = 224  # height and width of a folder's pictures
MOST = 100_000  # classes without names


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
            `labels`), a folder with one folder a class (or with such folders below train/ and test/, val/ or
            validation/), or a folder of TFRecords that `write_shards` wrote.
        test: what to test on instead of the set's own test images or a fifth of each class: the same kinds of source,
            of the same classes; of one that has test images of its own, these alone.
        size: height and width of the network's input; else the pictures' own, and 224 for a folder's.
        channels: of a folder's pictures, 1 or 3.
        seed: of the fifth that is held out.

    Raises:
        InputError: no such data, nothing readable in it, fewer than two classes, or labels out of range.
    """
    if channels not in (1, 3):
        raise InputError(f"channels={channels}: expected 1 or 3")
    if seed < 0:
        raise InputError(f"seed={seed}: expected 0 or more")
    found = _found(str(source), size, channels)
    if test is not None:
        data = _tested_on(found, _found(str(test), size, found.shape[2]))
    else:
        data = found.split(seed) if isinstance(found, Whole) else found
    data = _of_size(data, size)
    _check(data)
    return data


def _found(name: str, size: int | None, channels: int) -> Data | Whole:
    if name in NAMED:
        return NAMED[name]()
    shape = (size or DEFAULT, size or DEFAULT, channels)
    if (Path(name) / "dataset.json").is_file():
        return read_shards(name, size, channels)
    if Path(name).is_dir():
        return _folder(Path(name), shape)
    if name.endswith(".npz"):
        return _npz(Path(name))
    raise InputError(f"{name}: expected {', '.join(NAMED)}, an .npz file, or a folder of pictures or TFRecords")


def _tested_on(found: Data | Whole, held: Data | Whole) -> Data:
    """All of one set but its test images, to be tested on another's; labels without names are taken as they are."""
    named = [part.classes for part in (found, held) if part.classes != _numbered(len(part.classes))]
    if len(named) == 2 and named[0] != named[1]:
        theirs, ours = (", ".join(classes) for classes in reversed(named))
        raise InputError(
            f"{held.name}: its classes ({theirs}) are not those of {found.name} ({ours}); name them alike, in the same "
            "order (a class without pictures is an empty folder)"
        )
    train = found.source if isinstance(found, Whole) else found.train
    test = held.source if isinstance(held, Whole) else held.test
    if isinstance(test, Records) and len(held.classes) > len(found.classes):  # their labels are not looked at
        counts = f"TFRecords of {len(held.classes)} classes, {found.name} has {len(found.classes)}"
        raise InputError(f"{held.name}: {counts}; give both the same")
    name, skipped = f"{found.name}, tested on {held.name}", found.skipped + held.skipped
    return Data(train, test, found.classes, found.shape, name, skipped)


def _check(data: Data) -> None:
    for part, source in (("training", data.train), ("test", data.test)):
        if isinstance(source, Records):
            continue
        if not len(source):
            raise InputError(f"{data.name}: no {part} images; give at least one")
        low, high = int(source.labels.min()), int(source.labels.max())
        if low < 0 or high >= len(data.classes):
            raise InputError(
                f"{data.name}: {part} labels from {low} to {high} but there are {len(data.classes)} classes; "
                "number them from 0"
            )
        if part == "training" and low == high:
            raise InputError(
                f"{data.name}: images of one class alone; a classifier needs two or more, in a folder "
                "one folder a class"
            )


def _npz(path: Path) -> Whole:
    opened = open_images(path, None)
    if opened.labels is None:
        raise InputError(f"{path}: without `labels`; a classifier learns from labelled images")
    labels = opened.labels.astype(np.int64)
    if isinstance(opened, Images):
        source: Arrays | Pictures = Arrays(opened.pixels, labels)
    else:
        source = Pictures(tuple(file if isinstance(file, bytes) else str(file) for file, _ in opened.files), labels)
    height, width, channels = opened.shape
    return Whole(source, opened.classes or _of(labels, path), (height, width, channels), path.name)


def _of(labels: np.ndarray, path: Path) -> tuple[str, ...]:
    count = int(labels.max()) + 1
    if count > MOST:
        raise InputError(f"{path}: a label of {count - 1} but no `classes`; number {MOST} classes from 0, or fewer")
    return _numbered(count)


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


def _folder(path: Path, shape: tuple[int, int, int]) -> Data | Whole:
    below = next((path / name for name in ("test", "val", "validation") if (path / name).is_dir()), None)
    if (path / "train").is_dir() and below is not None:
        train, classes, skipped = _by_class(path / "train")
        test, others, more = _by_class(below)
        if others != classes:
            raise InputError(f"{below}: its classes are not those of {path / 'train'}; name the folders alike")
        return Data(train, test, classes, shape, path.name, skipped + more)
    pictures, classes, skipped = _by_class(path)
    return Whole(pictures, classes, shape, path.name, skipped)


def _by_class(path: Path) -> tuple[Pictures, tuple[str, ...], int]:
    """Pictures of a folder with one folder a class, the classes' names, and how many files are no pictures."""
    found, classes = files_by_class(path)
    if not found:
        raise InputError(
            f"{path}: no pictures by class; expected pictures in two folders or more, one a class "
            f"({', '.join(sorted(SUFFIXES))})"
        )
    readable = [(str(file), label) for file, label in found if _is_picture(file)]
    if not readable:
        raise none_readable(path, len(found))
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
        raise InputError(
            f"{name}: images of {arrays.pixels.shape[3]} channels beside others of {channels}; give both alike"
        )
    if arrays.pixels.shape[1:3] == (height, width):
        return arrays
    resized = np.empty((len(arrays), *shape), np.uint8)
    for image, target in zip(arrays.pixels, resized, strict=True):
        for channel in range(channels):
            plane = Image.fromarray(np.ascontiguousarray(image[..., channel]))
            target[..., channel] = np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR))
    return Arrays(resized, arrays.labels)
