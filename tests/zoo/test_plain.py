"""to_plain_keras leaves none of our classes and no answer changed."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_cnnzoo as zoo
from keras_cnnzoo.preprocessing import PRESETS

NAMES = {
    "shufflenet_v2_x0_5": {"small_input": True},
    "resnet20": {},
    "resnext29_8x64d": {"cardinality": 4, "width": 8},
    "alexnet": {"variant": "paper"},
}


@pytest.mark.parametrize("name", NAMES)
def test_a_plain_model_answers_alike_where_this_package_is_not_installed(name: str, tmp_path: Path) -> None:
    size = 227 if name == "alexnet" else 32
    model = zoo.create(name, input_shape=(size, size, 3), classes=5, **NAMES[name])
    plain = zoo.to_plain_keras(model)
    assert {type(layer).__module__.split(".")[0] for layer in plain.layers} == {"keras"}
    images = np.random.default_rng(0).standard_normal((2, size, size, 3)).astype(np.float32)
    expected = np.asarray(model(images))
    np.testing.assert_allclose(np.asarray(plain(images)), expected, atol=1e-6)
    plain.save(tmp_path / "plain.keras")
    np.save(tmp_path / "images.npy", images)
    code = (
        "import sys; sys.modules['keras_cnnzoo'] = None; import keras, numpy as np;"
        "model = keras.saving.load_model('plain.keras'); np.save('answers.npy', model(np.load('images.npy')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "answers.npy"), expected, atol=1e-6)


def test_a_shuffle_of_unknown_size_is_refused_in_a_sentence() -> None:
    model = zoo.ShuffleNetV2(width=0.5, input_shape=(None, None, 3))
    with pytest.raises(zoo.InputError, match="build the model with an input_shape"):
        zoo.to_plain_keras(model)


@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "resnext29_8x64d"])
def test_networks_in_other_models_are_plain_as_well(name: str) -> None:
    network = zoo.create(name, input_shape=(32, 32, 3), classes=5, **NAMES[name])
    layers = zoo.preprocessing_layers(PRESETS["torch"], (32, 32))
    reads_pixels = keras.Sequential([keras.Input((40, 36, 3)), *layers, network], name="reads_pixels")
    image = keras.Input((40, 36, 3))
    model = keras.Model(image, keras.layers.Dense(2)(reads_pixels(image)))
    images = np.random.default_rng(0).uniform(0, 255, (2, 40, 36, 3)).astype(np.float32)
    for whole in (reads_pixels, model):
        plain = zoo.to_plain_keras(whole)
        assert plain.name == whole.name
        assert {type(layer).__module__.split(".")[0] for layer in plain._flatten_layers()} == {"keras"}
        np.testing.assert_allclose(np.asarray(plain(images)), np.asarray(whole(images)), atol=1e-6)


def test_a_model_that_is_no_graph_is_refused_in_a_sentence() -> None:
    with pytest.raises(zoo.InputError, match=r"begin keras\.Sequential with a keras\.Input"):
        zoo.to_plain_keras(keras.Sequential([keras.layers.Dense(2)]))


def test_a_plain_model_of_plain_layers_is_a_copy() -> None:
    image = keras.Input((4,))
    model = keras.Model(image, keras.layers.Dense(2)(image))
    assert np.allclose(zoo.to_plain_keras(model)(np.ones((1, 4))), model(np.ones((1, 4))))
