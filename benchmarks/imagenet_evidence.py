"""ImageNet weights out of .tflite files in our networks, and our int8 files of these: do they still answer photographs?

    python benchmarks/imagenet_evidence.py PHOTOGRAPHS mobilenet_v2=mobilenet_v2_1.0_224_quant.tflite [NETWORK=FILE ...]

PHOTOGRAPHS is a folder with a labels.json of class indices 0..999; a file of 1001 classes has a background class first.
Each row is compared with the source file over the same photographs: paired difference of top-1 (ties score 1/k) with
its 95 % interval, and the share of equal answers. Each int8 row is two files: one is calibrated on photographs of one
half and answers the other half, so that no photograph is answered by a file that was calibrated on it. The last column
is of the answers that differ: by how many steps of its uint8 output the source file itself prefers its answer to ours.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from conversion import plain

from keras_cnnzoo.app.tflite_reader import read_tflite
from keras_cnnzoo.export import Calibration, Quantization
from keras_cnnzoo.export.card import tool_versions
from keras_cnnzoo.export.graph import Graph, from_keras
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.lowering import lower
from keras_cnnzoo.export.pipeline import in_scheme
from keras_cnnzoo.export.verify import correct, paired_difference
from keras_cnnzoo.images import read_images

CALIBRATION, IMAGENET = 100, 1000
HEAD = "network", "way", "top-1 %", "minus the source file, points", "same answers %", "steps, median and largest"
WAYS = {
    "int8": Quantization("int8"),
    "int8, mean squared error": Quantization("int8", estimator="mse"),
    "int8, percentile": Quantization("int8", estimator="percentile"),
    "int8, without corrections": Quantization("int8", corrections=()),
    "int8, clipping, bias, AdaRound": Quantization("int8", corrections=("clipping", "bias", "adaround")),
    "int16": Quantization("int16"),
    "int8, per tensor": Quantization("int8", per_tensor=True),
    "int8, per tensor, without corrections": Quantization("int8", per_tensor=True, corrections=()),
}
CONVERTER = {"TFLiteConverter int8": False, "TFLiteConverter int8, per tensor": True}


def main() -> None:
    folder, *pairs = sys.argv[1:]
    print(f"| {' | '.join(HEAD)} |\n{'|---' * len(HEAD)}|")
    for network, _, path in (pair.partition("=") for pair in pairs):
        model, inputs, labels = photographed(folder, network, path)
        file = LiteRT(Path(path).read_bytes())
        source, step = file(inputs)[0], file.outputs[0]["quantization"][0]
        before = correct(source, labels)
        for way, answers in ways(model, inputs, source, folder):
            right, named = correct(answers, labels), answers.argmax(1)
            difference, (low, high) = paired_difference(right, before)
            gaps = ((source.max(1) - source[np.arange(len(source)), named]) / step)[named != source.argmax(1)]
            ties = f"{np.median(gaps):.0f}, {gaps.max():.0f}" if len(gaps) else ""
            print(
                f"| {network} | {way} | {100 * right.mean():.2f} | {difference:+.2f} ({low:+.2f} to {high:+.2f}) | "
                f"{100 * np.mean(named == source.argmax(1)):.2f} | {ties} |",
                flush=True,
            )
    print("\n" + ", ".join(f"{tool} {version}" for tool, version in tool_versions().items()))


def photographed(folder: str, network: str, path: str) -> tuple[Any, np.ndarray, np.ndarray]:
    """The network with the file's weights, its inputs of the photographs, and their labels."""
    model, _, spec = read_tflite(path, network)
    images = read_images(folder, model.input_shape[1:], fit=spec)
    return model, spec(images.pixels), images.labels + model.output_shape[-1] - IMAGENET


def by_halves(
    inputs: np.ndarray, like: np.ndarray, name: str, make: Callable[[Calibration, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Answers to all photographs, none by a file that was calibrated on it; `make` answers the second by the first."""
    order = np.random.default_rng(0).permutation(len(inputs))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    answers = np.empty_like(like)
    for seen, asked in (halves, halves[::-1]):
        answers[asked] = make(Calibration(inputs[seen[:CALIBRATION]], name), inputs[asked])
    return answers


def ways(model: Any, inputs: np.ndarray, source: np.ndarray, name: str) -> Iterator[tuple[str, np.ndarray]]:
    """Each way's answers to all photographs."""
    yield "source file, uint8", source
    yield "Keras float32", model.predict(inputs, batch_size=50, verbose=0)
    graph = lower(from_keras(model))
    makers: dict[str, Callable[[Calibration], LiteRT]] = {way: partial(ours, graph, o) for way, o in WAYS.items()}
    makers |= {way: partial(by_converter, model, per_tensor) for way, per_tensor in CONVERTER.items()}
    for way, make in makers.items():
        yield way, by_halves(inputs, source, name, lambda data, asked, make=make: make(data)(asked)[0])


def ours(graph: Graph, options: Quantization, data: Calibration) -> LiteRT:
    """The file of a scheme, without a word of its progress."""
    return LiteRT(in_scheme(graph, options, data, 1, lambda *phase: nullcontext(lambda amount: None))[0])


def by_converter(model: Any, per_tensor: bool, data: Calibration) -> LiteRT:
    """The file that TensorFlow's own converter makes of the same images."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    return LiteRT(plain(converter, "int8", data.inputs, per_tensor=per_tensor))


if __name__ == "__main__":
    main()
