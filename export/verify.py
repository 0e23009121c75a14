"""Does the small file still answer like the big model? Parity and accuracy over the same images."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..images import Encoded, Images, none_readable
from .runners import Runner, as_runner

if TYPE_CHECKING:
    import keras

BATCH, TOP = 50, 5
SHARES = "agreement", "top1_model", "top1_file", "top5_model", "top5_file"
Z = 1.959964  # of a 95 % interval
Interval = tuple[float, float]
Prepare = Callable[[np.ndarray], np.ndarray]
Pictures = Images | Encoded


@dataclass(frozen=True)
class Answers:
    """What the reference and the file answer to a part of the pictures.

    Args:
        images: how many were read.
        skipped: how many could not be.
        expected: the reference's outputs, each (images, ...); none where no image was read.
        found: the file's.
        labels: (images,) class indices, or None.
    """

    images: int
    skipped: int
    expected: Sequence[np.ndarray] = ()
    found: Sequence[np.ndarray] = ()
    labels: np.ndarray | None = None


@dataclass(frozen=True)
class Verification:
    """An artifact compared with the model it came from; figures are of the first output.

    Args:
        images: how many were compared.
        agreement: share of images on which both name the same class.
        largest_difference: between any two outputs.
        mean_difference: of the outputs, in magnitude.
        largest_output: in magnitude, of the model.
        sqnr_db: signal-to-quantization-noise ratio of the outputs; None where they are equal, or the model's are 0.
        cosine: of the angle between all outputs of the one and all of the other.
        top1_model: share of the labelled images that the model classifies right; None without labels.
        top1_file: the same of the file.
        top1_difference: file minus model, in points, paired over the images.
        interval: its 95 % interval, in points; None of one image.
        top5_model: share of the labelled images whose class is among the model's five largest outputs; None without
            labels, or with five classes or fewer.
        top5_file: the same of the file.
        shares: Wilson's 95 % interval of each share, by its name above.
        skipped: pictures that could not be read.
        others: the further outputs, by name.
    """

    images: int
    agreement: float
    largest_difference: float
    mean_difference: float
    largest_output: float
    sqnr_db: float | None
    cosine: float
    top1_model: float | None = None
    top1_file: float | None = None
    top1_difference: float | None = None
    interval: Interval | None = None
    top5_model: float | None = None
    top5_file: float | None = None
    shares: Mapping[str, Interval] = field(default_factory=dict)
    skipped: int = 0
    others: Mapping[str, "Verification"] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def verify(
    content: bytes | Runner,
    model: "keras.Model | Runner",
    inputs: np.ndarray | Pictures,
    labels: np.ndarray | None = None,
    step: Callable[[float], object] = lambda images: None,
    *,
    prepare: Prepare = lambda pixels: pixels,
    prepare_model: Prepare | None = None,
    answer: Callable[[Pictures], Answers] | None = None,
    mapped: Callable[..., Iterable[Answers]] = map,
) -> Verification:
    """Runs a file and the model over the same images, some at a time.

    Args:
        content: a .tflite file's bytes, or a runner.
        model: a Keras model of one input, or another runner.
        inputs: (n, height, width, channels) float32, or whatever `prepare` makes that of; or the pictures of
            `open_images` with their labels, of which a folder's are decoded as they are needed.
        labels: (n,) class indices of an array, or None; they are the classes of every output of rank 2.
        step: told how many images are done.
        prepare: the preprocessing, where it is not done already.
        prepare_model: the model's, where it is not the file's (a file may normalise its pixels itself).
        answer: does what `both` does, elsewhere: what `mapped` may send to another process.
        mapped: `map`, or that of an executor of concurrent.futures.

    Raises:
        InputError: the file does not fit the model, labels beyond the classes, answers of NaN, or nothing readable.
    """
    pictures = Images(inputs, labels, None, 0, "array") if isinstance(inputs, np.ndarray) else inputs
    file, reference = as_runner(content), as_runner(model)
    if file.shape != pictures.shape:
        raise InputError(f"{file.name} reads {file.shape} but the images are {pictures.shape}; scale them")
    if any(a is not None and a != b for a, b in zip(reference.shape, file.shape, strict=False)):
        raise InputError(
            f"{file.name} reads {file.shape} but {reference.name} reads {reference.shape}; build the network "
            "with the file's input_shape"
        )
    order, skipped, labelled = _matching(file, reference), 0, pictures.labels is not None
    tallies = [Tally() for _ in order]
    parts = list(pictures.parts(BATCH))  # Dask takes no iterator
    for part in mapped(answer or both(file, reference, prepare, prepare_model or prepare), parts):
        skipped += part.skipped
        step(part.images + part.skipped)
        if part.images:
            for tally, expected, index in zip(tallies, part.expected, order, strict=True):
                tally.add(expected, part.found[index], part.labels if labelled else None)
    if not tallies[0].images:
        raise none_readable(pictures.source, len(pictures))
    first, *others = (tally.result(skipped) for tally in tallies)
    return replace(first, others=dict(zip(reference.names[1:], others, strict=True)))


def both(file: Runner, reference: Runner, prepare: Prepare, prepare_model: Prepare) -> Callable[[Pictures], Answers]:
    """What answers a part of the pictures."""

    def answer(part: Pictures) -> Answers:
        images = part.read()
        if not len(images):
            return Answers(0, images.skipped)
        expected = _run(reference, prepare_model(images.pixels))
        return Answers(len(images), images.skipped, expected, _run(file, prepare(images.pixels)), images.labels)

    return answer


def _matching(file: Runner, reference: Runner) -> list[int]:
    """Where in the file each output of the reference stands: by name, else by place."""
    if len(file.names) != len(reference.names):
        raise InputError(
            f"{file.name} has {len(file.names)} outputs but {reference.name} has {len(reference.names)}; compare it "
            "with the network that it was made of"
        )
    if set(file.names) == set(reference.names):
        return [list(file.names).index(name) for name in reference.names]
    return list(range(len(file.names)))


def _run(runner: Runner, inputs: np.ndarray) -> list[np.ndarray]:
    """The answers, in whole batches: a last one is filled up with its last image."""
    missing = -len(inputs) % (runner.batch or 1)
    filled = np.concatenate([inputs, inputs[-1:].repeat(missing, 0)]) if missing else inputs
    answers = [output[: len(inputs)] for output in runner(filled)]
    if not all(np.isfinite(output).all() for output in answers):
        raise InputError(f"{runner.name} answers NaN or infinity; check its weights, or the range of float16")
    return answers


def compare(expected: np.ndarray, answers: np.ndarray, labels: np.ndarray | None = None) -> Verification:
    """The figures of a Verification from outputs (n, classes) of the model and of the file."""
    tally = Tally()
    tally.add(expected, answers, labels)
    return tally.result()


class Tally:
    """Adds up one output's figures, so that a part of the answers is all that memory holds."""

    def __init__(self) -> None:
        self.images = self.values = 0
        self.noise = self.signal = self.power = self.product = self.gaps = 0.0
        self.largest_gap = self.largest = 0.0
        self.scores: dict[str, list[np.ndarray]] = {}  # of each image, by the name of the share that is their mean

    def add(self, expected: np.ndarray, answers: np.ndarray, labels: np.ndarray | None) -> None:
        """A part of the images: outputs (n, ...) of the model and of the file, and their classes, if they are known.

        Raises:
            InputError: outputs of two shapes, or labels beyond the classes.
        """
        if expected.shape != answers.shape:
            raise InputError(
                f"the model answers {expected.shape[1:]} but the file {answers.shape[1:]}; is it of another network, "
                "or was the model built with other options (--set)?"
            )
        classes = expected.shape[1] if expected.ndim == 2 else 0  # a map has none
        expected, answers = expected.reshape(len(expected), -1), answers.reshape(len(answers), -1)
        self.images += len(expected)
        self._measure(expected.ravel().astype(np.float64), answers.ravel().astype(np.float64))
        self._score("agreement", expected.argmax(-1) == answers.argmax(-1))
        if labels is not None and classes:
            for top in (1, TOP) if classes > TOP else (1,):
                self._score(f"top{top}_model", correct(expected, labels, top))
                self._score(f"top{top}_file", correct(answers, labels, top))

    def _measure(self, a: np.ndarray, b: np.ndarray) -> None:
        gap = np.abs(a - b)
        self.values += len(a)
        self.gaps += float(gap.sum())
        self.noise += float(gap @ gap)
        self.signal += float(a @ a)
        self.power += float(b @ b)
        self.product += float(a @ b)
        self.largest_gap = max(self.largest_gap, float(gap.max()))
        self.largest = max(self.largest, float(np.abs(a).max()))

    def _score(self, name: str, each: np.ndarray) -> None:
        self.scores.setdefault(name, []).append(each)

    def result(self, skipped: int = 0) -> Verification:
        """Of all images that were added."""
        scores = {name: np.concatenate(parts) for name, parts in self.scores.items()}
        figures: dict[str, Any] = {name: float(each.mean()) for name, each in scores.items()}
        shares = {name: wilson(figures[name], self.images) for name in SHARES if name in figures}
        if "top1_file" in scores:
            difference, interval = paired_difference(scores["top1_file"], scores["top1_model"])
            figures |= {"top1_difference": difference, "interval": interval if self.images > 1 else None}
        norms = math.sqrt(self.signal * self.power)
        return Verification(
            images=self.images,
            skipped=skipped,
            largest_difference=self.largest_gap,
            mean_difference=self.gaps / self.values,
            largest_output=self.largest,
            sqnr_db=10 * math.log10(self.signal / self.noise) if self.noise and self.signal else None,
            cosine=self.product / norms if norms else float(self.signal == self.power),
            shares=shares,
            **figures,
        )


