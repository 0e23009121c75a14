"""Under every Keras backend the same file, byte for byte, and TensorFlow is not loaded for it."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnnzoo.export.interpreter import LiteRT

from .conftest import calibrated

BACKENDS = ("tensorflow", "jax", "torch")


@pytest.fixture(scope="module")
def folder(shufflenet: keras.Model, some_images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks that the emitter can write, one of two outputs, and one that needs TensorFlow's converter."""
    folder = tmp_path_factory.mktemp("backends")
    np.save(folder / "images.npy", some_images[:20])
    shufflenet.save(folder / "shufflenet.keras")
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3), name="image")
    x = layers.BatchNormalization()(layers.SeparableConv2D(8, 3, activation="silu")(image))
    pooled = layers.GlobalAveragePooling2D()(layers.Activation("hard_silu")(x + 3.0))
    both = keras.Model(image, [layers.Dense(5, name="first")(pooled), layers.Dense(3, name="second")(pooled)])
    calibrated(both, some_images[:20, :16, :16]).save(folder / "both.keras")
    x = layers.Conv2DTranspose(4, 3, 2, output_padding=1)(layers.Conv2D(4, 3)(image))
    keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x))).save(folder / "odd.keras")
    return folder


@pytest.fixture(scope="module")
def said(folder: Path) -> dict[str, dict]:
    """What each backend's process printed."""
    script = Path(__file__).with_name("on_backend.py")
    found = {}
    for backend in BACKENDS:
        if find_spec(backend) is None:
            continue
        environment = os.environ | {
            "KERAS_BACKEND": backend,
            "JAX_PLATFORMS": "cpu",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        done = subprocess.run(
            [sys.executable, "-W", "ignore", script, folder],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        found[backend] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_the_files_are_those_of_the_tensorflow_backend(said: dict[str, dict], backend: str) -> None:
    if backend not in said:
        pytest.skip(f"{backend} is not installed: no files of Keras' {backend} backend to compare")
    assert said[backend]["backend"] == backend
    ours = {key: value for key, value in said["tensorflow"]["files"].items() if not key.startswith("odd")}
    assert {by for _, by in ours.values()} == {"emitter"}
    assert {key: said[backend]["files"][key] for key in ours} == ours


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_tensorflow_is_not_loaded(said: dict[str, dict], backend: str) -> None:
    if backend not in said:
        pytest.skip(f"{backend} is not installed")
    assert set(said[backend]["tensorflow"].values()) == {False}


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_what_has_no_rule_is_converted_in_a_process_of_tensorflow_s_own(
    said: dict[str, dict], folder: Path, some_images: np.ndarray, backend: str
) -> None:
    if backend not in said:
        pytest.skip(f"{backend} is not installed")
    assert said[backend]["files"]["odd float32"][1] == "TFLiteConverter"
    images = some_images[:4, :16, :16]
    expected = np.asarray(keras.saving.load_model(folder / "odd.keras")(images))
    (answers,) = LiteRT((folder / f"odd_{backend}_float32.tflite").read_bytes())(images)
    assert np.ptp(expected, axis=0).max() > 0.1 * np.abs(expected).max()
    np.testing.assert_allclose(answers, expected, atol=1e-4 * np.abs(expected).max())
