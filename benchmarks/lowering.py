"""Latency of lowered files against plain TFLiteConverter on the same Keras model, interleaved, at 1 and 2 threads.

    python benchmarks/lowering.py FOLDER --prepare      converts: 25 minutes, on a machine as busy as you like
    python benchmarks/lowering.py FOLDER                measures and prints the table: 9 minutes, on a quiet one

Either goes on where it was cut off: files and figures are kept in FOLDER (delete NETWORK_SCHEME.json to measure anew).
What another version of this package converted, or --costs-of another machine, is converted anew; without --costs-of
files stay as they were asked for.
`--only` takes networks with commas between, the registry's or keras.applications.NAME; "zoo" and "applications" are all
of either. Each has its own size, 224x224 for most; plain files are of batch 1 as well, which spares them what a free
batch adds. Random weights with BN statistics of one pass in training mode, int8 calibrated with the same 4 images both
ways: latency depends on neither, and SQNR (dB over 4 other images) says what the passes cost in accuracy on such
weights. Outputs are logits. "speed" is the plain file's latency by ours, with its 95 % interval, and "slower" where all
of that lies below 0.98; float32 is measured at one thread. `--costs-of this` lets auto go by this machine's costs.
"""

import json
import sys
from pathlib import Path
from types import FunctionType
from typing import Annotated, Any

import numpy as np
import typer
from conversion import apart, blurred_noise, keep_facts, kept_facts, machine_of, plain, settle, speeds

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
    networks, costs_of = _expanded(only), machine_of(costs_of)
    for network in networks:
        if kept_facts(_facts(folder, network), costs_of) is None:
            print(f"converting {network}", file=sys.stderr, flush=True)
            _converted(network, folder, costs_of)
    if prepare:
        return
    print("| network | scheme | speed, 1 thread | 2 threads | partitions | SQNR dB | passes |\n" + "|---" * 7 + "|")
    measured = dict[str, None]()
    for network in networks:
        for scheme in THREADS:
            cells, place = _row(folder, network, scheme, seconds)
            measured |= {place: None} if place else {}
            print(f"| {network} | {scheme} | {' | '.join(cells)} |", flush=True)
    print("\n" + "\n".join(measured))


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


def _facts(folder: Path, network: str) -> Path:
    return folder / f"{network}_facts.json"


def _figures(folder: Path, network: str) -> dict[str, Path]:
    return {scheme: folder / f"{network}_{scheme}.json" for scheme in THREADS}


def _converted(network: str, folder: Path, costs_of: str | None) -> None:
    """Converts apart. A failure is kept as a fact; one by a signal, as of a lack of memory, until the next start."""
    done = apart("lowering", "convert", network, str(folder), costs_of)
    if done.returncode:
        words = (done.stderr.strip().splitlines() or [""])[-1]
        fault = f"killed by signal {-done.returncode}" if done.returncode < 0 else words
        facts = {"fault": fault, "killed": done.returncode < 0}
        keep_facts(_facts(folder, network), costs_of, facts, [*_figures(folder, network).values()])


def _row(folder: Path, network: str, scheme: str, seconds: float) -> tuple[list[str], str]:
    """The cells, and where and when they were measured."""
    found = json.loads(_facts(folder, network).read_text())
    if "fault" in found:
        return [found["fault"].replace("|", "/"), "", "", "", ""], ""
    files = [folder / f"{network}_{scheme}_{way}.tflite" for way in ("plain", "ours")]
    figures = speeds(_figures(folder, network)[scheme], files, THREADS[scheme], seconds)
    cells = [
        f"{value:.2f} ({low:.2f} to {high:.2f}){' **slower**' * (high < SLOWER)}"
        for value, low, high in figures["speeds"]
    ]
    facts = found[scheme]
    pairs = [f"{facts[key][0]} -> {facts[key][1]}" for key in ("partitions", "sqnr")]
    passes = ", ".join(facts["passes"]) or "none"
    return [*cells, *[""] * (2 - len(cells)), *pairs, passes], figures["where"]


def convert(network: str, folder: str, costs_of: str | None) -> None:
    """All four files of a network, and their facts as JSON."""
    import tensorflow as tf

    from keras_cnnzoo.export import to_tflite
    from keras_cnnzoo.export.interpreter import LiteRT
    from keras_cnnzoo.export.lowering.accuracy import sqnr

    model = _model(network)
    images = blurred_noise(3 * IMAGES, model.input_shape[1:])
    settle(model, images[:IMAGES])
    calibration, held_out = images[IMAGES : 2 * IMAGES], images[2 * IMAGES :]
    expected = np.asarray(model(held_out))
    facts: dict[str, Any] = {}
    function = _frozen(model)
    for scheme in THREADS:
        theirs, ours = (Path(folder) / f"{network}_{scheme}_{way}.tflite" for way in ("plain", "ours"))
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
        theirs.write_bytes(plain(converter, scheme, calibration))
        card = to_tflite(model, ours, quantize=scheme, calibration=calibration, force=True, costs_of=costs_of)
        files = [LiteRT(path.read_bytes()) for path in (theirs, ours)]
        facts[scheme] = {
            "partitions": [file.delegation()[0] for file in files],
            "outside": [file.delegation()[1] for file in files],
            "sqnr": [f"{sqnr(expected, file(held_out)[0]):.1f}" for file in files],
            "passes": card.conversion["lowering"],
        }
    keep_facts(_facts(Path(folder), network), costs_of, facts, [*_figures(Path(folder), network).values()])


def _model(network: str) -> Any:
    """With logits and random weights."""
    import keras

    from keras_cnnzoo.by_name import create

    keras.utils.set_random_seed(0)
    if network.startswith("keras.applications."):
        return getattr(keras.applications, network.split(".")[-1])(weights=None, classifier_activation=None)
    return create(network, classifier_activation=None)


def _frozen(model: Any) -> Any:
    """A function of batch 1 with constants for variables: from_keras_model's operators at a third of its time."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    function = tf.function(lambda images: model(images, training=False))
    return convert_variables_to_constants_v2(
        function.get_concrete_function(tf.TensorSpec((1, *model.input_shape[1:]), tf.float32))
    )


if __name__ == "__main__":
    typer.run(main)
