"""Latency of lowered files against plain TFLiteConverter on the same Keras model, interleaved, at 1 and 2 threads.

    python benchmarks/lowering.py FOLDER --prepare      converts: 25 minutes, on a machine as busy as you like
    python benchmarks/lowering.py FOLDER                measures and prints the table: 9 minutes, on a quiet one

Either goes on where it was cut off: files and figures are kept in FOLDER (delete NETWORK_SCHEME.json to measure anew).
`--only` takes networks with commas between, the registry's or keras.applications.NAME; "zoo" and "applications" are all
of either. Each has its own size, 224x224 for most; plain files are of batch 1 as well, which spares them what a free
batch adds. Random weights with BN statistics of one pass in training mode, int8 calibrated with the same 4 images both
ways: latency depends on neither, and SQNR (dB over 4 other images) says what the passes cost in accuracy on such
weights. Outputs are logits. "speed" is the plain file's latency by ours, with its 95 % interval, and "slower" where all
of that lies below 0.98; float32 is measured at one thread. `--costs-of this` lets auto go by this machine's costs.
"""

import json
import subprocess
import sys
from pathlib import Path
from types import FunctionType
from typing import Annotated, Any

import numpy as np
import typer

NETWORKS = (
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "shufflenet_v1",
    "shufflenet_v2_x1_0",
    "densenet121",
    "resnext50_32x4d",
    "resnet50_v2",
)
IMAGES, SLOWER = 4, 0.98
THREADS = {"int8": (1, 2), "float32": (1,)}  # by scheme
SECONDS = 9.0  # of measuring, for each file at each thread count


