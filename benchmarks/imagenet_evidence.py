"""ImageNet weights out of .tflite files in our networks, and our int8 files of these: do they still answer photographs?

    python benchmarks/imagenet_evidence.py PHOTOGRAPHS mobilenet_v2=mobilenet_v2_1.0_224_quant.tflite [NETWORK=FILE ...]

PHOTOGRAPHS is a folder with a labels.json of class indices 0..999; a file of 1001 classes has a background class first.
Each row is compared with the source file over the same photographs: paired difference of top-1 (ties score 1/k) with
its 95 % interval, and the share of equal answers. int8 is calibrated on 100 of the photographs, which "the others"
leaves out.
"""

import sys
from pathlib import Path

import numpy as np

from keras_cnnzoo.app.tflite_reader import read_tflite
from keras_cnnzoo.export import Calibration
from keras_cnnzoo.export.calibration import min_max
from keras_cnnzoo.export.card import tool_versions
from keras_cnnzoo.export.emit import emit
from keras_cnnzoo.export.graph import from_keras
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.lowering import lower
from keras_cnnzoo.export.quantize import quantize
from keras_cnnzoo.export.verify import correct, paired_difference
from keras_cnnzoo.images import read_images

CALIBRATION, IMAGENET = 100, 1000


def main() -> None:
    folder, *pairs = sys.argv[1:]
    print(
        "| network | way | photographs | top-1 % | minus the source file, points | same answers % |\n"
        + "|---" * 6
        + "|"
    )
    for network, _, path in (pair.partition("=") for pair in pairs):
        model, _, spec = read_tflite(path, network)
        images = read_images(folder, model.input_shape[1:], fit=spec)
        labels = images.labels + model.output_shape[-1] - IMAGENET
        inputs = spec(images.pixels)
        source = LiteRT(Path(path).read_bytes())(inputs)[0]
        drawn = np.random.default_rng(0).permutation(len(inputs))[:CALIBRATION]
        graph = lower(from_keras(model))
        small = quantize(emit(graph), "int8", min_max(graph, Calibration(inputs[drawn], folder)))
        integer = LiteRT(small)(inputs)[0]
        everything, others = np.arange(len(inputs)), np.setdiff1d(np.arange(len(inputs)), drawn)
        for way, answers, chosen in (
            ("source file, uint8", source, everything),
            ("ours, Keras float32", model.predict(inputs, batch_size=50, verbose=0), everything),
            ("ours, int8", integer, everything),
            ("ours, int8, the others", integer, others),
        ):
            right, before = (correct(each[chosen], labels[chosen]) for each in (answers, source))
            difference, (low, high) = paired_difference(right, before)
            same = 100 * np.mean(answers[chosen].argmax(1) == source[chosen].argmax(1))
            print(
                f"| {network} | {way} | {len(chosen)} | {100 * right.mean():.2f} | {difference:+.2f} ({low:+.2f} to "
                f"{high:+.2f}) | {same:.2f} |",
                flush=True,
            )
    print("\n" + ", ".join(f"{tool} {version}" for tool, version in tool_versions().items()))


if __name__ == "__main__":
    main()
