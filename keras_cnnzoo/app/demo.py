"""The main job, end to end: train a small network, export it twice, verify both files, measure them, tell it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from .. import mobile_bench, save_weights
from ..console import progress
from ..errors import InputError
from ..files import refuse_overwrite
from ..preprocessing import PRESETS
from ..training import Data, Recipe, Run, dataset, network, train
from ..training.pipeline import steps_per_epoch, test_images
from .page import write_page
from .result import Demo
from .trained import exported

NETWORK, SCHEMES = "shufflenet_v2_x0_5", ("float32", "int8")
SHOWN, RUNS = 1000, 200  # images that the page chooses from, calls
PREPROCESSING = PRESETS["tf"]
# SGD, whose step takes TensorFlow 15 s less to trace than AdamW's
RECIPE = Recipe("demo", batch=16, learning_rate=0.05, nesterov=True, weight_decay=5e-4, flip=False, shift=0.08)


def run_demo(data: str, folder: Path, *, epochs: int, size: int, seed: int, force: bool, shown: bool) -> Demo:
    """Trains, exports, verifies, measures and reports.

    Args:
        data: see `keras_cnnzoo.training.dataset`.
        folder: for everything that is written.
        epochs: of training.
        size: height and width of the network's input, 16 or more.
        seed: of the split and the training.
        force: replace what stands there.
        shown: with progress bars.

    Raises:
        InputError: no such data, pictures that the page cannot show, a folder that cannot be written, or a file that
            could not be measured.
    """
    paths = [folder / f"{NETWORK}_{scheme}.tflite" for scheme in SCHEMES]
    for path in (*paths, folder / "weights.safetensors", folder / "report.html"):
        refuse_overwrite(path, force=force)
    with progress("read the data", shown=shown):
        found = dataset(data, size=size, seed=seed)
    if found.shape[2] not in (1, 3):
        raise InputError(f"{found.name}: pictures of {found.shape[2]} channels; the demo shows those of 1 or 3")
    run = _trained(found, epochs, seed, shown)
    save_weights(run.model, folder / "weights.safetensors", preprocessing=PREPROCESSING, force=force)
    cards = [
        exported(run.model, path, NETWORK, found, {}, PREPROCESSING, scheme, shown=shown)
        for path, scheme in zip(paths, SCHEMES, strict=True)
    ]
    report = _measured(paths, shown)
    seconds = run.history[-1].seconds
    demo = Demo(folder, NETWORK, found.name, seconds, tuple(cards), report.measurements, report.environment)
    pixels, labels = test_images(found, PRESETS["none"], SHOWN)
    write_page(demo, pixels.astype(np.uint8), labels, found.classes, _answers(paths, pixels))
    return demo


def _trained(data: Data, epochs: int, seed: int, shown: bool) -> Run:
    """A ShuffleNetV2 of half width that returns logits."""
    recipe = RECIPE.changed(epochs=epochs, batch=min(RECIPE.batch, len(data.train)))
    model = network(NETWORK, data, seed=seed, dropout=0.1)
    with progress("train", epochs * steps_per_epoch(data.train, recipe.batch), shown=shown) as step:
        return train(model, data, recipe, seed=seed, preprocessing=PREPROCESSING, step=step)


def _measured(paths: Sequence[Path], shown: bool) -> mobile_bench.Report:
    with progress("measure", shown=shown) as step:
        report = mobile_bench.benchmark(paths, threads=(1, 2), runs=RUNS, watch=_counted(step))
    if report.unmeasured:
        left = report.unmeasured[0]
        raise InputError(f"{left.label}: not measured ({left.reason}); see cnnzoo-bench on it in {paths[0].parent}")
    return report


def _counted(step: Callable[[float], object]) -> Callable[[float, float], None]:
    return lambda done, total: (step(1), None)[1]


def _answers(paths: Sequence[Path], pixels: np.ndarray) -> list[np.ndarray]:
    """The classes that each file names for images of 0..255."""
    from ..export.interpreter import LiteRT

    inputs = PREPROCESSING(pixels.astype(np.uint8))
    return [LiteRT(path.read_bytes())(inputs)[0].argmax(-1) for path in paths]
