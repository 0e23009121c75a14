"""Trained CIFAR-10 networks: the reference's logits and top-1 in float32, the same accuracy in int8."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_cnnzoo
from keras_cnnzoo.export import Calibration, to_tflite, verify
from keras_cnnzoo.images import Images, read_images
from keras_cnnzoo.preprocessing import PRESETS

GATE, COUNT = 0.3, 500  # points; calibration images
NAMES = ["resnet20", "resnet56"]


@pytest.fixture(scope="module")
def reference(data: Path) -> dict[str, Any]:
    return json.loads((data / "expected.json").read_text())["models"]


@pytest.fixture(scope="module")
def test_images(data: Path) -> Images:
    return read_images(data / "cifar10" / "test.npz", (32, 32, 3))


@pytest.fixture(scope="module", params=NAMES)
def trained(data: Path, request: pytest.FixtureRequest) -> keras.Model:
    weights = data / "weights" / f"cifar_{request.param}.safetensors"
    return keras_cnnzoo.create(request.param, weights=weights, classifier_activation=None)


def test_logits_are_the_reference_s(trained: keras.Model, reference: dict[str, Any], test_images: Images) -> None:
    expected = np.array(reference[trained.name]["first8_test_logits"], np.float32)
    inputs = PRESETS["torch"](test_images.pixels[:8])
    logits = np.asarray(trained(inputs))
    assert np.ptp(expected, axis=0).max() > 0.1 * np.abs(expected).max()
    assert np.abs(logits - expected).max() <= 1e-4 * np.abs(expected).max()
    kernel = trained.get_layer("layer2_0_conv2").kernel
    before = np.array(kernel)
    kernel.assign(np.flip(before, -1))
    assert np.abs(np.asarray(trained(inputs)) - expected).max() > 1e-4 * np.abs(expected).max()
    kernel.assign(before)


@pytest.mark.slow
def test_top1_is_the_reference_s_exactly_and_int8_keeps_it(
    trained: keras.Model, reference: dict[str, Any], test_images: Images, data: Path, tmp_path: Path
) -> None:
    images = read_images(data / "cifar10" / "train.npz", (32, 32, 3), count=COUNT, seed=0)
    path = tmp_path / "int8.tflite"
    calibration = Calibration(PRESETS["torch"](images.pixels), images.source)
    to_tflite(trained, path, quantize="int8", calibration=calibration)
    found = verify(path.read_bytes(), trained, PRESETS["torch"](test_images.pixels), test_images.labels)
    assert found.top1_model == reference[trained.name]["test_correct"] / reference[trained.name]["test_count"]
    assert found.interval is not None
    assert found.interval[1] >= -GATE  # the gate of the accuracy rule
    assert found.top1_difference is not None
    assert found.top1_difference >= -GATE
    assert found.agreement >= 0.98
