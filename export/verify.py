"""Does the small file still answer like the big model? Parity and accuracy over the same images."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .interpreter import LiteRT

if TYPE_CHECKING:
    import keras

BATCH = 50


@dataclass(frozen=True)
class Verification:
    """An artifact compared with the model it came from; figures are of the first output.

    Args:
        images: how many were compared.
        top1_model: share of the labelled images that the Keras model classifies right; None without labels.
        top1_file: the same of the file.
        top1_difference: file minus model, in points, paired over the images.
        interval: its 95 % interval, in points.
        agreement: share of images on which both name the same class.
        largest_difference: between any two outputs.
        largest_output: in magnitude, of the model.
        sqnr_db: signal-to-quantization-noise ratio of the outputs; None where they are equal.
    """

    images: int
    top1_model: float | None
    top1_file: float | None
    top1_difference: float | None
    interval: tuple[float, float] | None
    agreement: float
    largest_difference: float
    largest_output: float
    sqnr_db: float | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def verify(
    content: bytes,
    model: "keras.Model",
    inputs: np.ndarray,
    labels: np.ndarray | None = None,
    step: Callable[[float], object] = lambda images: None,
) -> Verification:
    """Runs a .tflite file and the model over the same preprocessed inputs.

    Args:
        content: the file's bytes.
        model: a Keras model of one input.
        inputs: (n, height, width, channels) float32.
        labels: (n,) class indices, or None.
        step: told how many images are done.

    Raises:
        InputError: the file does not fit the model, or labels beyond the classes.
    """
    file = LiteRT(content)
    batch, *shape = map(int, file.input["shape"])
    if tuple(shape) != inputs.shape[1:]:
        raise InputError(f"the file reads {tuple(shape)} but the images are {inputs.shape[1:]}")
    inputs = inputs[: len(inputs) - len(inputs) % batch]
    expected, answers = [], []
    chunk = max(batch, BATCH - BATCH % batch)
    for start in range(0, len(inputs), chunk):
        part = inputs[start : start + chunk]
        expected.append(_first(model.predict_on_batch(part)))
        answers.append(file(part)[0])
        step(len(part))
    return compare(np.concatenate(expected), np.concatenate(answers), None if labels is None else labels[: len(inputs)])


def compare(expected: np.ndarray, answers: np.ndarray, labels: np.ndarray | None = None) -> Verification:
    """The figures of a Verification from outputs (n, classes) of the model and of the file."""
    if expected.shape != answers.shape:
        raise InputError(f"the model answers {expected.shape[1:]} but the file {answers.shape[1:]}")
    expected, answers = expected.reshape(len(expected), -1), answers.reshape(len(answers), -1)
    noise = float(np.square(expected - answers, dtype=np.float64).sum())
    signal = float(np.square(expected, dtype=np.float64).sum())
    top1_model = top1_file = difference = interval = None
    if labels is not None:
        right_model, right_file = correct(expected, labels), correct(answers, labels)
        top1_model, top1_file = float(right_model.mean()), float(right_file.mean())
        difference, interval = paired_difference(right_file, right_model)
    return Verification(
        len(expected),
        top1_model,
        top1_file,
        difference,
        interval,
        float((expected.argmax(-1) == answers.argmax(-1)).mean()),
        float(np.abs(expected - answers).max()),
        float(np.abs(expected).max()),
        10 * math.log10(signal / noise) if noise and signal else None,
    )


def correct(outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n,) 1 where the label's output is the only largest, 1/k where k tie for it (int8 outputs often do), else 0."""
    if labels.min() < 0 or labels.max() >= outputs.shape[1]:
        raise InputError(
            f"labels run to {labels.max()} but the model has {outputs.shape[1]} outputs (0 is the first class)"
        )
    largest = outputs == outputs.max(1, keepdims=True)
    return largest[np.arange(len(labels)), labels] / largest.sum(1)


def paired_difference(a: np.ndarray, b: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Mean of a - b over the same images in points (hundredths), and its 95 % interval (normal approximation)."""
    each = 100 * (a - b)
    mean, error = float(each.mean()), float(each.std(ddof=1) / math.sqrt(len(each))) if len(each) > 1 else math.inf
    return mean, (mean - 1.96 * error, mean + 1.96 * error)


def _first(outputs: Any) -> np.ndarray:
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    return np.asarray(outputs[0] if isinstance(outputs, list | tuple) else outputs)
