"""Ours beside plain TFLiteConverter, plain litert-quantizer and ONNX Runtime's quantize_static, on the same images.

    python benchmarks/quantization.py resnet20=w20.safetensors resnet56=w56.safetensors train.npz test.npz \\
        [--seeds 5] [--ways int8,tensorflow,litert-quantizer,onnxruntime,int4,int4-nearest]
    python benchmarks/quantization.py --bundled fashion_mnist          # the networks that ship
    python benchmarks/quantization.py --bundled cifar10_jpeg train.npz test.npz

For each network and seed, 500 calibration images are drawn from train.npz and every way gets the same. A difference is
paired over the images of test.npz, ties at the top score 1/k, and the interval is that of the mean over seeds. p is
McNemar's exact test of the way against the first one, the median over the seeds: their images are the same, and all in
one test would count each five times. A 4-bit file is measured as its
8-bit twin with the same integers: LiteRT's 4-bit convolution is a reference kernel, fifty times slower; the answers are
equal.
"""

import argparse
import math
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras
import numpy as np

import keras_cnnzoo
from keras_cnnzoo.export import Calibration
from keras_cnnzoo.export.calibration import min_max
from keras_cnnzoo.export.card import tool_versions
from keras_cnnzoo.export.converter import convert
from keras_cnnzoo.export.corrections import choose_kernels
from keras_cnnzoo.export.emit import emit
from keras_cnnzoo.export.graph import from_keras
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.lowering import lower
from keras_cnnzoo.export.lowering.passes import CANONICAL, Pass, choose
from keras_cnnzoo.export.onnx.runtime import OnnxRuntime
from keras_cnnzoo.export.pipeline import in_scheme
from keras_cnnzoo.export.quantize import quantize
from keras_cnnzoo.export.schemes import Correction, Quantization
from keras_cnnzoo.export.tflite import silent
from keras_cnnzoo.export.verify import compare, correct, paired_difference
from keras_cnnzoo.images import Images, read_images
from keras_cnnzoo.preprocessing import PRESETS
from keras_cnnzoo.training import Arrays, dataset
from keras_cnnzoo.weights.bundled import all_bundled

COUNT, SIZE, BATCH = 500, (32, 32, 3), 50
Answer = Callable[[keras.Model, Calibration, np.ndarray], np.ndarray]


def int8(model: keras.Model, data: Calibration, inputs: np.ndarray) -> np.ndarray:
    return _eight_bits(model, data, inputs)


def int8_plain(model: keras.Model, data: Calibration, inputs: np.ndarray) -> np.ndarray:
    return _eight_bits(model, data, inputs, corrections=())


def int8_lowered(model: keras.Model, data: Calibration, inputs: np.ndarray) -> np.ndarray:
    """With the passes that an export takes by itself."""
    return _eight_bits(model, data, inputs, passes=choose("auto", "int8"))


def _eight_bits(
    model: keras.Model,
    data: Calibration,
    inputs: np.ndarray,
    corrections: tuple[Correction, ...] | None = None,
    passes: Sequence[Pass] = CANONICAL,
) -> np.ndarray:
    options = Quantization("int8", corrections=corrections)
    content, _ = in_scheme(lower(from_keras(model), passes), options, data, BATCH, silent)
    return LiteRT(content)(inputs)[0]


def int4(model: keras.Model, data: Calibration, inputs: np.ndarray) -> np.ndarray:
    return _four_bits(model, data, inputs, Quantization("int4"))


def int4_nearest(model: keras.Model, data: Calibration, inputs: np.ndarray) -> np.ndarray:
    return _four_bits(model, data, inputs, Quantization("int4", corrections=()))


def _four_bits(model: keras.Model, data: Calibration, inputs: np.ndarray, options: Quantization) -> np.ndarray:
    graph = lower(from_keras(model))
    ranges = min_max(graph, data)
    kernels = choose_kernels(emit(graph), ranges, data.inputs, options)
    return LiteRT(quantize(emit(graph, batch=BATCH), "int8", ranges, kernels=kernels))(inputs)[0]


