"""One training step of a grouped convolution on the CPU: GroupedConv2D against keras.layers.Conv2D(groups=...).

    python benchmarks/grouped_convolution.py [rounds]

3x3, 32 groups, 14x14x512, batch 8; forward, gradient by input and kernel. The two take turns; what is shown is the
median over rounds of each, and of their ratio. The largest difference of the gradients is shown beside it.
"""

import sys
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from conversion import where

from keras_cnnzoo.layers import GroupedConv2D

SHAPE, GROUPS, BATCH = (14, 14, 512), 32, 8


def training_step(layer: keras.layers.Layer) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    @tf.function
    def step(images: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(images)
            loss = tf.reduce_sum(layer(images) ** 2)
        return tape.gradient(loss, [images, layer.kernel.value])

    return step


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    images = tf.constant(np.random.default_rng(0).standard_normal((BATCH, *SHAPE)), tf.float32)
    layers = [kind(SHAPE[-1], 3, padding="same", groups=GROUPS) for kind in (keras.layers.Conv2D, GroupedConv2D)]
    for layer in layers:
        layer.build((None, *SHAPE))
    layers[1].set_weights(layers[0].get_weights())
    steps = [training_step(layer) for layer in layers]
    gradients = [step(images) for step in steps]  # traced and compiled here
    seconds = np.array([[_timed(step, images) for step in steps] for _ in range(rounds)])
    theirs, ours = np.median(seconds, axis=0) * 1e3
    ratio = np.median(seconds[:, 0] / seconds[:, 1])
    difference = max(float(tf.reduce_max(abs(a - b)) / tf.reduce_max(abs(a))) for a, b in zip(*gradients, strict=True))
    print("| keras.layers.Conv2D | GroupedConv2D | ratio | gradients differ by |\n|---|---|---|---|")
    print(f"| {theirs:.0f} ms | {ours:.1f} ms | {ratio:.0f} | {difference:.0e} |")
    print(f"\n{where()}; keras {keras.__version__}, tensorflow {tf.__version__}")


def _timed(step: Callable[[tf.Tensor], list[tf.Tensor]], images: tf.Tensor) -> float:
    start = time.perf_counter()
    for gradient in step(images):
        gradient.numpy()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
