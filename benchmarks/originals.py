"""Small files of every kind that this package reads; benchmarks/hardening.py mutates them."""

from pathlib import Path
from typing import Any

CLASSIFIER = "mobilenet_v1_x0_25"


def originals(folder: Path, kinds: list[str]) -> dict[str, list[Path]]:
    """Small files of each kind, made by this package and the libraries that it stands on."""
    import keras
    import numpy as np

    import keras_cnnzoo
    from keras_cnnzoo.export import Origin, to_tflite
    from keras_cnnzoo.preprocessing import PRESETS

    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, 2, activation="relu")(image)
    x = keras.layers.DepthwiseConv2D(3)(x)
    model = keras.Model(image, keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(x)), name="small")
    noise = np.random.default_rng(0).standard_normal((20, 16, 16, 3), np.float32)
    origin = Origin(preprocessing=PRESETS["torch"], labels=list("abcde"))
    paths = {
        name: folder / name for name in ("a.tflite", "b.tflite", "a.safetensors", "a.npz", "a.keras", "a.weights.h5")
    }
    to_tflite(model, paths["a.tflite"], origin=origin)
    to_tflite(model, paths["b.tflite"], quantize="int8", calibration=noise, origin=origin)
    for name in ("a.safetensors", "a.npz"):
        keras_cnnzoo.save_weights(model, paths[name])
    model.save(paths["a.keras"])
    model.save_weights(paths["a.weights.h5"])
    files = {
        "tflite": [paths["a.tflite"], paths["b.tflite"]],
        "tflite, unrun": [paths["b.tflite"]],
        "card": [folder / "b.tflite.json"],
        "safetensors": [paths["a.safetensors"]],
        "npz": [paths["a.npz"]],
        "h5 weights": [paths["a.weights.h5"]],
        "keras weights": [paths["a.keras"]],
        "keras network": [paths["a.keras"]],
        "image": pictures(folder),
    }
    if "tflite classifier" in kinds:
        files["tflite classifier"] = classifiers(folder)
    if "onnx" in kinds:
        from keras_cnnzoo.export import to_onnx

        to_onnx(model, folder / "a.onnx", origin=origin)
        files["onnx"] = [folder / "a.onnx"]
    if "board" in kinds:
        from board_answers import board_of

        files["board"] = [board_of(folder, paths["a.tflite"])]
    return files


def classifiers(folder: Path) -> list[Path]:
    """A network of the zoo as `cnnzoo from-tflite` reads it, in float and in integers."""
    import numpy as np

    import keras_cnnzoo
    from keras_cnnzoo.export import to_tflite

    options: dict[str, Any] = {"input_shape": (32, 32, 3), "classes": 5, "classifier_activation": None}
    model = keras_cnnzoo.create(CLASSIFIER, norm="none", padding="same", **options)
    noise = np.random.default_rng(0).standard_normal((4, 32, 32, 3), np.float32)
    paths = [folder / "c.tflite", folder / "c8.tflite"]
    to_tflite(model, paths[0])
    to_tflite(model, paths[1], quantize="int8", calibration=noise, inputs="uint8")
    return paths


def pictures(folder: Path) -> list[Path]:
    import numpy as np
    from PIL import Image

    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 9, 3), np.uint8).repeat(4, 0).repeat(4, 1))
    paths = [folder / f"a.{suffix}" for suffix in ("jpg", "png", "gif", "bmp", "webp", "ppm")]
    for path in paths:
        picture.save(path)
    return paths
