"""Q/DQ ONNX files in ONNX Runtime against float Keras and against the int8 .tflite on LiteRT, on CIFAR-10.

    python benchmarks/onnx_accuracy.py DATA [--count 5000] [--calibrate 500] [--seed 0]

DATA holds cifar10/train.npz, cifar10/test.npz and weights/cifar_resnet20.safetensors, cifar_resnet56.safetensors.
Prints one line for each network and estimator: top-1, its paired difference from float with a 95 % interval, agreement
with the float network and with the .tflite file, and the logits' signal-to-noise ratio. ONNX Runtime runs the operators
as they stand in the file ("exact"), which is the arithmetic that TensorRT promises.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

import keras_cnnzoo
from keras_cnnzoo.export import Calibration, to_onnx, to_tflite
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.onnx.runtime import OnnxRuntime
from keras_cnnzoo.export.verify import compare
from keras_cnnzoo.images import read_images
from keras_cnnzoo.preprocessing import PRESETS

ESTIMATORS = ("min-max", "mse")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int, default=5000, help="test images")
    parser.add_argument("--calibrate", type=int, default=500, help="calibration images")
    parser.add_argument("--seed", type=int, default=0, help="draws them")
    arguments = parser.parse_args()
    size, torch = (32, 32, 3), PRESETS["torch"]
    train = read_images(arguments.data / "cifar10" / "train.npz", size, count=arguments.calibrate, seed=arguments.seed)
    test = read_images(arguments.data / "cifar10" / "test.npz", size)
    images, labels = torch(test.pixels[: arguments.count]), test.labels[: arguments.count]
    calibration = Calibration(torch(train.pixels), train.source)
    for name in ("resnet20", "resnet56"):
        weights = arguments.data / "weights" / f"cifar_{name}.safetensors"
        model = keras_cnnzoo.create(name, weights=weights, classifier_activation=None)
        expected = np.asarray(model.predict(images, batch_size=100, verbose=0))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "int8.tflite"
            to_tflite(model, path, quantize="int8", calibration=calibration)
            (lite,) = LiteRT(path.read_bytes())(images)
            line(name, "tflite int8", expected, lite, lite, labels)
            for estimator in ESTIMATORS:
                path = Path(folder) / f"{estimator}.onnx"
                to_onnx(model, path, quantize="int8", calibration=calibration, estimator=estimator, batch=None)
                (answers,) = OnnxRuntime(path.read_bytes(), exact=True)(images)
                line(name, f"Q/DQ {estimator}", expected, answers, lite, labels)


def line(
    name: str, scheme: str, expected: np.ndarray, answers: np.ndarray, lite: np.ndarray, labels: np.ndarray
) -> None:
    """One row of the table, as soon as it is known."""
    found = compare(expected, answers, labels)
    assert found.interval is not None
    low, high = found.interval
    same = float((answers.argmax(-1) == lite.argmax(-1)).mean())
    score = f"top-1 {found.top1_file:.2%} (float {found.top1_model:.2%}; {found.top1_difference:+.2f}"
    score += f", {low:+.2f} to {high:+.2f})"
    agreement = f"agreement: float {found.agreement:.2%}, tflite {same:.2%}"
    print(f"{name:9} {scheme:14} {score} {agreement}; SQNR {found.sqnr_db:.2f} dB", flush=True)


if __name__ == "__main__":
    main()