def correct(outputs: np.ndarray, labels: np.ndarray, top: int = 1) -> np.ndarray:
    """(n,) how likely the label is among the `top` largest outputs where ties, frequent in int8, are drawn by lot.

    Top-1: 1 where the label's output is the only largest, 1/k where k tie for it, else 0.
    """
    if labels.min() < 0 or labels.max() >= outputs.shape[1]:
        raise InputError(
            f"labels run from {labels.min()} to {labels.max()} but the network has {outputs.shape[1]} outputs; number "
            "them from 0, the first class (to verify, --label-offset)"
        )
    own = outputs[np.arange(len(labels)), labels][:, None]
    return np.clip((top - (outputs > own).sum(1)) / (outputs == own).sum(1), 0, 1)


def paired_difference(a: np.ndarray, b: np.ndarray) -> tuple[float, Interval]:
    """Mean of a - b over the same images in points (hundredths), and its 95 % interval (normal approximation)."""
    each = 100 * (a - b)
    mean, error = float(each.mean()), float(each.std(ddof=1) / math.sqrt(len(each))) if len(each) > 1 else math.inf
    return mean, (mean - Z * error, mean + Z * error)


def wilson(share: float, count: int) -> Interval:
    """The 95 % interval of a share seen in `count` images (Wilson 1927): never empty, never beyond 0 or 1."""
    spread = Z * math.sqrt(share * (1 - share) / count + Z * Z / (4 * count * count))
    low, high = (share + Z * Z / (2 * count) + sign * spread for sign in (-1, 1))
    return max(0.0, low / (1 + Z * Z / count)), min(1.0, high / (1 + Z * Z / count))
