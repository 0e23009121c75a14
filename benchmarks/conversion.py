"""What the comparisons with other converters share. Imports numpy alone: some run where neither Keras nor we are."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def blurred_noise(count: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Images of different contrast, (count, height, width, channels) float32."""
    rng, (height, width, channels) = np.random.default_rng(0), shape
    coarse = rng.standard_normal((count, -(-height // 16), -(-width // 16), channels)).repeat(16, 1).repeat(16, 2)
    fine = 0.3 * rng.standard_normal((count, *shape))
    contrast = rng.uniform(0.3, 2, (count, 1, 1, 1))
    return (contrast * (coarse[:, :height, :width] + fine)).astype(np.float32)


def settle(model: Any, images: np.ndarray) -> None:
    """Gives batch normalisation the statistics of these images: a fresh network's outputs say nothing."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(images, training=True)


def plain(converter: Any, scheme: str, images: np.ndarray, *, per_tensor: bool = False) -> bytes:
    """The file of a tf.lite.TFLiteConverter as TensorFlow documents it: float32, or int8 throughout."""
    import tensorflow as tf

    if scheme == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        converter._experimental_disable_per_channel = per_tensor
    return converter.convert()


def apart(script: str, function: str, *arguments: Any) -> "subprocess.CompletedProcess[str]":
    """Calls a script's function in a process of its own: TensorFlow's converter gives back no memory.

    Args:
        script: a file of this folder, without its suffix.
        function: its name.
        arguments: strings, numbers or None.
    """
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import {script}"
    command = [sys.executable, "-W", "ignore", "-c", f"{code}; {script}.{function}{arguments!r}"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def machine_of(costs_of: str | None) -> str | None:
    """A name of --costs-of that says the same on another machine."""
    from keras_cnnzoo.export.lowering.passes import this_target

    return this_target() if costs_of == "this" else costs_of


def kept_facts(path: Path, costs_of: str | None) -> dict[str, Any] | None:
    """What a conversion left in a file; None where it was another version's, by other costs, or killed.

    Args:
        path: of the file, which need not be there.
        costs_of: the machine whose costs are asked for; None is content with any.
    """
    from keras_cnnzoo.mobile_bench.environment import environment

    if not path.exists():
        return None
    facts: dict[str, Any] = json.loads(path.read_text())
    right = facts.get("cnnzoo") == environment().cnnzoo and costs_of in (None, facts.get("costs_of"))
    return facts if right and not facts.get("killed") else None


def keep_facts(path: Path, costs_of: str | None, facts: dict[str, Any], figures: Sequence[Path]) -> None:
    """Keeps what `kept_facts` finds, and drops the figures of the files that were there before."""
    from keras_cnnzoo.files import write
    from keras_cnnzoo.mobile_bench.environment import environment

    for figure in figures:
        figure.unlink(missing_ok=True)
    write(path, json.dumps({"cnnzoo": environment().cnnzoo, "costs_of": costs_of} | facts, indent=1))


def speeds(kept: Path, files: Sequence[Path], threads: Sequence[int], seconds: float) -> dict[str, Any]:
    """How many times as fast the second file is at each thread count: (value, low, high); measured once and kept.

    Args:
        kept: where the figures lie, with the place and day of the measurement.
        files: two.
        threads: counts.
        seconds: of measuring, for each file at each thread count.

    Raises:
        SystemExit: one of them could not be measured; nothing is kept.
    """
    from keras_cnnzoo.files import write
    from keras_cnnzoo.mobile_bench import benchmark

    if not kept.exists():
        report = benchmark(files, threads=threads, seconds=seconds * len(files) * len(threads))
        if report.unmeasured:
            raise SystemExit(f"{report.unmeasured[0].label}: not measured ({report.unmeasured[0].reason})")
        ratios = [measurement.ratio for measurement in report.measurements[len(threads) :]]
        bounds = [(1 / r.value, 1 / (r.high or np.inf), 1 / (r.low or np.nan)) for r in ratios if r is not None]
        write(kept, json.dumps({"speeds": bounds, "where": where()}))
    return json.loads(kept.read_text())


def where() -> str:
    """This machine and the date, for a table's last line."""
    from keras_cnnzoo.mobile_bench.environment import environment

    here = environment()
    return f"{here.cpu}, {here.cores} cores, {here.system}; Python {here.python}; {here.date[:10]}"
