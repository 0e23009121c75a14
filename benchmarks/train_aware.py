"""Compression-aware training of a CIFAR-10 ResNet-20, each method against the float network tuned alike.

    python benchmarks/train_aware.py DATA [--images 10000] [--epochs 6] [--methods float,qat,prune-2:4,...] [--keep DIR]

DATA holds `cifar10/train_jpeg.npz` (JPEGs), `cifar10/test.npz` and `weights/cifar_resnet20.safetensors`. Every method
starts from the same weights and sees the same images, epochs and seed; "float" is the same training without
compression. A row is of the file itself: LiteRT's answers to all test images (and ONNX Runtime's, of the Q/DQ file of a
method that ends in qat), the paired difference from the tuned float network with its 95 % interval, and what the file's
kernels hold. "float" is trained and told first, whatever --methods names. With --keep, trained models are kept and
found again by method, images and epochs. Ten thousand images for six epochs take two to four minutes a method on two
quiet cores.
"""

import argparse
import io
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import keras
import numpy as np
from PIL import Image

import keras_cnnzoo
from keras_cnnzoo.errors import InputError
from keras_cnnzoo.export import to_onnx, to_tflite, train_aware
from keras_cnnzoo.export.calibration import Ranges
from keras_cnnzoo.export.card import tool_versions
from keras_cnnzoo.export.compress.methods import METHODS
from keras_cnnzoo.export.contents import parse, require_integer
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.verify import correct, paired_difference
from keras_cnnzoo.files import write
from keras_cnnzoo.images import read_images
from keras_cnnzoo.preprocessing import PRESETS

SIZE, CALIBRATION, BATCH = (32, 32, 3), 500, 64
LEARNING_RATE, CLUSTERS, SPARSITY = 0.005, 32, 0.5


