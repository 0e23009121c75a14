"""Export by keras_cnnzoo.export against plain TFLiteConverter.from_keras_model, on the same model and images.

    python benchmarks/export_speed.py IMAGES [--repeats 3] [--count 100] [--scheme int8] [--only NAME] [-o FOLDER]

Each conversion runs in a process of its own, ours and the plain one in turn. Time and peak resident memory are those of
the conversion alone: the model is built, its weights and the images are read before. The weights are random, with BN
statistics of one pass in training mode, so the signal-to-quantization-noise ratio (of the logits, over as many other
images) says something, top-1 would not. Latency is cnnzoo-bench's, interleaved.
"""

import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from conversion import apart, plain, settle, where

SIZES = {"MobileNetV2": 224, "ResNet50": 224, "DenseNet121": 224, "InceptionV3": 299}


def main(
    images: Annotated[Path, typer.Argument(help="A folder of photographs.")],
    repeats: int = 3,
    count: int = 100,
    scheme: str = "int8",
    only: Annotated[str | None, typer.Option(help="One of the networks.")] = None,
    output: Annotated[Path | None, typer.Option("-o", help="Keeps the files.")] = None,
) -> None:
    if scheme not in ("float32", "int8"):
        raise typer.BadParameter(f"--scheme {scheme}: compared are float32 and int8")
    with ExitStack() as stack:
        folder = output or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        print("| network | way | seconds | times faster | peak MB | SQNR dB | latency ratio, 1 thread |")
        print("|---" * 7 + "|")
        for network in [only] if only else SIZES:
            _child("prepare", network, images, folder, count)
            runs: dict[str, list[dict[str, Any]]] = {"plain": [], "ours": []}
            for _ in range(repeats):
                for way, taken in runs.items():
                    taken.append(_child("convert", network, images, folder, way, count, scheme))
            _print_rows(network, runs, folder)
    print(f"\n{where()}")
    print(", ".join(f"{k} {v}" for k, v in runs["ours"][0]["versions"].items()))


def _child(step: str, network: str, images: Path, folder: Path, *more: Any) -> dict[str, Any]:
    """What a function of this file, called in a process of its own, prints as JSON."""
    done = apart("export_speed", step, network, str(images), str(folder), *more)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def _print_rows(network: str, runs: dict[str, list[dict[str, Any]]], folder: Path) -> None:
    from keras_cnnzoo.mobile_bench import benchmark

    files = [folder / f"{network}_{way}.tflite" for way in runs]
    ratio = benchmark(files, runs=100).measurements[1].ratio
    seconds = {way: [run["seconds"] for run in taken] for way, taken in runs.items()}
    faster = [plain / ours for plain, ours in zip(seconds["plain"], seconds["ours"], strict=True)]
    for way, taken in runs.items():
        cells = [
            network,
            way,
            f"{np.median(seconds[way]):.1f} ({min(seconds[way]):.1f} to {max(seconds[way]):.1f})",
            "1" if way == "plain" else f"{np.median(faster):.1f} ({min(faster):.1f} to {max(faster):.1f})",
            f"{np.median([run['peak_mb'] for run in taken]):.0f}",
            f"{taken[0]['sqnr_db']:.2f}",
            "1" if way == "plain" or ratio is None else f"{ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})",
        ]
        print("| " + " | ".join(cells) + " |", flush=True)


def prepare(network: str, images: str, folder: str, count: int) -> None:
    """Writes weights with BN statistics of one pass in training mode."""
    import keras

    if len(_inputs(images, 2 * count, SIZES[network])) < 2 * count:
        sys.exit(f"{images}: --count {count} needs {2 * count} photographs, half of them to answer")
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, network)(weights=None)
    settle(model, _inputs(images, 32, SIZES[network]))
    model.save_weights(Path(folder) / f"{network}.weights.h5")
    print("{}")


def _inputs(images: str, count: int, size: int) -> np.ndarray:
    from keras_cnnzoo.images import read_images
    from keras_cnnzoo.preprocessing import PRESETS

    return PRESETS["tf"](read_images(images, (size, size, 3), count=count).pixels)


def convert(network: str, images: str, folder: str, way: str, count: int, scheme: str) -> None:
    """One conversion in this process; prints what it cost as JSON."""
    import keras

    from keras_cnnzoo.export import to_tflite
    from keras_cnnzoo.export.card import tool_versions
    from keras_cnnzoo.export.interpreter import LiteRT

    model = getattr(keras.applications, network)(weights=None, classifier_activation=None)
    model.load_weights(Path(folder) / f"{network}.weights.h5")
    inputs = _inputs(images, count, SIZES[network])
    path = Path(folder) / f"{network}_{way}.tflite"
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    start = time.perf_counter()
    if way == "ours":
        to_tflite(model, path, quantize=scheme, calibration=inputs, force=True)
    else:
        import tensorflow as tf

        path.write_bytes(plain(tf.lite.TFLiteConverter.from_keras_model(model), scheme, inputs))
    seconds = time.perf_counter() - start
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1000
    held_out = _inputs(images, 2 * count, SIZES[network])[count:]
    expected = model.predict(held_out, batch_size=10, verbose=0)
    noise = expected - LiteRT(path.read_bytes())(held_out)[0]
    sqnr = 10 * np.log10(np.square(expected).sum() / np.square(noise).sum())
    print(json.dumps({"seconds": seconds, "peak_mb": peak, "sqnr_db": float(sqnr), "versions": tool_versions()}))


if __name__ == "__main__":
    typer.run(main)