def main(
    folder: Annotated[Path, typer.Argument(help="Where files and figures are kept.")],
    only: Annotated[str, typer.Option(help="Networks with commas between.")] = ",".join(NETWORKS),
    prepare: Annotated[bool, typer.Option("--prepare", help="Convert only.")] = False,
    costs_of: Annotated[str | None, typer.Option(help="As for cnnzoo-export.")] = None,
    seconds: Annotated[float, typer.Option(help="Measuring each file at each thread count.")] = SECONDS,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    networks = _expanded(only)
    for network in networks:
        if not (folder / f"{network}_facts.json").exists():
            print(f"converting {network}", file=sys.stderr, flush=True)
            _child(network, folder, costs_of)
    if prepare:
        return
    print("| network | scheme | speed, 1 thread | 2 threads | partitions | SQNR dB | passes |\n" + "|---" * 7 + "|")
    for network in networks:
        for scheme in THREADS:
            print(f"| {network} | {scheme} | " + " | ".join(_row(folder, network, scheme, seconds)) + " |", flush=True)
    from keras_cnnzoo.mobile_bench.environment import environment

    here = environment()
    print(f"\n{here.cpu}, {here.cores} cores, {here.system}; Python {here.python}; {here.date}")


def _expanded(only: str) -> list[str]:
    """The networks' names."""
    from keras_cnnzoo.registry import VARIANTS

    known = {"zoo": list(VARIANTS), "applications": []}
    if "applications" in only.split(","):
        import keras

        found = (
            name for name in dir(keras.applications) if isinstance(getattr(keras.applications, name), FunctionType)
        )
        known["applications"] = [f"keras.applications.{name}" for name in found]
    return [network for each in only.split(",") for network in known.get(each, [each])]


def _child(network: str, folder: Path, costs_of: str | None) -> None:
    """Converts in a process of its own: TensorFlow's converter gives back no memory. A failure is kept as a fact."""
    code = f"import runpy; runpy.run_path({__file__!r})['convert']({network!r}, {str(folder)!r}, {costs_of!r})"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        fault = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        (folder / f"{network}_facts.json").write_text(json.dumps({"fault": fault}))


def _row(folder: Path, network: str, scheme: str, seconds: float) -> list[str]:
    """The cells; measured once and kept."""
    found = json.loads((folder / f"{network}_facts.json").read_text())
    if "fault" in found:
        return [found["fault"].replace("|", "/"), "", "", "", ""]
    kept = folder / f"{network}_{scheme}.json"
    if not kept.exists():
        kept.write_text(json.dumps(_measured(folder, network, scheme, seconds)))
    speeds = [
        f"{value:.2f} ({low:.2f} to {high:.2f}){' **slower**' * (high < SLOWER)}"
        for value, low, high in json.loads(kept.read_text())
    ]
    facts = found[scheme]
    pairs = [f"{facts[key][0]} -> {facts[key][1]}" for key in ("partitions", "sqnr")]
    return [*speeds, *[""] * (2 - len(speeds)), *pairs, ", ".join(facts["passes"]) or "none"]


def _measured(folder: Path, network: str, scheme: str, seconds: float) -> list[tuple[float, float, float]]:
    """How many times as fast ours is at each thread count, with the interval."""
    from keras_cnnzoo.mobile_bench import benchmark

    files, threads = [folder / f"{network}_{scheme}_{way}.tflite" for way in ("plain", "ours")], THREADS[scheme]
    report = benchmark(files, threads=threads, seconds=seconds * len(files) * len(threads))
    ratios = [measurement.ratio for measurement in report.measurements[len(threads) :]]
    return [(1 / r.value, 1 / (r.high or np.inf), 1 / (r.low or np.nan)) for r in ratios if r is not None]


def convert(network: str, folder: str, costs_of: str | None) -> None:
    """All four files of a network, and their facts as JSON."""
    from keras_cnnzoo.export import to_tflite
    from keras_cnnzoo.export.interpreter import LiteRT
    from keras_cnnzoo.export.lowering.accuracy import sqnr

    model = _model(network)
    images = _images(3 * IMAGES, model.input_shape[1:])
    settle(model, images[:IMAGES])
    calibration, held_out = images[IMAGES : 2 * IMAGES], images[2 * IMAGES :]
    expected = np.asarray(model(held_out))
    facts: dict[str, Any] = {}
    function = _frozen(model)
    for scheme in THREADS:
        plain, ours = (Path(folder) / f"{network}_{scheme}_{way}.tflite" for way in ("plain", "ours"))
        plain.write_bytes(_plain(function, scheme, calibration))
        card = to_tflite(model, ours, quantize=scheme, calibration=calibration, force=True, costs_of=costs_of)
        files = [LiteRT(path.read_bytes()) for path in (plain, ours)]
        facts[scheme] = {
            "partitions": [file.delegation()[0] for file in files],
            "outside": [file.delegation()[1] for file in files],
            "sqnr": [f"{sqnr(expected, file(held_out)[0]):.1f}" for file in files],
            "passes": card.conversion["lowering"],
        }
    (Path(folder) / f"{network}_facts.json").write_text(json.dumps(facts))


def _model(network: str) -> Any:
    """With logits and random weights."""
    import keras

    from keras_cnnzoo.registry import create

    keras.utils.set_random_seed(0)
    if network.startswith("keras.applications."):
        return getattr(keras.applications, network.split(".")[-1])(weights=None, classifier_activation=None)
    return create(network, classifier_activation=None)


def settle(model: Any, images: np.ndarray) -> None:
    """Gives batch normalisation the statistics of these images."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(images, training=True)


def _images(count: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Blurred noise of different contrast."""
    rng, (height, width, channels) = np.random.default_rng(0), shape
    coarse = rng.standard_normal((count, -(-height // 16), -(-width // 16), channels)).repeat(16, 1).repeat(16, 2)
    fine = 0.3 * rng.standard_normal((count, *shape))
    contrast = rng.uniform(0.3, 2, (count, 1, 1, 1))
    return (contrast * (coarse[:, :height, :width] + fine)).astype(np.float32)


def _frozen(model: Any) -> Any:
    """A function of batch 1 with constants for variables: from_keras_model's operators at a third of its time."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    function = tf.function(lambda images: model(images, training=False))
    return convert_variables_to_constants_v2(
        function.get_concrete_function(tf.TensorSpec((1, *model.input_shape[1:]), tf.float32))
    )


def _plain(function: Any, scheme: str, images: np.ndarray) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    if scheme == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


if __name__ == "__main__":
    typer.run(main)
