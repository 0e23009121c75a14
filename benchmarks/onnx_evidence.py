"""Q/DQ ONNX files of ImageNet weights out of .tflite files, over photographs: what each correction does to them.

    python benchmarks/onnx_evidence.py PHOTOGRAPHS mobilenet_v2=mobilenet_v2_1.0_224_quant.tflite [NETWORK=FILE ...]

PHOTOGRAPHS is a folder with a labels.json of class indices 0..999. Each row is two files: one is calibrated on
photographs of one half and answers the other half. Top-1 is compared with the float network's (ties score 1/k).
"""

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
import numpy as np

from keras_cnnzoo.app.tflite_reader import read_tflite
from keras_cnnzoo.export import Calibration, Quantization, to_onnx, to_tflite
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.onnx.runtime import OnnxRuntime
from keras_cnnzoo.export.schemes import Correction
from keras_cnnzoo.export.verify import compare
from keras_cnnzoo.images import read_images

CALIBRATION, IMAGENET = 100, 1000
HEAD = "network", "corrections", "minus float, points", "agrees with float, with our .tflite", "SQNR dB"
WAYS: dict[str, tuple[Correction, ...] | None] = {
    "default": None,
    "none": (),
    "equalisation": ("equalisation",),
    "AdaRound": ("adaround",),
}
Answer = Callable[[np.ndarray], list[np.ndarray]]


def main() -> None:
    folder, *pairs = sys.argv[1:]
    print(f"| {' | '.join(HEAD)} |\n{'|---' * len(HEAD)}|")
    for network, _, path in (pair.partition("=") for pair in pairs):
        model, _, spec = read_tflite(path, network)
        images = read_images(folder, model.input_shape[1:], fit=spec)
        labels, inputs = images.labels + model.output_shape[-1] - IMAGENET, spec(images.pixels)
        expected = model.predict(inputs, batch_size=50, verbose=0)
        lite = by_halves(inputs, expected, folder, partial(by_litert, model))
        for way, mends in WAYS.items():
            answers = by_halves(inputs, expected, folder, partial(by_onnx, model, mends))
            found = compare(expected, answers, labels)
            assert found.interval is not None
            lost = "{:+.2f} ({:+.2f} to {:+.2f})".format(found.top1_difference, *found.interval)
            same = f"{100 * found.agreement:.1f}, {100 * np.mean(answers.argmax(1) == lite.argmax(1)):.1f} %"
            print(f"| {network} | {way} | {lost} | {same} | {found.sqnr_db:.2f} |", flush=True)


def by_halves(inputs: np.ndarray, like: np.ndarray, name: str, make: Callable[[Calibration], Answer]) -> np.ndarray:
    """Answers to all photographs, none by a file that was calibrated on it."""
    order = np.random.default_rng(0).permutation(len(inputs))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    answers = np.empty_like(like)
    for seen, asked in (halves, halves[::-1]):
        answers[asked] = make(Calibration(inputs[seen[:CALIBRATION]], name))(inputs[asked])[0]
    return answers


def by_litert(model: keras.Model, data: Calibration) -> Answer:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.tflite"
        to_tflite(model, path, quantize="int8", calibration=data)
        return LiteRT(path.read_bytes())


def by_onnx(model: keras.Model, mends: tuple[Correction, ...] | None, data: Calibration) -> Answer:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "qdq.onnx"
        to_onnx(model, path, quantize=Quantization("int8", corrections=mends), calibration=data, batch=None)
        return OnnxRuntime(path.read_bytes())


if __name__ == "__main__":
    main()
