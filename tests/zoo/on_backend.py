"""Builds and runs the cases of a folder on the Keras backend of this process, without TensorFlow.

    KERAS_BACKEND=jax python on_backend.py FOLDER

FOLDER/cases.json lists what to build; each case's weights and images stand beside it. The answers, and what a training
step changes the weights to, are written there.
"""

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_cnnzoo as zoo


def main(folder: Path) -> None:
    cases = json.loads((folder / "cases.json").read_text())
    for case, (name, options) in cases["train"].items():
        model = zoo.create(name, weights=folder / f"{case}.safetensors", **options)
        train_once(model, np.load(folder / f"{case}.images.npy"))
        zoo.save_weights(model, folder / f"{case}.trained.safetensors")
    # what follows reads all its weights from files: spare JAX the third of a second that a kernel's random numbers take
    keras.initializers.VarianceScaling.__call__ = _zeros
    for case, (name, options) in cases["answer"].items():
        model = zoo.create(name, weights=folder / f"{case}.safetensors", **options)
        images = np.load(folder / f"{case}.images.npy")
        answers = model.predict_on_batch(images)  # JAX then compiles a network at once
        np.save(folder / f"{case}.answers.npy", answers)
        keras.backend.clear_session()
    print(json.dumps({"backend": keras.backend.backend(), "tensorflow": "tensorflow" in sys.modules}))


def train_once(model: keras.Model, images: np.ndarray) -> None:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=keras.backend.backend() == "jax")
    model.train_on_batch(images, np.arange(len(images)) % model.output_shape[-1])


def _zeros(_: keras.initializers.Initializer, shape: tuple[int, ...], dtype: str | None = None) -> Any:
    return keras.ops.convert_to_tensor(np.zeros(shape, dtype or "float32"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