def tensorflow(model: keras.Model, data: Calibration, inputs: np.ndarray) -> np.ndarray:
    return LiteRT(convert(model, "int8", data, "int8", "int8", 1))(inputs)[0]


def litert_quantizer(model: keras.Model, data: Calibration, inputs: np.ndarray) -> np.ndarray:
    """Its default recipe and its own calibration."""
    from litert_quantizer import quantizer, recipe

    tool = quantizer.Quantizer(emit(lower(from_keras(model))))
    tool.load_quantization_recipe(recipe.static_wi8_ai8())
    name = model.inputs[0].name
    found = tool.calibrate({"serving_default": [{name: image[None]} for image in data.inputs]})
    return LiteRT(bytes(tool.quantize(found).quantized_model))(inputs)[0]


def onnxruntime(model: keras.Model, data: Calibration, inputs: np.ndarray) -> np.ndarray:
    """quantize_static with its defaults, weights per channel, on tf2onnx's file; run as it stands, as ours are."""
    import tensorflow as tf
    import tf2onnx
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(data.inputs)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.left, None)
            return None if image is None else {"image": image[None]}

    with tempfile.TemporaryDirectory() as folder:
        whole, small = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        call = tf.function(lambda image: model(image, training=False))
        signature = (tf.TensorSpec((None, *inputs.shape[1:]), tf.float32, name="image"),)
        tf2onnx.convert.from_function(call, signature, opset=17, output_path=str(whole))
        quantize_static(whole, small, Reader(), per_channel=True)
        return OnnxRuntime(small.read_bytes())(inputs, channels_last=True)[0]


WAYS: dict[str, Answer] = {
    "int8": int8,
    "int8-plain": int8_plain,
    "int8-lowered": int8_lowered,
    "tensorflow": tensorflow,
    "litert-quantizer": litert_quantizer,
    "onnxruntime": onnxruntime,
    "int4": int4,
    "int4-nearest": int4_nearest,
}


def mcnemar(a: np.ndarray, b: np.ndarray) -> float:
    """Two-sided p of "a and b are right equally often", by the binomial law of the images that they disagree on."""
    better, worse = int(((a == 1) & (b < 1)).sum()), int(((a < 1) & (b == 1)).sum())
    n, least = better + worse, min(better, worse)
    if not n:
        return 1.0
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2) for k in range(least + 1)
    ]
    return min(1.0, 2 * sum(map(math.exp, logs)))


@dataclass(frozen=True)
class Trained:
    """A network, the images that calibrate it, and those that it is tested on."""

    name: str
    model: Callable[[], keras.Model]
    train: Images
    test: Images


def named(networks: list[str], train: Images, test: Images) -> list[Trained]:
    """Those of NETWORK=WEIGHTS."""
    create = partial(keras_cnnzoo.create, classifier_activation=None)
    pairs = (network.partition("=")[::2] for network in networks)
    return [Trained(name, partial(create, name, weights=path), train, test) for name, path in pairs]


def bundled(data: str, train: Images, test: Images) -> list[Trained]:
    """Those that ship with weights of a data set."""
    create = partial(keras_cnnzoo.create, weights=data, classifier_activation=None)
    rows = [row for row in all_bundled() if row.data == data]
    return [Trained(row.network, partial(create, row.network, **row.options), train, test) for row in rows]


def images_of(data: str) -> tuple[Images, Images]:
    """A named data set's, to calibrate and to test."""
    found = dataset(data)
    assert isinstance(found.train, Arrays)
    assert isinstance(found.test, Arrays)
    one, other = (Images(part.pixels, part.labels, None, 0, found.name) for part in (found.train, found.test))
    return one, other


def answered(way: str, one: Trained, model: keras.Model, inputs: np.ndarray, seeds: int) -> Iterator[np.ndarray]:
    """The logits of a way's file by each seed's calibration images."""
    for seed in range(seeds):
        images = one.train.take(COUNT, seed)
        yield WAYS[way](model, Calibration(PRESETS["torch"](images.pixels), images.source), inputs)


