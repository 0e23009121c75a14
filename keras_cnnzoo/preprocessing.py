"""Preprocessing as data: a spec that travels with weights and artifacts. Needs numpy and Pillow alone."""

import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from .errors import InputError

Interpolation = Literal["nearest", "bilinear", "bicubic"]
ROUNDING = 1e-6  # of a pixel, by which a float product may miss a whole number


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes the tensor that a network was trained on: resize, crop, (x * scale - mean) / std.

    Args:
        scale: multiplies the pixel values 0..255.
        mean: subtracted per channel, after scaling, in the order of `channels`.
        std: divides per channel.
        channels: "rgb" or "bgr".
        crop: the share of the shorter side that the central crop keeps, as in 224 of 256; the rest is cut away.
        interpolation: of the resize.
    """

    scale: float = 1.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    channels: Literal["rgb", "bgr"] = "rgb"
    crop: float = 0.875
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        if self.channels not in ("rgb", "bgr") or self.interpolation not in ("nearest", "bilinear", "bicubic"):
            raise InputError(
                f"preprocessing {self}: expected channels rgb or bgr, and interpolation nearest, bilinear or bicubic"
            )
        if not 0 < self.crop <= 1 or len(self.mean) != len(self.std) or not all(self.std):
            raise InputError(
                f"preprocessing {self}: expected crop in (0, 1], mean and std equally long, and no std of 0"
            )

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Normalises pixels 0..255; floats that all lie in 0..1 are taken as they are, with a warning.

        Args:
            images: (n, height, width, channels), uint8 or float; not changed.

        Returns:
            float32 of the same shape.
        """
        if self.normalises and images.dtype.kind == "f" and images.size and 0 <= images.min() < images.max() <= 1:
            warnings.warn("floats in 0..1 where pixels 0..255 are read: multiply them by 255", stacklevel=2)
        ordered = images[..., ::-1] if self.channels == "bgr" else images
        mean, std = np.asarray(self.mean, np.float64), np.asarray(self.std, np.float64)
        if len(mean) != images.shape[-1]:
            mean, std = np.full(images.shape[-1], mean.mean()), np.full(images.shape[-1], std.mean())
        return (ordered * np.float32(self.scale) - mean.astype(np.float32)) / std.astype(np.float32)

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
        """
        (height, width), (tall, wide) = size, self.enlarged(size)
        enlarge = max(tall / picture.height, wide / picture.width)
        across, down = (int(side * enlarge + ROUNDING) for side in picture.size)
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
        except (TypeError, ValueError) as error:
            raise InputError(
                f"preprocessing {spec!r}: expected numbers as scale and crop, lists of them as mean and std ({error})"
            ) from error
        return cls(**arguments)


def _floats(values: Any) -> tuple[float, ...]:
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
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(
            f"preprocess {str(spec)!r}: give {', '.join(PRESETS)} or a JSON file of such a spec"
        ) from error
    return Preprocessing.from_dict(
        data["preprocessing"] if isinstance(data, dict) and data.get("preprocessing") else data
    )
