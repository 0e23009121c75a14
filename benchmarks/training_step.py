"""A training step here against torch's on the same machine, interleaved; and the input pipeline against the step.

    python benchmarks/training_step.py                                  # ShuffleNetV2 x0.5, some 90 s on 2 cores
    python benchmarks/training_step.py --network resnext50_32x4d --batch 4
    python benchmarks/training_step.py --network resnet20 --size 32 --batch 128 --against mixed_bfloat16

Needs torch and torchvision (make references), but for --against another precision. All train the same architecture by
SGD with momentum and weight decay of the kernels, in float32 if nothing else is said, in blocks of a few steps that
alternate and change their order each round, so that what else the machine does meets both; the ratio is the median over
the rounds. Ours is the step of `cnnzoo train`, with its fused batch normalisation and with oneDNN;
TF_ENABLE_ONEDNN_OPTS=0 shows what that does. Threads as the environment has them (OMP_NUM_THREADS,
TF_NUM_INTRAOP_THREADS).
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

from keras_cnnzoo.training import prefer_onednn

prefer_onednn()

import keras
import numpy as np
import tensorflow as tf

import keras_cnnzoo as zoo
from keras_cnnzoo.preprocessing import PRESETS
from keras_cnnzoo.training import Arrays, Data, recipe
from keras_cnnzoo.training.compiled import compile_by, trained_steps
from keras_cnnzoo.training.pipeline import training_batches

CLASSES, BLOCK = 10, 3  # steps a block
RECIPE = recipe("resnet_cifar").changed(learning_rate=0.01)
PULLED = 10  # batches of the input pipeline that are timed


def ours(name: str, size: int, batch: int, precision: str = "float32") -> Callable[[], None]:
    """A step of the zoo's network in Keras."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(precision)
    model = zoo.create(name, input_shape=(size, size, 3), classes=CLASSES, classifier_activation=None)
    compile_by(RECIPE, model, steps=1000)
    images, labels = arrays(size, batch)
    steps = trained_steps(model, tf.data.Dataset.from_tensors((images, np.eye(CLASSES)[labels])).cache(), 10**9)
    return lambda: next(steps)  # type: ignore[return-value]


def torchs(name: str, size: int, batch: int) -> Callable[[], None]:
    """A step of torchvision's."""
    import torch
    import torchvision

    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(num_classes=CLASSES).train()
    kernels, others = ([p for p in model.parameters() if (p.ndim > 1) is kernel] for kernel in (True, False))
    groups = [{"params": kernels, "weight_decay": RECIPE.weight_decay}, {"params": others}]
    optimizer = torch.optim.SGD(groups, RECIPE.learning_rate, RECIPE.momentum)
    images, labels = arrays(size, batch)
    pixels, answers = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), torch.from_numpy(labels)

    def step() -> None:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(pixels), answers)
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def arrays(size: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((batch, size, size, 3)).astype(np.float32), rng.integers(0, CLASSES, batch)


def seconds(step: Callable[[], None], count: int = BLOCK) -> float:
    start = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - start) / count


def pair(one: Callable[[], None], other: Callable[[], None], *, turned: bool) -> tuple[float, float]:
    """Seconds a step of either, measured one after the other."""
    if turned:
        second = seconds(other)
        return seconds(one), second
    return seconds(one), seconds(other)


def pipeline(name: str, size: int, batch: int) -> float:
    """Images a second of the input pipeline of a recipe."""
    rng = np.random.default_rng(0)
    source = Arrays(rng.integers(0, 256, (batch * 8, size, size, 3), np.uint8), rng.integers(0, CLASSES, batch * 8))
    data = Data(source, source, tuple(map(str, range(CLASSES))), (size, size, 3), "noise")
    chosen = recipe(name).changed(batch=batch, epochs=1000)
    iterator = iter(training_batches(data, chosen, PRESETS["torch"], 0, 0))
    seconds(lambda: next(iterator), 5)  # traces, and empties what was fetched ahead
    return batch / seconds(lambda: next(iterator), PULLED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="shufflenet_v2_x0_5")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--against", default="torch", help="torch, or another precision of ours, as mixed_bfloat16")
    asked = parser.parse_args()
    against = torchs if asked.against == "torch" else partial(ours, precision=asked.against)
    first, second = (make(asked.network, asked.size, asked.batch) for make in (ours, against))
    for step in (first, second):
        seconds(step, 2)  # traces, and fills caches
    pairs = np.array([pair(first, second, turned=bool(i % 2)) for i in range(asked.rounds)])
    ratios = pairs[:, 0] / pairs[:, 1]
    own, other = np.median(pairs, axis=0)
    print(
        f"{asked.network}, {asked.size}x{asked.size}, batch {asked.batch}, {asked.rounds} blocks of {BLOCK} steps each"
    )
    print(f"keras {1e3 * own:.1f} ms, {asked.against} {1e3 * other:.1f} ms a step")
    print(f"keras / {asked.against}: {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})")
    needed = asked.batch / own
    for name in ("mobilenet", "modern"):
        rate = pipeline(name, asked.size, asked.batch)
        print(f"input pipeline of recipe {name}: {rate:,.0f} images/s, {rate / needed:.1f} times what a step takes")


if __name__ == "__main__":
    main()
