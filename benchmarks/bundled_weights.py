"""Trains the weights that ship in the package, and keeps each as soon as it is trained.

    python benchmarks/bundled_weights.py --out runs/                                # all that are not there yet
    python benchmarks/bundled_weights.py --only resnet20-fashion_mnist --out runs/
    python benchmarks/bundled_weights.py --cifar10-jpeg cifar10/ --out runs/        # with train_jpeg.npz and test.npz

The same command goes on where it was interrupted. A network's minutes on this machine bound its epochs: the time of a
step is measured first, and the schedule is that of as many epochs as fit. What is written into weights/bundled
is float16; its top-1 is measured on that file. Without --cifar10-jpeg the networks of CIFAR-10 are left out.

With --one-core a network trains on one core for twice its minutes. Two such runs side by side, each with its networks
by --only, train up to 1.5 times as fast as one after the other: two threads wait for each other on small pictures.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from keras_cnnzoo.training import prefer_onednn

prefer_onednn()
CORES = 1 if "--one-core" in sys.argv else 2
if CORES == 1:  # TensorFlow reads these once, when it is loaded
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}

import keras
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from keras_cnnzoo.files import write
from keras_cnnzoo.preprocessing import PRESETS
from keras_cnnzoo.training import Data, Recipe, dataset, network, recipe, train
from keras_cnnzoo.training.build import Precision, emulated, small_stem
from keras_cnnzoo.training.pipeline import steps_per_epoch, test_batches
from keras_cnnzoo.weights import bundled
from keras_cnnzoo.weights.bundled import LARGEST, Bundled, all_bundled

SEED, TRIED = 0, 12  # steps that are timed, after the first, which traces
PREPROCESSING = PRESETS["torch"]
LIGHT = ("rand_augment=0", "mixup=0", "cutmix=0", "warmup=1")  # for tens of epochs of small pictures


@dataclass(frozen=True)
class Plan:
    """How a network is trained: a recipe with settings, at most so many epochs, and minutes of two cores."""

    network: str
    data: str = "fashion_mnist"
    recipe: str = "modern"
    settings: tuple[str, ...] = LIGHT
    epochs: int = 40
    minutes: float = 40
    precision: Precision = "float32"
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.network}-{self.data}"


BF16: Precision = "mixed_bfloat16"  # 1.6 times as fast; a depthwise convolution is 2.5 times slower in it
PLANS = (
    Plan("resnet20", precision=BF16),
    Plan("shufflenet_v2_x0_5"),
    Plan("mobilenet_v2_x0_5"),
    Plan("seresnet20", precision=BF16),
    Plan("shufflenet_v1_g3_x0_5"),
    Plan("mobilenet_v1_x0_5"),
    Plan("mobilenet_v3_small", options={"width": 0.5}),
    Plan("densenet_bc_40_12", epochs=20),
    Plan("squeezenet1_1", precision=BF16),
    Plan("resnet20", "cifar10_jpeg", precision=BF16),
    Plan("shufflenet_v2_x0_5", "cifar10_jpeg"),
    Plan("mobilenet_v2_x0_5", "cifar10_jpeg"),
)


def images(plan: Plan, cifar10: Path | None) -> tuple[Data, str]:
    """The data, and what the command line says of them."""
    if plan.data == "fashion_mnist":
        return dataset("fashion_mnist"), "--data fashion_mnist"
    assert cifar10 is not None
    found = dataset(cifar10 / "train_jpeg.npz", test=cifar10 / "test.npz")
    return found, "--data train_jpeg.npz --test test.npz"


def fitting_epochs(plan: Plan, data: Data, chosen: Recipe) -> int:
    """As many epochs as `plan.minutes` hold on this machine, by the median of some steps; at most `plan.epochs`."""
    times: list[float] = []
    few = data.limited(chosen.batch * TRIED, SEED)
    model = network(plan.network, data, precision=plan.precision, seed=SEED, **plan.options)
    train(model, few, chosen.changed(epochs=1), seed=SEED, step=lambda steps: times.append(time.perf_counter()))
    step = float(np.median(np.diff(times)[1:]))
    epoch = step * steps_per_epoch(data.train, chosen.batch) * 1.1  # and its test
    epochs = max(1, min(plan.epochs, int(60 * plan.minutes * 2 / CORES / epoch)))
    print(f"{plan.name}: {1000 * step:.0f} ms a step, {epochs} epochs")  # too few where other work runs beside
    return epochs


def trained(plan: Plan, data: Data, source: str, out: Path) -> tuple[Bundled, bytes]:
    """The row and the file of a network trained in `out/NAME`, where a run that was interrupted goes on."""
    folder = out / plan.name
    chosen = recipe(plan.recipe).changed(plan.settings)
    decided = folder / "epochs.json"  # an interrupted run must find the schedule that it began with
    if not decided.is_file():
        write(decided, json.dumps(fitting_epochs(plan, data, chosen)))
    chosen = recipe(plan.recipe).changed(plan.settings, epochs=json.loads(decided.read_text()))
    model = network(plan.network, data, precision=plan.precision, seed=SEED, **plan.options)
    run = train(model, data, chosen, out=folder, seed=SEED, preprocessing=PREPROCESSING, watch=print, force=False)
    options = [] if plan.precision == "float32" else ["--precision", plan.precision]
    options += [f"--set {text}" for text in (*plan.settings, *(f"{k}={v}" for k, v in plan.options.items()))]
    row = Bundled(
        network=plan.network,
        data=plan.data,
        options=plan.options | small_stem(plan.network, data),
        input_shape=data.shape,
        classes=data.classes,
        top1=0.0,
        images=len(data.test),
        seed=SEED,
        recipe=plan.recipe,
        epochs=chosen.epochs,
        seconds=round(run.history[-1].seconds, 1),
        cores=CORES,
        command=f"cnnzoo train {plan.network} {source} --recipe {plan.recipe} --epochs {chosen.epochs} "
        + " ".join(options),
        sha256="",
    )
    content = in_float16(folder / "weights.safetensors")
    path = write(folder / "float16.safetensors", content)
    return replace(row, sha256=hashlib.sha256(content).hexdigest(), top1=round(top1(row, path, data), 2)), content


def in_float16(path: Path) -> bytes:
    """A weights file's content at half its size."""
    with safe_open(path, "numpy") as file:
        said, names = file.metadata(), list(file.keys())
        state = {name: file.get_tensor(name) for name in names}
    return save({k: v.astype(np.float16) if v.dtype.kind == "f" else v for k, v in state.items()}, said)


