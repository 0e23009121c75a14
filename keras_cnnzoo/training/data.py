"""What a network is trained and tested on. Needs numpy and Pillow alone, but to look for a broken TFRecord."""

import hashlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import InputError
from ..images import UNDECODABLE

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

    def content(self) -> Iterator[bytes | memoryview]:
        """What tells these pictures from others."""
        yield np.ascontiguousarray(self.pixels).data
        yield np.ascontiguousarray(self.labels).data


@dataclass(frozen=True)
class Pictures:
    """Pictures as files or as their bytes, decoded when they are used; labels (n,) int64."""

    encoded: tuple[str | bytes, ...]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def chosen(self, indices: np.ndarray) -> "Pictures":
        return Pictures(tuple(self.encoded[i] for i in indices), self.labels[indices])

    def content(self) -> Iterator[bytes | memoryview]:
        """What tells these pictures from others: their bytes, or the files' names and sizes."""
        yield from (_named(item) if isinstance(item, str) else item for item in self.encoded)
        yield np.ascontiguousarray(self.labels).data

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

    def content(self) -> Iterator[bytes]:
        """What tells these pictures from others: the files' names and sizes."""
        yield from map(_named, self.files)

    def unreadable(self) -> str | None:
        """The first file that breaks off, or record whose picture cannot be decoded, in words."""
        import tensorflow as tf

        for file in self.files:
            try:
                for number, record in enumerate(tf.data.TFRecordDataset(os.fsencode(file)).as_numpy_iterator()):
                    encoded = tf.train.Example.FromString(record).features.feature["image/encoded"].bytes_list.value
                    if fault := fault_of(encoded[0]):
                        return f"record {number} of {file} ({fault})"
            except tf.errors.OpError as error:
                return f"{file} ({error.message.splitlines()[0]})"
        return None


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
    """

    train: Source
    test: Source
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    name: str
    skipped: int = 0

    @cached_property
    def fingerprint(self) -> str:
        """12 hex digits of classes, shape, labels and pixels; where pictures are files, of these' names and sizes."""
        digest = hashlib.sha256(json.dumps([self.classes, self.shape]).encode())
        for source in (self.train, self.test):
            for part in source.content():
                digest.update(part)
        return digest.hexdigest()[:12]

    def limited(self, count: int, seed: int = 0) -> "Data":
        """At most `count` pictures of either part, drawn by `seed`; of TFRecords whole files, one at least."""
        return replace(self, train=_limited(self.train, count, seed), test=_limited(self.test, count, seed))


@dataclass(frozen=True)
class Whole:
    """Pictures of which none are held out yet; the fields are those of `Data`."""

    source: Arrays | Pictures
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    name: str
    skipped: int = 0

    def split(self, seed: int) -> Data:
        """A fifth of each class held out, drawn by `seed`.

        Raises:
            InputError: too few pictures.
        """
        labels = self.source.labels
        order = np.random.default_rng(seed).permutation(len(labels))
        held = np.zeros(len(labels), bool)
        for label in np.unique(labels):
            members = order[labels[order] == label]
            held[members[: round(HELD_OUT * len(members))]] = True
        if not held.any():
            raise InputError(
                f"{self.name}: too few images to hold some out; give three or more of a class, or test data"
            )
        train, test = (self.source.chosen(np.flatnonzero(part)) for part in (~held, held))
        return Data(train, test, self.classes, self.shape, self.name, self.skipped)


def _named(file: str) -> bytes:
    """A file's name, its folder's (which may be its class) and its size, wherever these stand."""
    path = Path(file)
    return os.fsencode(f"{path.parent.name}/{path.name} {path.stat().st_size if path.exists() else 0}\n")


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
        raise InputError(f"limit {count}: expected 1 picture or more")
    if isinstance(source, Records):
        held = max(1, int(np.searchsorted(np.cumsum(source.counts), count, side="right")))
        return Records(source.files[:held], source.counts[:held])
    return (
        source if len(source) <= count else source.chosen(np.random.default_rng(seed).permutation(len(source))[:count])
    )
