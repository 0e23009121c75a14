"""Latency of lowered files against plain TFLiteConverter on the same Keras model, interleaved, at 1 and 2 threads.

    python benchmarks/lowering.py FOLDER [--only shufflenet_v1,densenet121] [--runs 100]

Each network is converted in a process of its own and its figures are kept in FOLDER/NETWORK.json, so that a run that
was cut off goes on where it stopped; delete a file to measure anew. Some 5 minutes a network, half of them TensorFlow's
conversions. 224x224, batch 1; random weights with BN statistics of one pass in training mode, int8 calibrated with the
same 8 images both ways: latency depends on neither, and SQNR (dB over 8 other images) says what the passes cost in
accuracy on such weights. Outputs are logits. "speed" is the plain file's latency by ours, with its 95 % interval.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

# network: the passes beyond those of "auto"
NETWORKS = {
    "mobilenet_v3_large": ("hard-swish",),
    "mobilenet_v3_small": ("hard-swish",),
    "shufflenet_v1": (),
    "shufflenet_v2_x1_0": (),
    "densenet121": (),
    "resnext50_32x4d": (),
    "resnet50_v2": (),
}
SIZE, IMAGES = 224, 8
SCHEMES = ("float32", "int8")


def main(
    folder: Annotated[Path, typer.Argument(help="Where files and figures are kept.")],
    only: Annotated[str, typer.Option(help="Networks with commas between.")] = ",".join(NETWORKS),
    runs: Annotated[int, typer.Option(help="Kept calls of each file at each thread count.")] = 100,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    print(
        "| network | scheme | speed, 1 thread | speed, 2 threads | partitions | SQNR dB | passes |\n" + "|---" * 7 + "|"
    )
    for network in only.split(","):
        kept = folder / f"{network}.json"
        if not kept.exists():
            converted = _child(network, folder)
            kept.write_text(json.dumps({s: _measured(folder, network, s, converted[s], runs) for s in SCHEMES}))
        for scheme, row in json.loads(kept.read_text()).items():
            print(f"| {network} | {scheme} | " + " | ".join(row) + " |", flush=True)
    from keras_cnnzoo.mobile_bench.environment import environment

    here = environment()
    print(f"\n{here.cpu}, {here.cores} cores, {here.system}; Python {here.python}; {here.date}")


def _child(network: str, folder: Path) -> dict[str, Any]:
    code = f"import runpy; runpy.run_path({__file__!r})['convert']({network!r}, {str(folder)!r})"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def _measured(folder: Path, network: str, scheme: str, facts: dict[str, Any], runs: int) -> list[str]:
    from keras_cnnzoo.mobile_bench import benchmark

    files = [folder / f"{network}_{scheme}_{way}.tflite" for way in ("plain", "ours")]
    report = benchmark(files, threads=(1, 2), runs=runs)
    cells = []
    for measurement in report.measurements[2:]:
        ratio = measurement.ratio
        assert ratio is not None
        interval = f" ({1 / ratio.high:.2f} to {1 / ratio.low:.2f})" if ratio.low and ratio.high else ""
        cells.append(f"{1 / ratio.value:.2f}{interval}")
    pairs = [f"{facts[key][0]} -> {facts[key][1]}" for key in ("partitions", "sqnr")]
    return [*cells, *pairs, ", ".join(facts["passes"]) or "none"]


def convert(network: str, folder: str) -> None:
    """All four files of a network; prints their facts as JSON."""
    import keras

    from keras_cnnzoo.export import to_tflite
    from keras_cnnzoo.export.interpreter import LiteRT
    from keras_cnnzoo.export.lowering.accuracy import sqnr
    from keras_cnnzoo.registry import create

    keras.utils.set_random_seed(0)
    model = create(network, classifier_activation=None)
    images = _images(3 * IMAGES)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(images[:IMAGES], training=True)
    calibration, held_out = images[IMAGES : 2 * IMAGES], images[2 * IMAGES :]
    expected = np.asarray(model(held_out))
    facts: dict[str, Any] = {}
    for scheme in SCHEMES:
        paths = [Path(folder) / f"{network}_{scheme}_{way}.tflite" for way in ("plain", "ours")]
        paths[0].write_bytes(_plain(model, scheme, calibration))
        passes = ["auto", *NETWORKS[network]] if scheme == "int8" else "auto"
        card = to_tflite(model, paths[1], quantize=scheme, calibration=calibration, lower=passes, force=True)
        files = [LiteRT(path.read_bytes()) for path in paths]
        ratios = [sqnr(expected, file(held_out)[0]) for file in files]
        facts[scheme] = {
            "partitions": [file.delegation()[0] for file in files],
            "sqnr": [f"{ratio:.1f}" for ratio in ratios],
            "passes": card.conversion["lowering"],
        }
    print(json.dumps(facts))


def _images(count: int) -> np.ndarray:
    """Blurred noise of different contrast."""
    rng = np.random.default_rng(0)
    coarse = rng.standard_normal((count, SIZE // 16, SIZE // 16, 3)).repeat(16, 1).repeat(16, 2)
    fine = 0.3 * rng.standard_normal((count, SIZE, SIZE, 3))
    return (rng.uniform(0.3, 2, (count, 1, 1, 1)) * (coarse + fine)).astype(np.float32)


def _plain(model: Any, scheme: str, images: np.ndarray) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if scheme == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


if __name__ == "__main__":
    typer.run(main)
