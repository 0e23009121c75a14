"""The main job, end to end: train a small network, export it twice, verify both files, measure them, tell it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from .. import ShuffleNetV2, mobile_bench, save_weights
from ..console import progress
from ..errors import InputError
from ..export import Calibration, Card, Origin, to_tflite, verify
from ..files import refuse_overwrite
from ..preprocessing import PRESETS
from .datasets import Split, dataset
from .page import write_page
from .result import Demo
from .training import train_for

NETWORK, SCHEMES = "shufflenet_v2_x0_5", ("float32", "int8")
CALIBRATION, SHOWN, RUNS = 500, 1000, 200  # images, images that the page chooses from, calls
SMALL = 64  # pixels up to which the stem does not subsample
PREPROCESSING = PRESETS["tf"]


def run_demo(data: str, folder: Path, *, seconds: float, size: int, seed: int, force: bool, shown: bool) -> Demo:
    """Trains, exports, verifies, measures and reports.

    Args:
        data: see `dataset`.
        folder: for everything that is written.
        seconds: of training.
        size: height and width of digits and pictures.
        seed: of the split and the training.
        force: replace what stands there.
        shown: with progress bars.

    Raises:
        InputError: no such data, or a folder that cannot be written.
    """
    paths = [folder / f"{NETWORK}_{scheme}.tflite" for scheme in SCHEMES]
    for path in (*paths, folder / "weights.safetensors", folder / "report.html"):
        refuse_overwrite(path, force=force)
    with progress("read the data", shown=shown):
        split = dataset(data, size, seed)
    model = _trained(split, seconds, seed, shown)
    save_weights(model, folder / "weights.safetensors", preprocessing=PREPROCESSING, force=force)
    cards = [_exported(model, split, path, scheme, shown) for path, scheme in zip(paths, SCHEMES, strict=True)]
    report = _measured(paths, shown)
    demo = Demo(folder, NETWORK, split.train.source, seconds, tuple(cards), report.measurements, report.environment)
    write_page(demo, split, _answers(paths, split))
    return demo


def _trained(split: Split, seconds: float, seed: int, shown: bool) -> keras.Model:
    """A ShuffleNetV2 of half width that returns logits."""
    keras.utils.set_random_seed(seed)
    shape = split.train.pixels.shape[1:]
    if min(shape[:2]) < 16:
        raise InputError(
            f"images of {shape[0]}x{shape[1]} are too small for {NETWORK}; scale them to 16 pixels or more"
        )
    model = ShuffleNetV2(
        width=0.5,
        small_input=max(shape[:2]) <= SMALL,
        input_shape=shape,
        classes=len(split.classes),
        classifier_activation=None,
        dropout=0.1,
        name=NETWORK,
    )
    labels = split.train.labels
    assert labels is not None
    with progress(f"train for {seconds:.0f} s", seconds, shown=shown) as step:
        train_for(model, PREPROCESSING(split.train.pixels), labels, seconds, step)
    return model


def _exported(model: keras.Model, split: Split, path: Path, scheme: Any, shown: bool) -> Card:
    held_out = PREPROCESSING(split.test.pixels)
    chosen = split.train.take(CALIBRATION, seed=0)

    def proof(content: bytes) -> dict[str, Any]:
        with progress(f"verify {path.name}", len(held_out), shown=shown) as step:
            found = verify(content, model, held_out, split.test.labels, step).to_dict()
        return {"source": f"held-out fifth of {split.test.source}"} | found

    return to_tflite(
        model,
        path,
        quantize=scheme,
        calibration=Calibration(PREPROCESSING(chosen.pixels), chosen.source) if scheme == "int8" else None,
        origin=Origin("trained", NETWORK, {}, PREPROCESSING, split.classes),
        verification=proof,
        force=True,
    )


def _measured(paths: Sequence[Path], shown: bool) -> mobile_bench.Report:
    with progress("measure", shown=shown) as step:
        return mobile_bench.benchmark(paths, threads=(1, 2), runs=RUNS, watch=_counted(step))


def _counted(step: Callable[[float], object]) -> Callable[[float, float], None]:
    return lambda done, total: (step(1), None)[1]


def _answers(paths: Sequence[Path], split: Split) -> list[np.ndarray]:
    """The classes that each file names for the first held-out images."""
    from ..export.interpreter import LiteRT

    inputs = PREPROCESSING(split.test.pixels[:SHOWN])
    return [LiteRT(path.read_bytes())(inputs)[0].argmax(-1) for path in paths]
