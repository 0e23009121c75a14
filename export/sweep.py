"""Every network of the zoo to every format, each file compared with its model: what converts, and what does not.

The weights are random, with BN statistics of a pass in training mode: a fresh network's outputs say nothing. A row is
ok where the file answers like the model over images on which the model's own answers vary:

    float32, onnx     the largest difference is at most 1e-4 of the largest output
    float16           40 dB; int16, whose weights have 8 bits, int8 and onnx-int8 10 dB of signal to noise

Signal and noise are those of what varies between the images, output by output: a file that ignores its input scores
0 dB however large its outputs are, one that answers another question less. An int8 or int16 file must hold no float
operator.
"""

import gc
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..by_name import create
from ..files import write
from ..registry import VARIANTS, info, list_models
from .answers import answers_of
from .sweep_rows import LEAST_SQNR, Format, Row, lines, read
from .targets import SELECT

if TYPE_CHECKING:
    import keras

    from .card import Card

SMALL = 96  # pixels a side, at which every network builds
IMAGES, VARIATION = 12, 0.1
DEEP, RANDOM = 40, 0.1  # convolutions from which on a random network needs shortcuts; what of it is kept without
LARGEST_DIFFERENCE = 1e-4  # of the largest output


def sweep(
    networks: Sequence[str],
    formats: Sequence[Format],
    executor: Executor,
    *,
    size: int | None = SMALL,
    record: Path | None = None,
    folder: Path | None = None,
) -> Iterator[list[Row]]:
    """Yields each network's rows as they are done.

    Args:
        networks: names of the registry.
        formats: to convert to.
        executor: runs one job a network: processes, threads, or another machine's.
        size: of the inputs; None for each network's own. No network is built larger than its own.
        record: a file of JSON lines; what stands in it is not done again, but what failed of the networks asked for is.
        folder: keeps the files.
    """
    own = {name: VARIANTS[name].size for name in networks}
    sides = own if size is None else {name: min(size, side) for name, side in own.items()}
    asked = {(name, f, side) for name, side in sides.items() for f in formats}
    known = {row.key: row for row in read(record) if row.ok or row.key not in asked}
    if record is not None:  # without what is tried again, and without a line that was cut short
        write(record, lines(known.values()))
    jobs = {}
    for name, side in sides.items():
        missing = [f for f in formats if (name, f, side) not in known]
        done = [known[name, f, side] for f in formats if f not in missing]
        if missing:
            jobs[executor.submit(convert, name, missing, side, folder)] = (name, missing, side, done)
        else:
            yield done
    for job in as_completed(jobs):
        name, missing, side, done = jobs[job]
        error = job.exception()
        rows = [Row(name, f, side, False, _words(error)) for f in missing] if error else job.result()
        if record is not None:
            with record.open("a") as file:
                file.write(lines(rows))
        yield done + rows


def convert(name: str, formats: Sequence[Format], size: int, folder: Path | None = None) -> list[Row]:
    """One network in every format; a failure is a row."""
    import keras

    shape = (size, size, 3)
    try:
        keras.utils.set_random_seed(0)
        model = create(name, input_shape=shape, classifier_activation=None)
        calibrate(model, pictures(IMAGES, shape, seed=0))
        held_out = pictures(IMAGES, shape, seed=1)
        expected = answers_of(model, [held_out])
    except Exception as error:
        return [Row(name, f, size, False, f"not built: {_words(error)}") for f in formats]
    rows = [_converted(model, f, name, size, held_out, expected, folder) for f in formats]
    del model
    keras.backend.clear_session()
    gc.collect()
    return rows


