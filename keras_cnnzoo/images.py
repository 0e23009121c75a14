"""Labelled images from a folder or an .npz file. Needs numpy and Pillow alone."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image

from .archive import require_inside
from .errors import InputError
from .image_archive import read_archive
from .preprocessing import PRESETS, Preprocessing

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".ppm"}
UNDECODABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""What Pillow raises over a file that is no picture, or is broken."""


@dataclass(frozen=True)
class Images:
    """Pictures of one size, in memory.

    Args:
        pixels: (n, height, width, channels) uint8, or whatever a network shall read.
        labels: (n,) class indices, or None.
        classes: the classes' names by index, or None.
        skipped: files that could not be read.
        source: where they came from, in words.
    """

    pixels: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...] | None
    skipped: int
    source: str

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one picture."""
        return tuple(self.pixels.shape[1:])

    def labelled(self, labels: np.ndarray) -> "Images":
        """The same pictures with other labels."""
        return replace(self, labels=labels)

    def take(self, count: int, seed: int | None = None) -> "Images":
        """The first `count`, or so many drawn by `seed`."""
        chosen = _order(len(self), seed)[:count]
        return replace(self, pixels=self.pixels[chosen], labels=None if self.labels is None else self.labels[chosen])

    def parts(self, size: int) -> Iterator["Images"]:
        """Consecutive ones of at most `size` pictures; what was skipped before counts in none."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            labels = None if self.labels is None else self.labels[part]
            yield replace(self, pixels=self.pixels[part], labels=labels, skipped=0)

    def read(self, count: int | None = None) -> "Images":
        """Itself, or the first `count`."""
        return self if count is None else self.take(count)


@dataclass(frozen=True)
class Encoded:
    """Pictures as files or the bytes of these, decoded part by part: memory holds the pixels of a part.

    Args:
        files: each with its class index, or None.
        shape: (height, width, channels) that they are resized and cropped to.
        fit: how.
        classes: the classes' names by index, or None.
        source: where they came from, in words.
    """

    files: tuple[tuple[Path | bytes, int | None], ...]
    shape: tuple[int, int, int]
    fit: Preprocessing
    classes: tuple[str, ...] | None
    source: str

    def __len__(self) -> int:
        return len(self.files)

    @property
    def labels(self) -> np.ndarray | None:
        """(n,) class indices; None unless every file has one."""
        labels = [label for _, label in self.files]
        return None if None in labels else np.array(labels)

    def labelled(self, labels: np.ndarray) -> "Encoded":
        """The same pictures with other labels."""
        paired = zip(self.files, labels, strict=True)
        return replace(self, files=tuple((file, int(label)) for (file, _), label in paired))

    def take(self, count: int | None, seed: int | None = None) -> "Encoded":
        """The first `count`, or so many drawn by `seed`."""
        return replace(self, files=tuple(self.files[i] for i in _order(len(self), seed)[:count]))

    def parts(self, size: int) -> Iterator["Encoded"]:
        """Consecutive ones of at most `size` files."""
        for start in range(0, len(self), size):
            yield replace(self, files=self.files[start : start + size])

    def read(self, count: int | None = None) -> Images:
        """Decodes them, at most `count`; what cannot be read is skipped."""
        pixels: list[np.ndarray] = []
        labels: list[int | None] = []
        skipped = 0
        for file, label in self.files:
            if len(pixels) == count:
                break
            try:
                pixels.append(read_picture(file, self.shape, self.fit))
                labels.append(label)
            except InputError:
                skipped += 1
        known = np.array(labels, np.int64) if None not in labels else None
        whole = np.stack(pixels) if pixels else np.empty((0, *self.shape), np.uint8)
        return Images(whole, known, self.classes, skipped, self.source)


def _order(count: int, seed: int | None) -> np.ndarray:
    return np.arange(count) if seed is None else np.random.default_rng(seed).permutation(count)


def open_images(
    source: str | PathLike[str],
    size: tuple[int, int, int] | None,
    *,
    fit: Preprocessing = PRESETS["none"],
    count: int | None = None,
    seed: int | None = None,
) -> Images | Encoded:
    """The pictures of an .npz file or of a folder.

    An .npz file holds `images` (uint8 NHWC), or JPEG and PNG files as `bytes` and `offsets`, optionally `labels` and
    `classes`.
    A folder holds one folder a class (their sorted names are the classes), or pictures side by side with an optional
    `labels.json` that maps each file's name to a class index (at the top or under "files").

    Args:
        source: the file or folder.
        size: (height, width, channels) that the network reads. Files are resized and cropped to it, an .npz file's
            `images` must have it; None takes an .npz file's own.
        fit: the resize and crop.
        count: at most so many.
        seed: drawn with this seed, else the first ones.

    Raises:
        InputError: nothing there, wrong size or dtype, a folder without `size`, or a symbolic link that leads out.
    """
    path = Path(source)
    if path.is_dir():
        if size is None:
            raise InputError(f"{path}: a folder's pictures are resized; give size=(HEIGHT, WIDTH, CHANNELS)")
        files, classes = _labelled_files(path)
        _require_depth(path, size[2])
        if not files:
            raise InputError(
                f"{path}: no pictures in it ({', '.join(sorted(SUFFIXES))}), nor in folders by class; give another"
            )
        return Encoded(tuple(files), size, fit, classes, path.name).take(count, seed)
    if path.suffix == ".npz" and path.is_file():
        images = _from_npz(path, size, fit)
        return images if count is None else images.take(count, seed)
    raise InputError(
        f"{path}: expected a folder of pictures, or an .npz file of `images` (uint8, NHWC) or of JPEG files"
    )


