"""Our files in MediaPipe's ImageClassifier, which knows nothing of them but the metadata inside: the same answers?

    pip install mediapipe
    python benchmarks/mediapipe_check.py PHOTOGRAPHS LABELS NETWORK=FILE.tflite [NETWORK=FILE.tflite ...]

Each network gets the weights of FILE (see `cnnzoo from-tflite`), is exported with labels and metadata, and classifies
the photographs, cropped to its input, in MediaPipe and in LiteRT with the card's preprocessing. Top-5 are the same
where MediaPipe's five have the five largest scores of LiteRT's, within one step of a quantized output.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from keras_cnnzoo.app.tflite_reader import read_tflite
from keras_cnnzoo.export import Card, Origin, to_tflite
from keras_cnnzoo.export.card import card_path
from keras_cnnzoo.export.interpreter import LiteRT
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
        calibration = spec(images.take(CALIBRATION, seed=0).pixels)
        with tempfile.TemporaryDirectory() as folder:
            for scheme, inputs, outputs in WAYS:
                path = Path(folder) / f"{scheme}_{inputs}.tflite"
                given = {"calibration": calibration, "inputs": inputs, "outputs": outputs} if scheme == "int8" else {}
                to_tflite(model, path, quantize=scheme, origin=origin, **given)
                best, five, gap = agreement(path, images.pixels)
                print(
                    f"| {network} | {scheme} | {inputs} | {outputs} | {len(images)} | {100 * best:.2f} | "
                    f"{100 * five:.2f} | {gap:.3g} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
