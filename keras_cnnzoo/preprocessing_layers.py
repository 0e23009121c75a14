"""A preprocessing spec as Keras layers, to stand in front of a network: it then takes pixels 0..255 of any size."""

from typing import TYPE_CHECKING

import numpy as np

from .preprocessing import Preprocessing

if TYPE_CHECKING:
    import keras


def preprocessing_layers(spec: Preprocessing, size: tuple[int, int] | None = None) -> "list[keras.layers.Layer]":
    """Resize, crop and normalise, as `keras.Sequential([*preprocessing_layers(spec, (224, 224)), model])`.

    The resize filters as Pillow's does, but first cuts the picture to `size`'s aspect ratio: against `spec.fit` pixels
    shift by less than one. Pass float32; (x * scale - mean) / std is exact to its rounding.

    Args:
        spec: of the network; its `channels` are reversed inside for "bgr". Of as many channels as the network reads:
            `spec.for_channels(1)` for a grey one.
        size: (height, width) that the network reads; None leaves resize and crop to the caller.
    """
    layers = [] if size is None else _fitting(spec, size)
    return [*layers, normalisation(spec)]


def normalisation(spec: Preprocessing, name: str | None = None) -> "keras.layers.Layer":
    """One layer from RGB pixels 0..255 to what the network reads, (n, h, w, c) both."""
    import keras

    std = np.asarray(spec.std, np.float64)
    scale, offset = spec.scale / std, -np.asarray(spec.mean, np.float64) / std
    if spec.channels == "rgb":
        return keras.layers.Rescaling(scale.tolist(), offset.tolist(), name=name)
    layer = keras.layers.Conv2D(len(scale), 1, trainable=False, name=name)
    layer.build((None, None, None, len(scale)))
    layer.set_weights([np.diag(scale)[::-1][None, None], offset])
    return layer


def _fitting(spec: Preprocessing, size: tuple[int, int]) -> "list[keras.layers.Layer]":
    import keras

    resize = keras.layers.Resizing(
        *spec.enlarged(size),
        interpolation=spec.interpolation,
        crop_to_aspect_ratio=True,
        antialias=spec.interpolation != "nearest",
    )
    return [resize, keras.layers.CenterCrop(*size)]
