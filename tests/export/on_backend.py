"""Exports the models of a folder under the Keras backend of this process.

    KERAS_BACKEND=jax python on_backend.py FOLDER

FOLDER holds NAME.keras files and images.npy. For each model and scheme, what came out is printed as JSON: the file's
hash, by what it was converted; and whether TensorFlow was loaded on the way.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np

from keras_cnnzoo import layers  # noqa: F401  registers them
from keras_cnnzoo.export import to_tflite

SCHEMES = ("float32", "float16", "int8")


def main(folder: Path) -> None:
    images, found, loaded = np.load(folder / "images.npy"), {}, {}
    for path in sorted(folder.glob("*.keras"), key=lambda p: p.stem == "odd"):  # what needs TensorFlow comes last
        model = keras.saving.load_model(path, compile=False)
        data = images[:, : model.input_shape[1], : model.input_shape[2]]
        for scheme in SCHEMES:
            out = folder / f"{path.stem}_{keras.backend.backend()}_{scheme}.tflite"
            card = to_tflite(model, out, quantize=scheme, calibration=data)
            found[f"{path.stem} {scheme}"] = [card.artifact["sha256"], card.conversion["by"]]
        loaded[path.stem] = "tensorflow" in sys.modules
    print(json.dumps({"backend": keras.backend.backend(), "files": found, "tensorflow": loaded}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
