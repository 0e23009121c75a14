"""Top-1 and top-5 of an artifact on labelled pictures, through its runner, fed as its card says."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..images import Encoded, Images, none_readable, open_images
from .artifact import Artifact, read_artifact
from .child import CrashError, answer, ask
from .order import Configuration, Order
from .runners import Runner, Tensor, open_runner

PART = 50  # pictures in memory
IMAGENET = 1000  # classes


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


def accuracy(configuration: Configuration, data: Path, count: int | None = None) -> Accuracy:
    """Asks the artifact for each picture's class, in a process of its own.

    Args:
        configuration: the artifact, which needs a card beside it, and its runner.
        data: a folder of a folder a class (or pictures and a labels.json), or an .npz file of images and labels.
        count: at most so many pictures, drawn with a fixed seed.

    Raises:
        InputError: no card that tells how to feed it, an input that is no picture, classes that do not fit, answers of
            NaN or infinity, a crash.
    """
    subject = f"{configuration.artifact}: no accuracy"
    question = {"order": asdict(Order((configuration,))), "data": data, "count": count}
    try:
        return Accuracy(**ask(__name__, json.dumps(question, default=str)))
    except CrashError as error:
        raise InputError(
            f"{subject}: {configuration.runner} did not survive the pictures ({error}); try another --runner"
        ) from error
    except RuntimeError as error:
        raise InputError(
            f"{subject}: {configuration.runner} refuses the pictures ({error}); give others, or a file that reads them"
        ) from error


def check_data(data: Path, count: int | None) -> None:
    """Raises InputError where there are no labelled pictures to ask for; before anything is measured."""
    if count is not None and count < 1:
        raise InputError(f"--images {count}: give at least 1, or leave it out for all of them")
    labels = open_images(data, (1, 1, 3) if data.is_dir() else None).labels
    if labels is None:
        raise InputError(f"{data}: no labels; give a folder of a folder a class, or an .npz file with `labels`")
    if labels.min() < 0:
        raise InputError(f"{data}: its labels begin at {labels.min()}; give them from 0 on")


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    (configuration,) = Order.from_fields(question["order"]).configurations
    artifact = read_artifact(configuration.artifact)
    if artifact.preprocessing is None:
        raise InputError(
            f"{artifact.path}: no card tells how to feed it; export it with cnnzoo-export, or leave --data out"
        )
    with closing(open_runner(configuration)) as runner:
        return asdict(measured(runner, artifact, Path(question["data"]), question["count"]))


def measured(runner: Runner, artifact: Artifact, data: Path, count: int | None = None) -> Accuracy:
    """See `accuracy`; in this process."""
    assert artifact.preprocessing is not None
    if not runner.inputs:
        raise InputError(
            f"{artifact.path}: its runner takes no pictures and tells no outputs; leave --data out, or name another "
            "--runner"
        )
    if len(runner.inputs) != 1 or len(runner.inputs[0].shape) != 4:
        raise InputError(
            f"{artifact.path}: its inputs are {[t.shape for t in runner.inputs]}, not one of pictures; leave --data out"
        )
    (tensor,) = runner.inputs
    pictures = open_images(data, _size(tensor, artifact), fit=artifact.preprocessing, count=count, seed=0)
    right, asked = np.zeros(2), 0
    for part in pictures.parts(max(PART, tensor.shape[0])):
        images = part.read()
        if len(images):
            scores = _scores(runner, tensor, artifact, images)
            if not np.isfinite(scores).all():
                raise InputError(f"{artifact.path} answers NaN or infinity; check its weights, or the range of float16")
            right += _right(scores, outputs_of(np.asarray(images.labels), pictures, artifact, scores.shape[1]))
            asked += len(images)
    if not asked:
        raise none_readable(pictures.source, len(pictures))
    top1, top5 = (right / asked).tolist()
    return Accuracy(top1, top5, asked, pictures.source)


def _size(tensor: Tensor, artifact: Artifact) -> tuple[int, int, int]:
    """Height, width and channels of the pictures."""
    _, first, second, third = tensor.shape
    return (second, third, first) if artifact.channels_first else (first, second, third)


def outputs_of(labels: NDArray, pictures: Images | Encoded, artifact: Artifact, outputs: int) -> NDArray:
    """The network's output for each label: by the classes' names where the card has them all, else by number.

    A background class is believed in where the card tells of one, and in the 1,001 outputs of ImageNet.

    Raises:
        InputError: the classes of the pictures are not those of the network.
    """
    names, known = pictures.classes, artifact.labels
    if names and known and set(names) <= set(known) and len(set(known)) == len(known):
        of_class = np.array([known.index(name) for name in names]) + (len(known) == outputs - 1)
    else:
        background = outputs == IMAGENET + 1 if known is None else _background(known, outputs)
        of_class = np.arange(background, outputs)
        if names and len(names) != len(of_class):
            raise InputError(
                f"{pictures.source}: it has {len(names)} classes, {artifact.path} has {len(of_class)}, and no card "
                "tells by name which are which; give pictures of all classes, or export with --labels"
            )
    if labels.max() >= len(of_class) or of_class.max() >= outputs:
        raise InputError(
            f"{pictures.source}: labels go to {labels.max()}, {artifact.path} has {outputs} outputs for "
            f"{len(of_class)} classes; give pictures of these, or export with --labels"
        )
    return of_class[labels]


def _background(known: Sequence[str], outputs: int) -> bool:
    return known[0].lower() == "background" or len(known) == outputs - 1


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
        raise InputError(
            f"an input of {tensor.dtype} without a scale cannot be fed with pictures; export it with --inputs float32"
        )
    limits = np.iinfo(kind)
    return np.clip(np.round(values / tensor.scale) + tensor.zero_point, limits.min, limits.max).astype(kind)


def _right(scores: NDArray[np.float64], labels: NDArray) -> NDArray[np.float64]:
    """How many of the answers are right, top-1 and top-5."""
    own = scores[np.arange(len(labels)), labels][:, None]
    above, equal = (scores > own).sum(1), (scores == own).sum(1)
    return np.array([np.clip((top - above) / equal, 0, 1).sum() for top in (1, 5)])


if __name__ == "__main__":
    answer(_answer)
