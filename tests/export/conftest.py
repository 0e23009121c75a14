"""Small networks with BN statistics that mean something, each built once."""

import keras
import numpy as np
import pytest

import keras_cnnzoo


def calibrated(model: keras.Model, images: np.ndarray) -> keras.Model:
    """The model with the BN statistics of one pass in training mode, and random gammas."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
            if layer.scale:
                layer.gamma.assign(rng.uniform(0.5, 1.5, layer.gamma.shape))
    model(images, training=True)
    return model


def varied(model: keras.Model) -> keras.Model:
    """The model with weights that are all equal, such as biases of 0 and gammas of 1, spread by a half either way."""
    rng = np.random.default_rng(2)
    for weight in model.weights:
        values = keras.ops.convert_to_numpy(weight)
        if values.ndim and values.dtype.kind == "f" and np.ptp(values) == 0:
            weight.assign(values + rng.uniform(-0.5, 0.5, values.shape))
    return model


@pytest.fixture(scope="session")
def resnet(some_images: np.ndarray) -> keras.Model:
    keras.utils.set_random_seed(0)
    return calibrated(keras_cnnzoo.ResNet20(classifier_activation=None), some_images)


@pytest.fixture(scope="session")
def shufflenet(some_images: np.ndarray) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras_cnnzoo.ShuffleNetV2(
        width=0.5, small_input=True, input_shape=(32, 32, 3), classes=10, classifier_activation=None
    )
    return calibrated(model, some_images)
