"""Two ways from Keras to ONNX: tf2onnx, and our rules on the graph with channels first.

    python benchmarks/onnx_paths.py [NETWORK ...] [--size 224] [--rounds 15]

For each network (random weights, BN statistics of one pass) and way: seconds, nodes, Transposes, megabytes, parity with
Keras (largest difference as a share of the largest output), and the latency in ONNX Runtime, one thread, as a ratio to
ours: the median over rounds in which both run in turn, blocks of five calls of which the first is dropped. A way that
fails is told with its message; without ours there is no ratio.
"""

import argparse
import contextlib
import io
import logging
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import onnx
import onnxruntime
from conversion import settle

import keras_cnnzoo
from keras_cnnzoo.errors import InputError
from keras_cnnzoo.export.answers import answers_of
from keras_cnnzoo.export.graph import from_keras
from keras_cnnzoo.export.onnx.conversion import OPSET, checked, lower
from keras_cnnzoo.export.onnx.emitter import emit
from keras_cnnzoo.export.onnx.fallback import convert
from keras_cnnzoo.export.onnx.parity import compare
from keras_cnnzoo.export.onnx.runtime import OnnxRuntime

NETWORKS = ("mobilenet_v2", "mobilenet_v3_large", "shufflenet_v1", "shufflenet_v2_x1_0", "resnext50_32x4d")
BLOCK = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    print("| network | way | s | nodes | Transposes | MB | parity | latency ratio |\n" + "|---" * 8 + "|")
    for name in arguments.networks:
        model, images = trained_enough(name, arguments.size)
        files = {}
        for way, make in (("ours", ours), ("tf2onnx", tf2onnx)):
            start = time.perf_counter()
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    file = make(model)
                taken = time.perf_counter() - start
                checked(file)
                parity = compare(answers_of(model, [images]), OnnxRuntime(file)(images)).largest_difference
            except InputError as error:
                print(f"| {name} | {way} | fails: {error} |", flush=True)
                continue
            files[way] = (file, taken, parity)
        ratios = ratios_to_ours({way: file for way, (file, *_) in files.items()}, images[:1], arguments.rounds)
        for way, (file, taken, parity) in files.items():
            count = Counter(node.op_type for node in file.graph.node)
            size = file.ByteSize() / 1e6
            print(
                f"| {name} | {way} | {taken:.1f} | {sum(count.values())} | {count['Transpose']} | {size:.2f} | "
                f"{parity:.1e} | {ratios[way]} |",
                flush=True,
            )


def trained_enough(name: str, size: int) -> tuple[keras.Model, np.ndarray]:
    """A network whose answers vary, and images."""
    keras.utils.set_random_seed(0)
    model = keras_cnnzoo.create(name, input_shape=(size, size, 3), classifier_activation=None)
    rng = np.random.default_rng(0)
    images = (rng.standard_normal((4, size, size, 3)) * rng.uniform(0.3, 2, (4, 1, 1, 1))).astype(np.float32)
    settle(model, images)
    return model, images


def ours(model: keras.Model) -> onnx.ModelProto:
    return emit(lower(from_keras(model)), opset=OPSET)


def tf2onnx(model: keras.Model) -> onnx.ModelProto:
    return convert(model, ["any"], 17, 1, "NCHW")


def ratios_to_ours(files: dict[str, onnx.ModelProto], image: np.ndarray, rounds: int) -> dict[str, str]:
    """Cells of the table."""
    if "ours" not in files:
        return dict.fromkeys(files, "-")
    return {way: f"{ratio:.2f}" for way, ratio in latency_ratios(files, image, rounds).items()}


def latency_ratios(files: dict[str, onnx.ModelProto], image: np.ndarray, rounds: int) -> dict[str, float]:
    """Median over rounds of each file's time, by the first's of the same round."""
    runs = {way: session(file, image) for way, file in files.items()}
    first = next(iter(runs), "")
    taken: dict[str, list[float]] = {way: [] for way in runs}
    for number in range(rounds):
        for way in sorted(runs, reverse=number % 2 == 1):
            taken[way].append(block(runs[way]))
    return {way: statistics.median(t / f for t, f in zip(taken[way], taken[first], strict=True)) for way in runs}


def session(file: onnx.ModelProto, image: np.ndarray) -> Callable[[], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    run = onnxruntime.InferenceSession(file.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {run.get_inputs()[0].name: np.ascontiguousarray(image.transpose(0, 3, 1, 2))}
    return lambda: run.run(None, feeds)


def block(run: Callable[[], object]) -> float:
    """The least of a block's calls: what others do on the machine only adds."""
    taken = []
    for _ in range(BLOCK):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return min(taken[1:])


if __name__ == "__main__":
    main()
