"""What an .npz file of pictures holds: pixels, or JPEG and PNG files one behind the other. Needs numpy alone."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from .archive import UNREADABLE, require_sound_zip
from .errors import InputError, one_line

KEYS = ("images", "bytes", "offsets", "labels", "classes")


@dataclass(frozen=True)
class Archive:
    """The checked content of an .npz file; what it does not hold is None.

    Args:
        pictures: (n, height, width, channels) uint8, or n whole files of pictures.
        labels: (n,) integers.
        classes: the classes' names by index.
    """

    pictures: np.ndarray | tuple[bytes, ...]
    labels: np.ndarray | None
    classes: tuple[str, ...] | None


def read_archive(path: Path) -> Archive:
    """Reads `images` (uint8 NHWC), or `bytes` (uint8) and `offsets` (n + 1 of them into `bytes`, rising), each with
    optional `labels` and `classes`.

    Raises:
        InputError: no such file, or its arrays do not fit each other.
    """
    require_sound_zip(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in KEYS if key in file.files}
    except UNREADABLE as error:
        raise InputError(
            f"{path}: not a readable .npz file ({one_line(error)[:200]}); write it again by numpy.savez"
        ) from error
    pictures: np.ndarray | tuple[bytes, ...]
    if "images" not in arrays and {"bytes", "offsets"} <= arrays.keys():
        pictures = _encoded(path, arrays["bytes"], arrays["offsets"])
    else:
        pictures = _pixels(path, arrays.get("images"))
    count = len(pictures)
    if not count:
        raise InputError(f"{path}: holds no images; give at least one")
    labels = arrays.get("labels")
    if labels is not None and (labels.shape != (count,) or labels.dtype.kind not in "iu"):
        raise InputError(f"{path}: `labels` are {labels.dtype} {labels.shape}; expected {count} integers")
    classes = arrays.get("classes")
    if classes is not None and classes.ndim != 1:
        raise InputError(f"{path}: `classes` are {classes.dtype} {classes.shape}; expected a row of names")
    if labels is not None and classes is not None and (labels.min() < 0 or labels.max() >= len(classes)):
        raise InputError(
            f"{path}: `labels` run from {labels.min()} to {labels.max()} but `classes` name {len(classes)}; number "
            "them from 0, the first of these"
        )
    return Archive(pictures, labels, None if classes is None else tuple(map(str, classes)))


def _pixels(path: Path, pixels: np.ndarray | None) -> np.ndarray:
    if pixels is None or pixels.dtype != np.uint8 or pixels.ndim != 4:
        found = "no `images`" if pixels is None else f"`images` of {pixels.dtype} {pixels.shape}{_range_of(pixels)}"
        raise InputError(
            f"{path}: {found}; expected uint8 pixels of shape (images, height, width, channels), or JPEG files as "
            "`bytes` and `offsets`"
        )
    return pixels


def _range_of(pixels: np.ndarray) -> str:
    """What floats seem to be instead of pixels 0..255."""
    if pixels.dtype.kind != "f" or not pixels.size:
        return ""
    low, high = float(pixels.min()), float(pixels.max())
    if low >= 0 and high <= 1:
        return " in 0..1 (multiply by 255, round, and store as uint8)"
    return f" from {low:.3g} to {high:.3g}"


def _encoded(path: Path, content: np.ndarray, offsets: np.ndarray) -> tuple[bytes, ...]:
    if content.dtype != np.uint8 or offsets.dtype.kind not in "iu" or offsets.ndim != 1:
        raise InputError(
            f"{path}: `bytes` are {content.dtype} {content.shape}, `offsets` {offsets.dtype} {offsets.shape}; expected "
            "a row of uint8 and a row of integers"
        )
    whole, places = content.tobytes(), offsets.tolist()
    if any(a > b for a, b in pairwise([0, *places, len(whole)])):
        raise InputError(f"{path}: its `offsets` do not rise from 0 to the {len(whole)} `bytes`; write it again")
    return tuple(whole[a:b] for a, b in pairwise(places))
