"""Top-1 of int8 files against the float32 Keras model on CIFAR-10 images, ours and plain TFLiteConverter's.

    python benchmarks/cifar_accuracy.py resnet20=w20.safetensors resnet56=w56.safetensors train.npz test.npz [seeds]

For each network and each seed, 500 calibration images are drawn from train.npz; both ways get the same. A difference is
paired over the images of test.npz, ties at the top score 1/k, and its 95 % interval is that of the mean over networks
and seeds.
"""

import sys

import numpy as np

import keras_cnnzoo
from keras_cnnzoo.export import Calibration
from keras_cnnzoo.export.calibration import min_max
from keras_cnnzoo.export.card import tool_versions
from keras_cnnzoo.export.converter import convert
from keras_cnnzoo.export.emit import emit
from keras_cnnzoo.export.graph import from_keras
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.lowering import lower
from keras_cnnzoo.export.quantize import quantize
from keras_cnnzoo.export.verify import compare, correct, paired_difference
from keras_cnnzoo.images import read_images
from keras_cnnzoo.preprocessing import PRESETS

COUNT, SIZE = 500, (32, 32, 3)


def ours(model: object, calibration: Calibration) -> bytes:
    graph = lower(from_keras(model))
    ranges = min_max(graph, calibration)
    return quantize(emit(graph), "int8", ranges)


def plain(model: object, calibration: Calibration) -> bytes:
    return convert(model, "int8", calibration, "int8", "int8", 1)


def main() -> None:
    *networks, train, test = [argument for argument in sys.argv[1:] if not argument.isdigit()]
    seeds = next((int(argument) for argument in sys.argv[1:] if argument.isdigit()), 5)
    held_out = read_images(test, SIZE)
    inputs = PRESETS["torch"](held_out.pixels)
    rights: dict[str, list[np.ndarray]] = {"float": [], "ours": [], "plain": []}
    print("| network | way | top-1 % | minus float, points | agreement % | SQNR dB |\n" + "|---" * 6 + "|")
    for name, _, weights in (argument.partition("=") for argument in networks):
        model = keras_cnnzoo.create(name, weights=weights, classifier_activation=None)
        expected = model.predict(inputs, batch_size=250, verbose=0)
        right = correct(expected, held_out.labels)
        print(f"| {name} | Keras float32 | {100 * right.mean():.2f} | 0 | 100 | |", flush=True)
        for way in (ours, plain):
            found, scores = [], []
            for seed in range(seeds):
                images = read_images(train, SIZE, count=COUNT, seed=seed)
                content = way(model, Calibration(PRESETS["torch"](images.pixels), images.source))
                answers = LiteRT(content)(inputs)[0]
                found.append(compare(expected, answers, held_out.labels))
                scores.append(correct(answers, held_out.labels))
            rights[way.__name__].append(np.mean(scores, axis=0))
            mean = {key: np.mean([getattr(f, key) for f in found]) for key in ("top1_file", "agreement", "sqnr_db")}
            difference, (low, high) = paired_difference(np.mean(scores, axis=0), right)
            print(
                f"| {name} | {way.__name__} int8, {seeds} seeds | {100 * mean['top1_file']:.2f} | {difference:+.2f} "
                f"({low:+.2f} to {high:+.2f}) | {100 * mean['agreement']:.2f} | {mean['sqnr_db']:.2f} |",
                flush=True,
            )
        rights["float"].append(right)
    for way in ("ours", "plain"):
        difference, (low, high) = paired_difference(np.mean(rights[way], axis=0), np.mean(rights["float"], axis=0))
        print(f"| all | {way} int8 | | {difference:+.2f} ({low:+.2f} to {high:+.2f}) | | |")
    print("\n" + ", ".join(f"{tool} {version}" for tool, version in tool_versions().items()))


if __name__ == "__main__":
    main()
