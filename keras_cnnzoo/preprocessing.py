"""Preprocessing as data: a spec that travels with weights and artifacts. Needs numpy and Pillow alone."""

import json
import math
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from .errors import InputError

Channels = Literal["rgb", "bgr"]
Interpolation = Literal["nearest", "bilinear", "bicubic"]
LEAST_CROP = 0.01
LARGEST = 2**27  # pixels of a resized picture, of which the centre is cut
ROUNDING = 1e-6  # of a pixel, by which a float product may miss a whole number


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes the tensor that a network was trained on: resize, crop, (x * scale - mean) / std.

    Args:
        scale: multiplies the pixel values 0..255.
        mean: subtracted per channel, after scaling, in the order of `channels`; see `for_channels` for other counts.
        std: divides per channel, likewise.
        channels: "rgb" or "bgr".
        crop: the share of the shorter side that the central crop keeps, as in 224 of 256, at least 0.01; the rest is
            cut away.
        interpolation: of the resize.
    """

    scale: float = 1.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    channels: Channels = "rgb"
    crop: float = 0.875
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        if self.channels not in get_args(Channels) or self.interpolation not in get_args(Interpolation):
            raise InputError(
                f"preprocessing {self}: expected channels rgb or bgr, and interpolation nearest, bilinear or bicubic"
            )
        finite = all(map(math.isfinite, (self.scale, *self.mean, *self.std)))
        alike = len(self.mean) == len(self.std) > 0
        if not LEAST_CROP <= self.crop <= 1 or not alike or not all(self.std) or not finite:
            raise InputError(
                f"preprocessing {self}: expected crop from {LEAST_CROP} to 1, mean and std equally long, finite "
                "numbers, and no std of 0"
            )

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Normalises pixels 0..255; floats that all lie in 0..1 are taken as they are, with a warning.

        Args:
            images: (n, height, width, channels), whole numbers or floats; not changed.

        Returns:
            float32 of the same shape.
        """
        if self.normalises and images.dtype.kind == "f" and images.size and 0 <= images.min() < images.max() <= 1:
            warnings.warn("floats in 0..1 where pixels 0..255 are read: multiply them by 255", stacklevel=2)
        ordered = images[..., ::-1] if self.channels == "bgr" else images
        fitting = self.for_channels(images.shape[-1])
        mean, std = np.asarray(fitting.mean, np.float32), np.asarray(fitting.std, np.float32)
        return ((ordered * np.float32(self.scale) - mean) / std).astype(np.float32, copy=False)

    def for_channels(self, channels: int) -> "Preprocessing":
        """The spec for a network of so many channels: itself, or one with the averages of mean and std in each."""
        if len(self.mean) == channels:
            return self
        mean, std = (float(np.mean(side)) for side in (self.mean, self.std))
        return replace(self, mean=(mean,) * channels, std=(std,) * channels)

    @property
    def normalises(self) -> bool:
        """Whether pixels are changed at all."""
        return self.scale != 1 or any(self.mean) or any(std != 1 for std in self.std)

    def enlarged(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) from whose centre `size` is cut."""
        return round(size[0] / self.crop), round(size[1] / self.crop)

    def fit(self, picture: Image.Image, size: tuple[int, int]) -> Image.Image:
        """Resizes the shorter side to size / crop and cuts the centre out: a picture of `size` (height, width).

        To the pixel what torchvision's Resize and CenterCrop do: the longer side is rounded down, half a pixel to even.

        Raises:
            InputError: a picture so narrow that it would be resized to more than 2^27 pixels.
        """
        (height, width), (tall, wide) = size, self.enlarged(size)
        enlarge = max(tall / picture.height, wide / picture.width)
        across, down = (int(side * enlarge + ROUNDING) for side in picture.size)
        if across * down > LARGEST:
            raise InputError(
                f"a picture of {picture.width}x{picture.height} pixels would be resized to {across}x{down}, more than "
                f"{LARGEST} pixels, for its centre; cut it, or leave it out"
            )
        picture = picture.resize((across, down), getattr(Image.Resampling, self.interpolation.upper()))
        left, top = round((picture.width - width) / 2), round((picture.height - height) / 2)
        return picture.crop((left, top, left + width, top + height))

    def to_dict(self) -> dict[str, Any]:
        """The spec as JSON knows it."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, spec: dict[str, Any]) -> "Preprocessing":
        """The inverse of `to_dict`.

        Raises:
            InputError: an unknown key, or a value of the wrong kind.
        """
        known = {field.name for field in fields(cls)}
        if not isinstance(spec, dict) or set(spec) - known:
            raise InputError(f"preprocessing {spec!r}: expected an object with the keys {', '.join(sorted(known))}")
        convert: dict[str, Callable[[Any], Any]] = {"mean": _floats, "std": _floats, "scale": float, "crop": float}
        try:
            arguments: dict[str, Any] = {key: convert.get(key, str)(value) for key, value in spec.items()}
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"preprocessing {spec!r}: expected numbers as scale and crop, lists of them as mean and std ({error})"
            ) from error
        return cls(**arguments)


def _floats(values: Any) -> tuple[float, ...]:
    if not isinstance(values, list | tuple):
        raise TypeError(f"{values!r} is no list")
    return tuple(map(float, values))


PRESETS = {
    "torch": Preprocessing(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "tf": Preprocessing(1 / 127.5, (1.0, 1.0, 1.0)),
    "caffe": Preprocessing(1.0, (103.939, 116.779, 123.68), channels="bgr"),
    "none": Preprocessing(),
}


def preprocessing(spec: str | PathLike[str]) -> Preprocessing:
    """The spec of that name ("torch", "tf", "caffe", "none"), or the one in a JSON file or an artifact's card.

    Raises:
        InputError: neither a name nor a readable file.
    """
    if str(spec) in PRESETS:
        return PRESETS[str(spec)]
    try:
        data = json.loads(Path(spec).read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"preprocess {str(spec)!r}: give {', '.join(PRESETS)} or a JSON file of such a spec"
        ) from error
    return Preprocessing.from_dict(
        data["preprocessing"] if isinstance(data, dict) and "preprocessing" in data else data
    )