def read_images(
    source: str | PathLike[str],
    size: tuple[int, int, int] | None,
    *,
    fit: Preprocessing = PRESETS["none"],
    count: int | None = None,
    seed: int | None = None,
) -> Images:
    """The same as `open_images`, decoded: `count` pictures that can be read, if there are so many.

    Raises:
        InputError: nothing readable, wrong size or dtype.
    """
    opened = open_images(source, size, fit=fit)
    if isinstance(opened, Images):
        return opened if count is None else opened.take(count, seed)
    images = opened.take(None, seed).read(count)
    if not len(images):
        raise none_readable(Path(source), len(opened))
    return images


def none_readable(source: str | PathLike[str], count: int) -> InputError:
    """What to raise where of so many pictures not one could be decoded."""
    return InputError(f"{source}: none of its {count} pictures can be read; fetch them again, or give others")


def _from_npz(path: Path, size: tuple[int, int, int] | None, fit: Preprocessing) -> Images | Encoded:
    found = read_archive(path)
    pictures = found.pictures
    if isinstance(pictures, tuple):
        labels = [None] * len(pictures) if found.labels is None else found.labels.tolist()
        shape = size or _shape_of(path, pictures[0])
        _require_depth(path, shape[2])
        return Encoded(tuple(zip(pictures, labels, strict=True)), shape, fit, found.classes, path.name)
    if size is not None and pictures.shape[1:] != size:
        raise InputError(
            f"{path}: images are {'x'.join(map(str, pictures.shape[1:]))} but the network reads "
            f"{'x'.join(map(str, size))}; scale them, or build the network for their size "
            "(--set input_shape=HEIGHT,WIDTH,CHANNELS)"
        )
    return Images(pictures, found.labels, found.classes, 0, path.name)


def _shape_of(path: Path, first: bytes) -> tuple[int, int, int]:
    """Of the first picture of an archive."""
    try:
        with Image.open(io.BytesIO(first)) as picture:
            return picture.height, picture.width, 1 if picture.mode == "L" else 3
    except UNDECODABLE as error:
        raise InputError(
            f"{path}: its first picture cannot be decoded ({error}); expected whole JPEG or PNG files as `bytes`"
        ) from error


def _labelled_files(path: Path) -> tuple[list[tuple[Path, int | None]], tuple[str, ...] | None]:
    by_class, classes = files_by_class(path)
    if by_class:
        return [*by_class], classes
    index = _label_index(path / "labels.json")
    return [(file, index.get(file.name)) for file in _pictures(path, path)], None


def files_by_class(path: Path) -> tuple[list[tuple[Path, int]], tuple[str, ...]]:
    """The pictures of a folder with one folder a class, each with its class, and the classes' names.

    Raises:
        InputError: a symbolic link that leads out of the folder.
    """
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    files = [
        (file, label) for label, folder in enumerate(folders) for file in _pictures(require_inside(folder, path), path)
    ]
    return files, tuple(folder.name for folder in folders)


def _pictures(folder: Path, root: Path) -> list[Path]:
    return sorted(require_inside(file, root) for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)


def _label_index(path: Path) -> dict[str, int]:
    if not path.is_file():
        return {}
    try:
        entries = json.loads(path.read_text())
        return {name: int(index) for name, index in entries.get("files", entries).items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: expected an object of file names and class indices ({error})") from error


def _require_depth(source: str | PathLike[str], channels: int) -> None:
    if channels not in (1, 3):
        raise InputError(
            f"{source}: pictures have 1 or 3 channels but the network reads {channels}; give an .npz file of `images`"
        )


def of_channels(picture: Image.Image, channels: int) -> Image.Image:
    """A picture as RGB, or for one channel as grey; of 16 bits the upper eight count, as to TensorFlow."""
    if picture.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip at 255
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    return picture.convert("RGB" if channels == 3 else "L")


def read_picture(
    file: str | PathLike[str] | bytes, size: tuple[int, int, int], fit: Preprocessing = PRESETS["none"]
) -> np.ndarray:
    """One picture, as a file or its bytes, as uint8 pixels of `size` (height, width, 1 or 3 channels).

    Raises:
        InputError: it cannot be decoded, or is so narrow that it would be resized to more pixels than memory holds.
    """
    height, width, channels = size
    name = "bytes" if isinstance(file, bytes) else file
    _require_depth(name, channels)
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as picture:
            converted = of_channels(picture, channels)
    except UNDECODABLE as error:
        raise InputError(f"{name}: not a readable picture ({error}); fetch it again, or leave it out") from error
    same = (converted.height, converted.width) == (height, width)
    pixels = np.asarray(converted if same else fit.fit(converted, (height, width)))
    return pixels.reshape(size)
