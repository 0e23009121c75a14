"""Representative inputs of a network, and where they came from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...images import read_images
from ...preprocessing import PRESETS, Preprocessing

BYTES = 255.0  # pixels as they are read run to here


@dataclass(frozen=True)
class Calibration:
    """Representative inputs of a model and where they came from.

    Args:
        inputs: (n, height, width, channels), preprocessed as in use; kept as float32.
        source: in words, for the card.
        random: noise, good for latency work alone.

    Raises:
        InputError: no image, NaN or infinite values, or nothing but one value.
    """

    inputs: np.ndarray
    source: str
    random: bool = False

    def __post_init__(self) -> None:
        if not len(self.inputs):
            raise InputError("the representative dataset is empty; give at least one image")
        object.__setattr__(self, "inputs", self.inputs.astype(np.float32, copy=False))
        channels = self.inputs.reshape(-1, self.inputs.shape[-1])
        low, high = channels.min(axis=0), channels.max(axis=0)
        if not np.isfinite([low, high]).all():
            raise InputError("the representative dataset holds NaN or infinite values; clean it first")
        if (low == high).all():
            raise InputError(
                f"every value of the representative dataset is {low[0]:g} (in the first channel); give images of the "
                "kind that the network will see"
            )

    @classmethod
    def noise(cls, count: int, shape: tuple[int, ...], seed: int = 0) -> "Calibration":
        """Normal noise: the file's latency will be right, its answers mean nothing."""
        inputs = np.random.default_rng(seed).standard_normal((count, *shape), np.float32)
        return cls(inputs, f"random:{count}", random=True)

    @classmethod
    def of(
        cls,
        source: "np.ndarray | str | PathLike[str] | Iterable[Any]",
        *,
        preprocessing: Preprocessing = PRESETS["none"],
        size: tuple[int, int, int] | None = None,
        count: int | None = None,
        seed: int | None = None,
    ) -> "Calibration":
        """From pixels of any origin.

        Args:
            source: an array (n, height, width, channels), an .npz file, a folder of pictures, or an iterable of
                batches: a tf.data.Dataset, a generator; of (images, labels) the images are taken.
            preprocessing: what the network was trained on; it reads pixels of 0 to 255.
            size: (height, width, channels) that the network reads; a folder needs it.
            count: images at most.
            seed: draws them; None takes the first. Of an iterable the first are always taken.

        Raises:
            InputError: nothing there, or pixels in a range for which the preprocessing is not made.
        """
        if isinstance(source, str | PathLike):
            images = read_images(Path(source), size, fit=preprocessing, count=count, seed=seed)
            return cls(preprocessing(images.pixels), images.source)
        if isinstance(source, np.ndarray):
            order = np.arange(len(source)) if seed is None else np.random.default_rng(seed).permutation(len(source))
            pixels, name = source[order[:count]], "array"
        else:
            pixels, name = _collected(source, count), "batches"
        _refuse_scaled(pixels, preprocessing)
        return cls(preprocessing(pixels), name)

    def __len__(self) -> int:
        return len(self.inputs)


def representative(data: "Calibration | np.ndarray | Iterable[Any]") -> Calibration:
    """A Calibration from one, from an array of preprocessed inputs, or from an iterable of batches of them."""
    if isinstance(data, Calibration):
        return data
    if isinstance(data, str | PathLike):
        raise InputError(
            f"calibration={str(data)!r}: a path says nothing of preprocessing; give "
            f"Calibration.of({str(data)!r}, preprocessing=..., size=...)"
        )
    if isinstance(data, np.ndarray):
        return Calibration(data, "array")
    return Calibration(_collected(data, None), "batches")


def _collected(batches: Iterable[Any], count: int | None) -> np.ndarray:
    """The images of an iterable, no more of it read than `count` needs."""
    found: list[np.ndarray] = []
    for batch in batches:
        images = batch[0] if isinstance(batch, tuple | list) else batch
        if isinstance(images, Mapping):
            raise InputError(
                f"the representative dataset's batches are dictionaries of {', '.join(map(str, images))}; give arrays "
                "of images, or pairs of images and labels"
            )
        images = np.asarray(images)
        found.extend(islice(images, None if count is None else count - len(found)))
        if count is not None and len(found) >= count:
            break
    if not found:
        raise InputError("the representative dataset is empty; give at least one image")
    if len(shapes := dict.fromkeys(image.shape for image in found)) > 1:
        one, other, *_ = shapes
        raise InputError(
            f"the representative dataset holds images of {one} and {other}; scale them to what the network reads"
        )
    return np.stack(found)


def _refuse_scaled(pixels: np.ndarray, preprocessing: Preprocessing) -> None:
    """Float pixels of 0..1 or -1..1 where the preprocessing expects 0..255."""
    if pixels.dtype.kind != "f" or not len(pixels) or not preprocessing.normalises:
        return
    low, high = float(pixels.min()), float(pixels.max())
    if low >= -1.01 and high <= 1.01:
        raise InputError(
            f"the images run from {low:.3g} to {high:.3g} but the preprocessing reads pixels of 0 to {BYTES:.0f}; "
            "give them as they are, or multiply them by 255, or pass inputs that are preprocessed already as a "
            "Calibration(inputs, source)"
        )