def pictures(count: int, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Blurred noise of different contrast and colour, so that a random network's outputs differ: (count, *shape)."""
    rng = np.random.default_rng(seed)
    height, width, channels = shape
    coarse = rng.standard_normal((count, -(-height // 8), -(-width // 8), channels))
    smooth = coarse.repeat(8, 1).repeat(8, 2)[:, :height, :width]
    colour = rng.standard_normal((count, 1, 1, channels))
    contrast = rng.uniform(0.3, 2, (count, 1, 1, 1))
    return (contrast * (smooth + 0.3 * rng.standard_normal((count, *shape))) + colour).astype(np.float32)


def calibrate(model: "keras.Model", images: np.ndarray) -> None:
    """Gives BN the statistics of one pass in training mode, random gammas and betas.

    The betas' mean of 1 keeps most ReLUs open: around 0 a deep random network magnifies rounding (MobileNet v1 x0.25
    then keeps 0.4 dB of int8, TFLiteConverter's file no more; with it 15 dB). A deep network without shortcuts forgets
    its input all the same (the outputs of plain110 do not vary), so its kernels pass it on.
    """
    import keras

    rng = np.random.default_rng(0)
    kernels = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    joins = [layer for layer in model.layers if isinstance(layer, keras.layers.Add | keras.layers.Concatenate)]
    if len(kernels) > DEEP and not joins:
        for layer in kernels:
            _pass_on(layer)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
            if layer.scale:
                layer.gamma.assign(rng.uniform(0.5, 1.5, layer.gamma.shape))
            if layer.center:
                layer.beta.assign(rng.normal(1.0, 0.2, layer.beta.shape))
    model(images, training=True)


def _pass_on(layer: "keras.layers.Conv2D") -> None:
    """The identity, and something of the random kernel, where there are as many filters as channels."""
    kernel = np.array(layer.kernel)
    height, width, channels, filters = kernel.shape
    if channels == filters:
        kernel *= RANDOM
        kernel[height // 2, width // 2] += np.eye(channels)
        layer.kernel.assign(kernel)


def _converted(
    model: "keras.Model",
    kind: Format,
    name: str,
    size: int,
    images: np.ndarray,
    expected: list[np.ndarray],
    folder: Path | None,
) -> Row:
    with tempfile.TemporaryDirectory() as temporary:
        stem = (folder or Path(temporary)) / f"{name}_{size}_{kind}"
        try:
            start = time.perf_counter()
            path, card = _exported(model, kind, stem, size)
            seconds = time.perf_counter() - start
            answers = _answers(path, images)
            unwanted = _unwanted(card.operators, path, kind)
        except Exception as error:  # a fault of ours as well is a row
            return Row(name, kind, size, False, _words(error))
    difference, sqnr = compare(expected, answers)
    delegate = card.delegate or {"partitions": None, "outside": {}}
    return Row(
        name,
        kind,
        size,
        not (reason := _verdict(kind, expected, difference, sqnr)),
        reason,
        round(seconds, 2),
        round(card.artifact["bytes"] / 1e6, 2),
        difference,
        sqnr,
        card.operators,
        delegate["partitions"],
        delegate["outside"],
        unwanted,
    )


def _exported(model: "keras.Model", kind: Format, stem: Path, size: int) -> tuple[Path, "Card"]:
    data = pictures(IMAGES, (size, size, 3), seed=0) if kind.endswith(("int8", "int16")) else None
    if kind.startswith("onnx"):
        from .onnx.conversion import to_onnx

        path = stem.with_name(stem.name + ".onnx")
        scheme: Any = "int8" if kind == "onnx-int8" else "float32"
        return path, to_onnx(model, path, quantize=scheme, calibration=data, force=True)
    from .tflite import to_tflite

    path = stem.with_name(stem.name + ".tflite")
    return path, to_tflite(model, path, quantize=kind, calibration=data, force=True)  # type: ignore[arg-type]


def _answers(path: Path, images: np.ndarray) -> list[np.ndarray]:
    if path.suffix == ".onnx":
        from .onnx.runtime import OnnxRuntime

        return OnnxRuntime(path.read_bytes())(images)
    from .interpreter import LiteRT

    return LiteRT(path.read_bytes())(images)


def compare(expected: list[np.ndarray], answers: list[np.ndarray]) -> tuple[float, float]:
    """The largest difference as a share of the largest output, and the SQNR of what varies between the images."""
    signal = noise = difference = 0.0
    for e, a in zip(expected, answers, strict=True):
        difference = float(np.maximum(difference, np.abs(e - a).max() / np.abs(e).max()))  # NaN stays
        varying = e - e.mean(0)
        signal += float(np.square(varying, dtype=np.float64).mean())
        noise += float(np.square(varying - (a - a.mean(0)), dtype=np.float64).mean())
    return difference, 10 * math.log10(signal / noise) if signal and noise else math.inf


def _verdict(kind: str, expected: list[np.ndarray], difference: float, sqnr: float) -> str:
    """Why the row is not ok; empty where it is."""
    if not all(np.ptp(e, axis=0).max() > VARIATION * np.abs(e).max() for e in expected):
        return "the model's own outputs do not vary: this proves nothing"
    if kind in LEAST_SQNR:
        return "" if sqnr > LEAST_SQNR[kind] else f"SQNR of {sqnr:.1f} dB"
    return "" if difference <= LARGEST_DIFFERENCE else f"outputs differ by {difference:.1e}"


def _unwanted(operators: dict[str, int], path: Path, kind: Format) -> dict[str, int]:
    """What there must not be: Flex and custom operators, float ones among integers, Transposes in ONNX."""
    found = {name: n for name, n in operators.items() if name.startswith(SELECT) or name == "Transpose"}
    if kind in ("int8", "int16"):
        from .contents import histogram
        from .contents import operators as of_file

        floats = histogram([operator for operator in of_file(path.read_bytes()) if operator.is_float])
        found |= {f"float {name}": count for name, count in floats.items()}
    return found


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"


def chosen(pattern: str) -> list[str]:
    """The networks that a shell pattern names, the smallest first.

    Raises:
        InputError: none of that name.
    """
    return sorted(list_models(pattern) or [info(pattern).name], key=lambda name: VARIANTS[name].params)
