"""Our files in MediaPipe's ImageClassifier, which knows nothing of them but the metadata inside: the same answers?

    pip install mediapipe
    python benchmarks/mediapipe_check.py PHOTOGRAPHS LABELS NETWORK=FILE.tflite [NETWORK=FILE.tflite ...]

Each network gets the weights of FILE (see `cnnzoo from-tflite`), is exported with labels and metadata, and classifies
the photographs, cropped to its input, in MediaPipe and in LiteRT with the card's preprocessing. "pixels" are files that
normalise pixels themselves (`--pixels`), here by a mean and std for each channel, which MediaPipe could not be told.
Top-5 are the same where MediaPipe's five have the five largest scores of LiteRT's, within one step of the output.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_cnnzoo.app.tflite_reader import read_tflite
from keras_cnnzoo.export import Calibration, Card, Origin, to_tflite
from keras_cnnzoo.export.card import card_path
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.pixels import reads_pixels, spanning
from keras_cnnzoo.images import read_images
from keras_cnnzoo.preprocessing import Preprocessing

TOP, CALIBRATION = 5, 50
WAYS = (("float32", "float32", "float32"), ("int8", "float32", "float32"), ("int8", "uint8", "uint8"))


def classified(path: Path, pixels: np.ndarray) -> list[list[tuple[int, str, float]]]:
    """MediaPipe's five classes of each image: index, label, score."""
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.ImageClassifierOptions(
        base_options=BaseOptions(model_asset_buffer=path.read_bytes()), max_results=TOP
    )
    with vision.ImageClassifier.create_from_options(options) as classifier:
        images = (mediapipe.Image(mediapipe.ImageFormat.SRGB, np.ascontiguousarray(image)) for image in pixels)
        found = [classifier.classify(image).classifications[0].categories for image in images]
    return [[(category.index, category.category_name, category.score) for category in five] for five in found]


def agreement(path: Path, pixels: np.ndarray) -> tuple[float, float, float]:
    """Shares of the images with the same best class and the same top-5, and the largest difference of a score."""
    card = Card.read(card_path(path))
    spec = Preprocessing.from_dict(card.preprocessing or {})
    scores = LiteRT(path.read_bytes())(spec(pixels))[0]
    step = (card.outputs[0]["scale"] or 1e-6 * np.abs(scores).max()) * 1.01
    theirs = classified(path, pixels)
    labels = card.labels or []
    assert all(labels[index] == name for five in theirs for index, name, _ in five), "a label of another class"
    best = [own[five[0][0]] >= own.max() - step for own, five in zip(scores, theirs, strict=True)]
    limit = np.sort(scores, axis=1)[:, -TOP] - step
    all_five = [all(own[i] >= low for i, _, _ in five) for own, five, low in zip(scores, theirs, limit, strict=True)]
    gaps = [abs(own[i] - score) for own, five in zip(scores, theirs, strict=True) for i, _, score in five]
    return float(np.mean(best)), float(np.mean(all_five)), float(max(gaps))


def main() -> None:
    photographs, names, *pairs = sys.argv[1:]
    labels = Path(names).read_text().splitlines()
    print("| network | scheme | input | output | photographs | same best % | same top-5 % | largest score difference |")
    print("|---" * 8 + "|")
    for network, _, source in (pair.partition("=") for pair in pairs):
        model, options, spec = read_tflite(source, network)
        images = read_images(photographs, model.input_shape[1:], fit=spec)
        origin = Origin("trained", network, options, spec, labels)
        some = images.take(CALIBRATION, seed=0).pixels
        inside, left = reads_pixels(model, replace(spec, mean=(0.98, 1.0, 1.02), std=(0.99, 1.0, 1.01)))
        ways = [(*way, model, origin, Calibration(spec(some), "photographs")) for way in WAYS]
        of_pixels = replace(origin, preprocessing=left)
        ways.append(("int8", "uint8", "uint8", inside, of_pixels, spanning(Calibration(left(some), "photographs"))))
        with tempfile.TemporaryDirectory() as folder:
            for scheme, inputs, outputs, made, said, calibration in ways:
                path = Path(folder) / f"{scheme}_{inputs}_{len(ways)}.tflite"
                given = {"calibration": calibration, "inputs": inputs, "outputs": outputs} if scheme == "int8" else {}
                to_tflite(made, path, quantize=scheme, origin=said, force=True, **given)
                best, five, gap = agreement(path, images.pixels)
                reads = f"{inputs} pixels" if made is inside else inputs
                print(
                    f"| {network} | {scheme} | {reads} | {outputs} | {len(images)} | {100 * best:.2f} | "
                    f"{100 * five:.2f} | {gap:.3g} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