def row(name: str, way: str, right: np.ndarray, *rest: str) -> None:
    print(" | ".join([f"| {name}", way, f"{100 * right.mean():.2f}", *rest]) + " |", flush=True)


def against(right: np.ndarray, floats: np.ndarray) -> str:
    difference, (low, high) = paired_difference(right, floats)
    return f"{difference:+.2f} ({low:+.2f} to {high:+.2f})"


def measured(one: Trained, ways: list[str], seeds: int, rights: dict[str, list[np.ndarray]]) -> None:
    """A network's rows; `rights` gets, by way, whether each image was right, the mean over the seeds."""
    model, inputs, labels = one.model(), PRESETS["torch"](one.test.pixels), one.test.labels
    expected = LiteRT(emit(lower(from_keras(model)), batch=BATCH))(inputs)[0]
    rights["float32"].append(correct(expected, labels))
    row(one.name, "float32", rights["float32"][-1], "0", "100", "", "")
    reference: list[np.ndarray] = []
    for way in ways:
        logits = list(answered(way, one, model, inputs, seeds))
        proofs = [compare(expected, answers, labels) for answers in logits]
        scores = [correct(answers, labels) for answers in logits]
        reference = reference or scores
        rights[way].append(np.mean(scores, axis=0))
        agreement, sqnr = (100 * np.mean([p.agreement for p in proofs]), np.mean([p.sqnr_db for p in proofs]))
        p = np.median([mcnemar(*pair) for pair in zip(reference, scores, strict=True)])
        row(
            one.name, way, rights[way][-1], against(rights[way][-1], rights["float32"][-1]),
            f"{agreement:.2f}", f"{sqnr:.2f}", f"{p:.2f}" if p >= 0.005 else "<0.01",
        )  # fmt: skip


def take_networks(parser: argparse.ArgumentParser) -> None:
    """The arguments that name networks and images."""
    parser.add_argument("arguments", nargs="*", metavar="NETWORK=WEIGHTS ... TRAIN TEST")
    parser.add_argument("--bundled", metavar="DATA", help="the networks that ship with weights of it, instead")
    parser.add_argument("--only", nargs="+", metavar="NETWORK", help="of those that ship")
    parser.add_argument("--images", type=int, help="of the test images, at most")


def networks_of(parser: argparse.ArgumentParser, options: argparse.Namespace) -> list[Trained]:
    """Those that they name; ends with the parser's error where they fit no network."""
    names, files = options.arguments[:-2], options.arguments[-2:]
    if bool(names) == bool(options.bundled) or len(files) == 1 or (options.only and not options.bundled):
        parser.error("name networks, their weights and two files of images, or say --bundled")
    train, test = (read_images(path, SIZE) for path in files) if files else images_of(options.bundled)
    test = test.read(options.images)
    networks = bundled(options.bundled, train, test) if options.bundled else named(names, train, test)
    if unknown := set(options.only or ()) - {one.name for one in networks}:
        parser.error(f"--only {unknown.pop()}: there are {', '.join(one.name for one in networks)}")
    return [one for one in networks if not options.only or one.name in options.only]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take_networks(parser)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--ways", default=",".join(WAYS))
    options = parser.parse_args()
    networks = networks_of(parser, options)
    ways, rights = options.ways.split(","), defaultdict[str, list[np.ndarray]](list)
    print("| network | way | top-1 % | minus float, points | agreement % | SQNR dB | p |\n" + "|---" * 7 + "|")
    for one in networks:
        measured(one, ways, options.seeds, rights)
    floats = np.mean(rights["float32"], axis=0)
    for way in ways if len(networks) > 1 else ():
        mean = np.mean(rights[way], axis=0)
        row("mean", way, mean, against(mean, floats), "", "", "")
    print("\n" + ", ".join(f"{tool} {version}" for tool, version in tool_versions().items()))


if __name__ == "__main__":
    main()