def top1(row: Bundled, path: Path, data: Data) -> float:
    """Of a file of the row's network, in percent of the test images."""
    import keras_cnnzoo as zoo

    keras.config.set_dtype_policy("float32")
    model = zoo.create(row.network, weights=path, **row.defaults())
    model.compile(metrics=[keras.metrics.CategoricalAccuracy(name="top1")], loss="categorical_crossentropy")
    return 100 * model.evaluate(test_batches(data, PREPROCESSING, 100), verbose=0, return_dict=True)["top1"]


def keep(row: Bundled, content: bytes) -> None:
    """Writes a file into the package and adds its row to bundled.json, or replaces both.

    Raises:
        SystemExit: all files together are larger than the package may carry.
    """
    rows = {(r.data, r.network): r for r in all_bundled()} | {(row.data, row.network): row}
    others = sum(r.path.stat().st_size for r in rows.values() if r != row)
    if others + len(content) > LARGEST:
        raise SystemExit(f"{row.path.name}: with it the files would be over {LARGEST / 1e6:.0f} MB; it is not kept")
    write(row.path, content)
    text = json.dumps([asdict(rows[key]) for key in sorted(rows)], indent=1)
    write(bundled.FOLDER / "bundled.json", text + "\n")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a folder for the runs")
    parser.add_argument("--only", nargs="*", help="NETWORK-DATA, as in resnet20-fashion_mnist")
    parser.add_argument("--cifar10-jpeg", type=Path, help="a folder with train_jpeg.npz and test.npz")
    parser.add_argument("--minutes", type=float, help="of two cores for each, instead of the plan's; 40 at most")
    parser.add_argument("--one-core", action="store_true", help="for twice the minutes, two runs side by side")
    parser.add_argument("--again", action="store_true", help="those that are there already, too")
    asked = parser.parse_args(arguments)
    unknown = set(asked.only or ()) - {plan.name for plan in PLANS}
    if unknown:
        parser.error(f"--only {' '.join(sorted(unknown))}: there are {', '.join(plan.name for plan in PLANS)}")
    if asked.cifar10_jpeg is None and any(name.endswith("-cifar10_jpeg") for name in asked.only or ()):
        parser.error("--only names a network of CIFAR-10: give --cifar10-jpeg its folder")
    if asked.minutes is not None and not asked.minutes > 0:
        parser.error(f"--minutes {asked.minutes:g}: give more than 0, or leave it out for the plan's")
    there = set() if asked.again else {f"{row.network}-{row.data}" for row in all_bundled()}
    for plan in PLANS:
        wanted = plan.name in asked.only if asked.only else plan.name not in there
        if not wanted or (plan.data == "cifar10_jpeg" and asked.cifar10_jpeg is None):
            continue
        precision: Precision = "float32" if emulated(plan.precision) else plan.precision
        plan = replace(plan, minutes=min(asked.minutes or plan.minutes, plan.minutes), precision=precision)
        data, source = images(plan, asked.cifar10_jpeg)
        row, content = trained(plan, data, source, asked.out)
        keep(row, content)
        took = f"{row.epochs} epochs, {row.seconds / 60:.0f} min on {row.cores} cores"
        print(f"{plan.name}: {row.top1:.2f} % of {row.images} images, {took}")


if __name__ == "__main__":
    main()
