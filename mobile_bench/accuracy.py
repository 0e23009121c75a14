"""Top-1 and top-5 of an artifact on labelled pictures, through its runner, fed as its card says."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..images import Images, read_images
from .artifact import Artifact
from .order import Configuration
from .runners import Runner, Tensor, open_runner

BACKGROUND = 1  # a network with one class more than the labels know has a background class before them


@dataclass(frozen=True)
class Accuracy:
    """Shares of right answers; an answer that ties with k others counts as much as the chance of drawing it.

    Attributes:
        images: how many were asked for.
        source: where they came from.
    """

    top1: float
    top5: float
    images: int
    source: str


def accuracy(artifact: Artifact, configuration: Configuration, data: Path, count: int | None = None) -> Accuracy:
    """Asks the artifact for each picture's class.

    Args:
        data: a folder of a folder a class (or pictures and a labels.json), or an .npz file of images and labels.
        count: at most so many pictures, drawn with a fixed seed.

    Raises:
        InputError: no labels, no card that tells how to feed it, an input that is no picture, or too few classes.
    """
    if artifact.preprocessing is None:
        raise InputError(
            f"{artifact.path}: no card tells how to feed it; export it with cnnzoo-export, or leave --data out"
        )
    runner = open_runner(configuration)
    try:
        if len(runner.inputs) != 1 or len(runner.inputs[0].shape) != 4:
            raise InputError(f"{artifact.path}: its inputs are {[t.shape for t in runner.inputs]}, not one of pictures")
        (tensor,) = runner.inputs
        images = read_images(data, _size(tensor, artifact), fit=artifact.preprocessing, count=count, seed=0)
        if images.labels is None:
            raise InputError(f"{data}: no labels; give a folder of a folder a class, or an .npz file with `labels`")
        scores = _scores(runner, tensor, artifact, images)
    finally:
        runner.close()
    return _accuracy(scores, images)


def _size(tensor: Tensor, artifact: Artifact) -> tuple[int, int, int]:
    """Height, width and channels of the pictures."""
    _, first, second, third = tensor.shape
    return (second, third, first) if artifact.channels_first else (first, second, third)


def _scores(runner: Runner, tensor: Tensor, artifact: Artifact, images: Images) -> NDArray[np.float64]:
    assert artifact.preprocessing is not None
    found = []
    batch = tensor.shape[0]
    for part in images.batches(batch):
        pixels = artifact.preprocessing(part.pixels)
        values = quantized(pixels.transpose(0, 3, 1, 2) if artifact.channels_first else pixels, tensor)
        padded = np.concatenate([values, np.repeat(values[-1:], batch - len(values), axis=0)])
        found.append(runner.outputs([padded])[0].reshape(batch, -1)[: len(values)])
    return np.concatenate(found).astype(np.float64)


def quantized(values: NDArray[np.float32], tensor: Tensor) -> NDArray:
    """Values as the input takes them: on its own scale where it is of whole numbers."""
    kind = np.dtype(tensor.dtype)
    if kind.kind == "f":
        return values.astype(kind)
    if not tensor.scale:
        raise InputError(f"an input of {tensor.dtype} without a scale cannot be fed with pictures")
    limits = np.iinfo(kind)
    return np.clip(np.round(values / tensor.scale) + tensor.zero_point, limits.min, limits.max).astype(kind)


def _accuracy(scores: NDArray[np.float64], images: Images) -> Accuracy:
    labels = np.asarray(images.labels)
    classes = scores.shape[1]
    known = len(images.classes) if images.classes else int(labels.max()) + 1
    shift = BACKGROUND if classes in (known + BACKGROUND, 1001) else 0
    if labels.max() + shift >= classes:
        raise InputError(f"{images.source}: labels go to {labels.max()}, the network has {classes} classes")
    own = scores[np.arange(len(labels)), labels + shift][:, None]
    above, equal = (scores > own).sum(1), (scores == own).sum(1)
    shares = [float(np.mean(np.clip((top - above) / equal, 0, 1))) for top in (1, 5)]
    return Accuracy(shares[0], shares[1], len(labels), images.source)
