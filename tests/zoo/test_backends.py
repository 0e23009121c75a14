"""Every family answers on JAX and on torch as on TensorFlow, and TensorFlow is not loaded for it.

The seven largest only under --nightly: JAX compiles each of their layers.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
import pytest

import keras_cnnzoo as zoo
from keras_cnnzoo.registry import VARIANTS
from keras_cnnzoo.weights.files import read_state

from .conftest import NAMES, NIGHTLY, TOLERANCE, calibrate, parity, pictures, shape_of
from .on_backend import train_once

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("backends")]  # in one process: its fixtures take minutes

LOGITS = {"classifier_activation": None, "classes": 7}
# VGG's dense layers would be 400 MB; AlexNet's are run as they come
ANSWER = {
    name: (name, LOGITS | {"input_shape": shape_of(name)} | ({"small_input": True} if name.startswith("vgg") else {}))
    for name in NAMES
}
SMOOTH = LOGITS | {"activation": "swish"}  # a ReLU whose argument rounds to the other sign shifts gradients by 1 %
TRAIN = {
    "grouped": ("resnext29_8x64d", SMOOTH | {"cardinality": 4, "width": 4, "input_shape": (16, 16, 3)}),
    "shuffled": ("shufflenet_v1_g3_x0_25", SMOOTH | {"small_input": True, "input_shape": (32, 32, 3)}),
}


@pytest.fixture(scope="module")
def expected(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder of every case's weights, images and what TensorFlow makes of them."""
    largest = math.inf if request.config.getoption("--nightly") else NIGHTLY
    answer = {name: case for name, case in ANSWER.items() if VARIANTS[name].macs <= largest}
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "cases.json").write_text(json.dumps({"answer": answer, "train": TRAIN}))
        for case, (name, options) in (answer | TRAIN).items():
            keras.utils.set_random_seed(0)
            model = zoo.create(name, **options)
            calibrate(model, shift=1.0)
            images = pictures(4, options["input_shape"], seed=1)
            zoo.save_weights(model, folder / f"{case}.safetensors")
            np.save(folder / f"{case}.images.npy", images)
            if case in answer:
                np.save(folder / f"{case}.expected.npy", np.asarray(model(images, training=False)))
            else:
                train_once(model, images)
                zoo.save_weights(model, folder / f"{case}.expected.safetensors")
            keras.backend.clear_session()
        yield folder


@pytest.fixture(scope="module", params=["jax", "torch"])
def other(request: pytest.FixtureRequest, expected: Path) -> tuple[Path, dict]:
    """The folder, answers of another backend in it, and what its process said."""
    backend = request.param
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: no answers of Keras' {backend} backend to compare")
    script = Path(__file__).with_name("on_backend.py")
    environment = os.environ | {
        "KERAS_BACKEND": backend,
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, expected], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["backend"] == backend
    return expected, said


def test_tensorflow_is_not_loaded(other: tuple[Path, dict]) -> None:
    assert other[1]["tensorflow"] is False


def test_every_family_answers_the_same(other: tuple[Path, dict]) -> None:
    folder, _ = other
    cases = json.loads((folder / "cases.json").read_text())["answer"]
    assert len(cases) >= len(ANSWER) - 7
    answers = {case: [np.load(folder / f"{case}.{kind}.npy") for kind in ("expected", "answers")] for case in cases}
    assert {case: parity(*pair) for case, pair in answers.items() if parity(*pair) > TOLERANCE} == {}


@pytest.mark.parametrize("case", TRAIN)
def test_a_training_step_of_a_grouped_network_changes_every_variable_alike(case: str, other: tuple[Path, dict]) -> None:
    before, here, there = (read_state(other[0] / f"{case}{kind}.safetensors") for kind in ("", ".expected", ".trained"))
    steps = {name: (here[name] - value, there[name] - value) for name, value in before.items()}
    assert [name for name, (_, step) in steps.items() if not np.isfinite(step).all()] == []
    assert [name for name, (_, step) in steps.items() if name.endswith("kernel") and not step.any()] == []
    largest = max(np.abs(step).max() for step, _ in steps.values())
    assert {n: float(np.abs(a - b).max()) for n, (a, b) in steps.items() if np.abs(a - b).max() > 1e-3 * largest} == {}
