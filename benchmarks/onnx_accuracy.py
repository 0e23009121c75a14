"""Q/DQ ONNX files in ONNX Runtime against float Keras and against the int8 .tflite on LiteRT, of trained networks.

    python benchmarks/onnx_accuracy.py resnet20=w20.safetensors resnet56=w56.safetensors train.npz test.npz
      [--images 5000] [--calibrate 500] [--seeds 3] [--schemes percentile/equalisation+bias percentile min-max ...]
    python benchmarks/onnx_accuracy.py --bundled fashion_mnist     # the networks that ship; as in quantization.py

A scheme is an estimator of ranges and, behind a stroke, its corrections. Prints one line for each network, seed and
scheme: top-1, its paired difference from float with a 95 % interval, agreement with the float network and with the
.tflite file, and the logits' signal-to-noise ratio; then the means over the seeds. ONNX Runtime runs the operators as
they stand in the file ("exact"), which is the arithmetic that TensorRT promises.
"""

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

import keras
import numpy as np
from quantization import Trained, networks_of, take_networks

from keras_cnnzoo.errors import InputError
from keras_cnnzoo.export import Calibration, Quantization, to_onnx, to_tflite
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.onnx.runtime import OnnxRuntime
from keras_cnnzoo.export.verify import compare
from keras_cnnzoo.preprocessing import PRESETS

TORCH = PRESETS["torch"]
SCHEMES = (
    "percentile/equalisation+bias",
    "percentile/bias",
    "percentile",
    "percentile/adaround",
    "min-max",
    "mse",
    "mse/clipping+bias+adaround",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take_networks(parser)
    parser.add_argument("--calibrate", type=int, default=500, help="calibration images")
    parser.add_argument("--seeds", type=int, default=3, help="so many draws of them")
    parser.add_argument("--schemes", nargs="+", default=SCHEMES)
    arguments = parser.parse_args()
    try:
        schemes = {scheme: quantization_of(scheme) for scheme in arguments.schemes}
    except InputError as error:
        parser.error(f"--schemes: {error}")
    for one in networks_of(parser, arguments):
        measured(one, arguments.calibrate, arguments.seeds, schemes)


def measured(one: Trained, calibrate: int, seeds: int, schemes: dict[str, Quantization]) -> None:
    """Prints a network's rows."""
    model, images, labels = one.model(), TORCH(one.test.pixels), one.test.labels
    expected = np.asarray(model.predict(images, batch_size=100, verbose=0))
    rows: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for seed in range(seeds):
        train = one.train.take(calibrate, seed)
        data = Calibration(TORCH(train.pixels), train.source)
        lite = by_litert(model, data, images)
        rows["tflite int8"].append(line(one.name, seed, "tflite int8", expected, lite, lite, labels))
        for scheme, options in schemes.items():
            answers = by_onnx(model, options, data, images)
            rows[scheme].append(line(one.name, seed, f"Q/DQ {scheme}", expected, answers, lite, labels))
    for scheme, found in rows.items():
        drop, same, sqnr = np.mean(found, axis=0)
        print(f"{one.name:9} mean of {len(found)} {scheme:32} {drop:+.2f} points; tflite {same:.2%}; {sqnr:.2f} dB")


def by_litert(model: keras.Model, data: Calibration, images: np.ndarray) -> np.ndarray:
    """The logits of our int8 file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.tflite"
        to_tflite(model, path, quantize="int8", calibration=data)
        return LiteRT(path.read_bytes())(images)[0]


def quantization_of(scheme: str) -> Quantization:
    """What --schemes spells: an estimator and, behind a stroke, corrections with plus signs between.

    Raises:
        InputError: a name that none of them has.
    """
    estimator, _, corrections = scheme.partition("/")
    return Quantization("int8", estimator=estimator, corrections=tuple(filter(None, corrections.split("+"))))


def by_onnx(model: keras.Model, options: Quantization, data: Calibration, images: np.ndarray) -> np.ndarray:
    """The logits of the Q/DQ file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "qdq.onnx"
        to_onnx(model, path, quantize=options, calibration=data, batch=None)
        return OnnxRuntime(path.read_bytes())(images)[0]


def line(
    name: str, seed: int, scheme: str, expected: np.ndarray, answers: np.ndarray, lite: np.ndarray, labels: np.ndarray
) -> tuple[float, float, float]:
    """Prints a row as soon as it is known; returns points of top-1, agreement with the .tflite file, and decibels."""
    found = compare(expected, answers, labels)
    assert found.interval is not None
    low, high = found.interval
    same = float((answers.argmax(-1) == lite.argmax(-1)).mean())
    score = f"top-1 {found.top1_file:.2%} (float {found.top1_model:.2%}; {found.top1_difference:+.2f}"
    score += f", {low:+.2f} to {high:+.2f})"
    agreement = f"agreement: float {found.agreement:.2%}, tflite {same:.2%}"
    print(f"{name:9} seed {seed} {scheme:32} {score} {agreement}; SQNR {found.sqnr_db:.2f} dB", flush=True)
    return found.top1_difference or 0.0, same, found.sqnr_db or np.inf


if __name__ == "__main__":
    main()
