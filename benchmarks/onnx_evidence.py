"""Q/DQ ONNX files of ImageNet weights out of .tflite files, over photographs: what each correction does to them.

    python benchmarks/onnx_evidence.py PHOTOGRAPHS mobilenet_v2=mobilenet_v2_1.0_224_quant.tflite [NETWORK=FILE ...]

PHOTOGRAPHS is a folder with a labels.json of class indices 0..999. Each row is two files: one is calibrated on
photographs of one half and answers the other half. Top-1 is compared with the float network's (ties score 1/k).
"""

import sys
from functools import partial

import numpy as np
from imagenet_evidence import by_halves, photographed
from onnx_accuracy import by_litert, by_onnx, quantization_of

from keras_cnnzoo.export.verify import compare

HEAD = "network", "file", "minus float, points", "agrees with float, with our .tflite", "SQNR dB"
SCHEMES = "percentile/equalisation+bias", "percentile/bias", "percentile", "percentile/adaround"


def main() -> None:
    folder, *pairs = sys.argv[1:]
    print(f"| {' | '.join(HEAD)} |\n{'|---' * len(HEAD)}|")
    for network, _, path in (pair.partition("=") for pair in pairs):
        model, inputs, labels = photographed(folder, network, path)
        expected = model.predict(inputs, batch_size=50, verbose=0)
        lite = by_halves(inputs, expected, folder, partial(by_litert, model))
        for scheme in SCHEMES:
            answers = by_halves(inputs, expected, folder, partial(by_onnx, model, quantization_of(scheme)))
            found = compare(expected, answers, labels)
            assert found.interval is not None
            lost = "{:+.2f} ({:+.2f} to {:+.2f})".format(found.top1_difference, *found.interval)
            same = f"{100 * found.agreement:.1f}, {100 * np.mean(answers.argmax(1) == lite.argmax(1)):.1f} %"
            print(f"| {network} | {scheme} | {lost} | {same} | {found.sqnr_db:.2f} |", flush=True)


if __name__ == "__main__":
    main()
