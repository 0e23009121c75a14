"""A classifier that trains in a moment, and pictures that it can tell apart."""

import keras
import numpy as np
import pytest

from keras_cnnzoo.training import Arrays, Data

SIZE, CLASSES = 12, 3


def coloured(count: int, seed: int) -> Arrays:
    """Noise, brighter in the channel of its class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    pixels = rng.integers(0, 160, (count, SIZE, SIZE, 3))
    pixels[np.arange(count), :, :, labels] += 60
    return Arrays(pixels.astype(np.uint8), labels.astype(np.int64))


@pytest.fixture(scope="session")
def small_data() -> Data:
    return Data(coloured(100, 0), coloured(31, 1), ("red", "green", "blue"), (SIZE, SIZE, 3), "coloured noise")


def small_network(
    name: str = "small", *, seed: int = 0, norm: bool = True, dropout: float = 0.2, classes: int = CLASSES
) -> keras.Model:
    """Convolution, normalisation, depthwise convolution, average, dropout, dense: logits."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(6, 3, 2, use_bias=not norm, name="conv")(image)
    x = keras.layers.BatchNormalization(name="norm")(x) if norm else x
    x = keras.layers.DepthwiseConv2D(3, name="depthwise")(keras.layers.ReLU()(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(dropout)(x) if dropout else x
    return keras.Model(image, keras.layers.Dense(classes, name="fc")(x), name=name)
