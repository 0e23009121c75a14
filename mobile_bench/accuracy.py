"""Top-1 and top-5 of an artifact on labelled pictures, through its runner, fed as its card says."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..images import Folder, Images, open_images
from .artifact import Artifact
from .order import Configuration
from .runners import Runner, Tensor, open_runner

PART = 50  # pictures in memory
BACKGROUND = 1  # a network with one class more than the labels know has a background class before them


@dataclass(frozen=True)
class Accuracy:
    """Shares of right answers; an answer that ties with k others counts as much as the chance of drawing it.

    Attributes:
        images: how many it was asked.
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
        pictures = open_images(data, _size(tensor, artifact), fit=artifact.preprocessing, count=count, seed=0)
        labels = pictures.labels
        if labels is None:
            raise InputError(f"{data}: no labels; give a folder of a folder a class, or an .npz file with `labels`")
        return _counted(runner, tensor, artifact, pictures, int(labels.max()))
    finally:
        runner.close()


def _size(tensor: Tensor, artifact: Artifact) -> tuple[int, int, int]:
    """Height, width and channels of the pictures."""
    _, first, second, third = tensor.shape
    return (second, third, first) if artifact.channels_first else (first, second, third)


def _counted(runner: Runner, tensor: Tensor, artifact: Artifact, pictures: Images | Folder, highest: int) -> Accuracy:
    """Right answers, some pictures at a time; `highest` is the last label that there is."""
    right, count = np.zeros(2), 0
    known = len(pictures.classes) if pictures.classes else highest + 1
    for part in pictures.parts(max(PART, tensor.shape[0])):
        images = part.read()
        if len(images):
            scores = _scores(runner, tensor, artifact, images)
            shift = BACKGROUND if scores.shape[1] in (known + BACKGROUND, 1001) else 0
            if highest + shift >= scores.shape[1]:
                raise InputError(
                    f"{pictures.source}: labels go to {highest}, the network has {scores.shape[1]} classes"
                )
            right += _right(scores, np.asarray(images.labels) + shift)
            count += len(images)
    if not count:
        raise InputError(f"{pictures.source}: none of its {len(pictures)} pictures can be read")
    top1, top5 = (right / count).tolist()
    return Accuracy(top1, top5, count, pictures.source)


def _scores(runner: Runner, tensor: Tensor, artifact: Artifact, images: Images) -> NDArray[np.float64]:
    assert artifact.preprocessing is not None
    found = []
    batch = tensor.shape[0]
    for part in images.parts(batch):
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


def _right(scores: NDArray[np.float64], labels: NDArray) -> NDArray[np.float64]:
    """How many of the answers are right, top-1 and top-5."""
    own = scores[np.arange(len(labels)), labels][:, None]
    above, equal = (scores > own).sum(1), (scores == own).sum(1)
    return np.array([np.clip((top - above) / equal, 0, 1).sum() for top in (1, 5)])