def jpegs(path: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first pictures (count, 32, 32, 3) uint8, and their labels."""
    with np.load(path) as file:
        content, offsets, labels = file["bytes"], file["offsets"], file["labels"]
    ends = pairwise(offsets[: count + 1])
    pictures = [Image.open(io.BytesIO(content[start:end].tobytes())).convert("RGB") for start, end in ends]
    return np.stack([np.asarray(picture) for picture in pictures]), labels[:count]


@contextmanager
def timed(name: str, total: float | None) -> Iterator[object]:
    """A line when a stage is over."""
    start = time.monotonic()
    yield lambda amount: None
    print(f"<!-- {name}: {time.monotonic() - start:.0f} s -->", flush=True)


def tuned(
    method: str, weights: Path, images: np.ndarray, labels: np.ndarray, epochs: int, kept: Path
) -> tuple[keras.Model, Ranges | None]:
    """The trained model and the ranges that it learned, kept between runs."""
    name = f"{method.replace(':', '')}_{len(images)}_images_{epochs}_epochs"
    model, ranges = kept / f"{name}.keras", kept / f"{name}.json"
    if not ranges.is_file():
        network = keras_cnnzoo.create("resnet20", weights=weights, classifier_activation=None)
        trained = train_aware(
            network,
            images,
            labels,
            method=method,
            epochs=epochs,
            batch=BATCH,
            learning_rate=LEARNING_RATE,
            sparsity=SPARSITY,
            clusters=CLUSTERS,
            phase=timed,
        )
        trained.model.save(model)
        write(ranges, json.dumps(trained.ranges))  # last: it says that the model is there
    found = json.loads(ranges.read_text())
    return keras.saving.load_model(model), found and {name: tuple(limits) for name, limits in found.items()}


def kernels(content: bytes) -> Iterator[np.ndarray]:
    """(filters, ..., channels) of each convolution and dense layer of a .tflite file."""
    model = parse(content)
    for tensor in model.subgraphs[0].tensors:
        data = model.buffers[tensor.buffer].data
        if tensor.name.endswith(b"/kernel") and data is not None:
            yield np.frombuffer(bytes(data), np.int8 if tensor.type == 9 else np.float32).reshape(tensor.shape)


def described(content: bytes) -> str:
    """What the kernels hold: zeros, fours with two zeros, most values a kernel and a channel."""
    found = list(kernels(content))
    fours = [k.reshape(-1, 4) for k in found if k.shape[-1] % 4 == 0]
    zeros = sum((k == 0).sum() for k in found) / sum(k.size for k in found)
    sparse = sum(bool(((k != 0).sum(1) <= 2).all()) for k in fours)
    values = max(len(np.unique(k)) for k in found)
    by_channel = max(len(np.unique(channel)) for k in found for channel in k)
    return (
        f"{zeros:.0%} zeros, 2:4 in {sparse} of {len(fours)} kernels, at most {values} values ({by_channel} a channel)"
    )


def row(method: str, kind: str, answers: np.ndarray, base: np.ndarray, labels: np.ndarray, rest: str) -> None:
    right = correct(answers, labels)
    difference, (low, high) = paired_difference(right, base)
    print(
        f"| {method} | {kind} | {100 * right.mean():.2f} | {difference:+.2f} ({low:+.2f} to {high:+.2f}) | {rest} |",
        flush=True,
    )


def chosen(methods: str) -> list[str]:
    """The methods of a comma-separated list, "float" first: all are compared with it.

    Raises:
        InputError: a name that no method has.
    """
    names = ["float", *(name for name in methods.split(",") if name != "float")]
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise InputError(f"--methods {unknown[0]}: choose of {', '.join(METHODS)}")
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    try:
        methods = chosen(given.methods)
    except InputError as error:
        parser.error(str(error))
    pixels, labels = jpegs(given.data / "cifar10" / "train_jpeg.npz", given.images)
    images, held_out = PRESETS["torch"](pixels), read_images(given.data / "cifar10" / "test.npz", SIZE)
    test, truth = PRESETS["torch"](held_out.pixels), held_out.labels
    weights = given.data / "weights" / "cifar_resnet20.safetensors"
    with tempfile.TemporaryDirectory() as folder:
        kept = given.keep or Path(folder)
        kept.mkdir(exist_ok=True, parents=True)
        print("| method | file | top-1 % | minus tuned float, points | kernels |\n" + "|---" * 5 + "|", flush=True)
        before = keras_cnnzoo.create("resnet20", weights=weights, classifier_activation=None)
        start = correct(before.predict(test, batch_size=250, verbose=0), truth)
        base = None
        for method in methods:
            model, ranges = tuned(method, weights, images, labels, given.epochs, kept)
            base = correct(model.predict(test, batch_size=250, verbose=0), truth) if base is None else base
            shared = {"calibration": images[:CALIBRATION], "learned": ranges} if ranges else {}
            path = Path(folder) / "file.tflite"
            to_tflite(model, path, quantize="int8" if ranges else "float32", lower="none", force=True, **shared)
            content = path.read_bytes()
            if ranges:
                require_integer(content)
            kind = "int8 TFLite" if ranges else "float32 TFLite"
            row(method, kind, LiteRT(content)(test)[0], base, truth, described(content))
            if ranges:
                from keras_cnnzoo.export.onnx.runtime import OnnxRuntime

                path = Path(folder) / "file.onnx"
                to_onnx(model, path, quantize="int8", batch=None, force=True, **shared)
                row(method, "Q/DQ ONNX, ORT", OnnxRuntime(path.read_bytes())(test)[0], base, truth, "")
                plain = Path(folder) / "plain.tflite"
                to_tflite(model, plain, quantize="int8", calibration=images[:CALIBRATION], lower="none", force=True)
                row(method, "its weights, int8 by calibration", LiteRT(plain.read_bytes())(test)[0], base, truth, "")
        print(f"\nBefore any tuning: {100 * start.mean():.2f} %. {given.images} images, {given.epochs} epochs.")
    print(", ".join(f"{tool} {version}" for tool, version in tool_versions().items()))


if __name__ == "__main__":
    main()
