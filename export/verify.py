"""Does the small file still answer like the big model? Parity and accuracy over the same images."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .runners import Runner, as_runner

if TYPE_CHECKING:
    import keras

BATCH, TOP = 50, 5
SHARES = "agreement", "top1_model", "top1_file", "top5_model", "top5_file"
Z = 1.959964  # of a 95 % interval
Interval = tuple[float, float]
Answers = tuple[list[np.ndarray], list[np.ndarray]]
"""The outputs of the reference and of the file, each (n, ...)."""


@dataclass(frozen=True)
class Verification:
    """An artifact compared with the model it came from; figures are of the first output.

    Args:
        images: how many were compared.
        agreement: share of images on which both name the same class.
        largest_difference: between any two outputs.
        mean_difference: of the outputs, in magnitude.
        largest_output: in magnitude, of the model.
        sqnr_db: signal-to-quantization-noise ratio of the outputs; None where they are equal.
        cosine: of the angle between all outputs of the one and all of the other.
        top1_model: share of the labelled images that the model classifies right; None without labels.
        top1_file: the same of the file.
        top1_difference: file minus model, in points, paired over the images.
        interval: its 95 % interval, in points.
        top5_model: share of the labelled images whose class is among the model's five largest outputs; None without
            labels, or with five classes or fewer.
        top5_file: the same of the file.
        shares: Wilson's 95 % interval of each share, by its name above.
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
    others: Mapping[str, "Verification"] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def verify(
    content: bytes | Runner,
    model: "keras.Model | Runner",
    inputs: np.ndarray,
    labels: np.ndarray | None = None,
    step: Callable[[float], object] = lambda images: None,
    *,
    prepare: Callable[[np.ndarray], np.ndarray] = lambda pixels: pixels,
    prepare_model: Callable[[np.ndarray], np.ndarray] | None = None,
    answer: Callable[[np.ndarray], Answers] | None = None,
    mapped: Callable[..., Iterable[Answers]] = map,
) -> Verification:
    """Runs a file and the model over the same images.

    Args:
        content: a .tflite file's bytes, or a runner.
        model: a Keras model of one input, or another runner.
        inputs: (n, height, width, channels) float32, or whatever `prepare` makes that of, a part at a time.
        labels: (n,) class indices, or None; they are the classes of every output of rank 2.
        step: told how many images are done.
        prepare: the preprocessing, where it is not done already.
        prepare_model: the model's, where it is not the file's (a file may normalise its pixels itself).
        answer: does what `both` does, elsewhere: what `mapped` may send to another process.
        mapped: `map`, or that of an executor of concurrent.futures.

    Raises:
        InputError: the file does not fit the model, labels beyond the classes, or answers of NaN.
    """
    file, reference = as_runner(content), as_runner(model)
    if file.shape != inputs.shape[1:]:
        raise InputError(f"{file.name} reads {file.shape} but the images are {inputs.shape[1:]}")
    if any(a is not None and a != b for a, b in zip(reference.shape, file.shape, strict=False)):
        raise InputError(f"{file.name} reads {file.shape} but {reference.name} reads {reference.shape}")
    order = _matching(file, reference)
    expected: list[list[np.ndarray]] = [[] for _ in order]
    answers: list[list[np.ndarray]] = [[] for _ in order]
    parts = [inputs[start : start + BATCH] for start in range(0, len(inputs), BATCH)]
    for wanted, found in mapped(answer or both(file, reference, prepare, prepare_model or prepare), parts):
        for collected, output in zip(expected, wanted, strict=True):
            collected.append(output)
        for collected, index in zip(answers, order, strict=True):
            collected.append(found[index])
        step(len(wanted[0]))
    first, *others = (
        compare(np.concatenate(e), np.concatenate(a), labels) for e, a in zip(expected, answers, strict=True)
    )
    return Verification(**(vars(first) | {"others": dict(zip(reference.names[1:], others, strict=True))}))


def both(
    file: Runner,
    reference: Runner,
    prepare: Callable[[np.ndarray], np.ndarray],
    prepare_model: Callable[[np.ndarray], np.ndarray],
) -> Callable[[np.ndarray], Answers]:
    """What answers a part of the images: the reference's outputs and the file's."""
    return lambda pixels: (_run(reference, prepare_model(pixels)), _run(file, prepare(pixels)))


def _matching(file: Runner, reference: Runner) -> list[int]:
    """Where in the file each output of the reference stands: by name, else by place."""
    if len(file.names) != len(reference.names):
        raise InputError(f"{file.name} has {len(file.names)} outputs but {reference.name} has {len(reference.names)}")
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
    if expected.shape != answers.shape:
        raise InputError(
            f"the model answers {expected.shape[1:]} but the file {answers.shape[1:]}; is it of another network, or "
            "was the model built with other options (--set)?"
        )
    if expected.ndim != 2:  # a map has no classes
        labels = None
    expected, answers = expected.reshape(len(expected), -1), answers.reshape(len(answers), -1)
    agreement = float((expected.argmax(-1) == answers.argmax(-1)).mean())
    figures: dict[str, Any] = {"agreement": agreement} | _distance(expected, answers)
    if labels is not None:
        figures |= _accuracy(expected, answers, labels)
    shares = {name: wilson(figures[name], len(expected)) for name in SHARES if figures.get(name) is not None}
    return Verification(images=len(expected), shares=shares, **figures)


def _distance(expected: np.ndarray, answers: np.ndarray) -> dict[str, float | None]:
    """How far the answers lie from the expected ones, in their own unit."""
    a, b = expected.ravel().astype(np.float64), answers.ravel().astype(np.float64)
    gap = np.abs(a - b)
    noise, signal, power = float(gap @ gap), float(a @ a), float(b @ b)
    return {
        "largest_difference": float(gap.max()),
        "mean_difference": float(gap.mean()),
        "largest_output": float(np.abs(a).max()),
        "sqnr_db": 10 * math.log10(signal / noise) if noise and signal else None,
        "cosine": float(a @ b) / math.sqrt(signal * power) if signal and power else float(signal == power),
    }


def _accuracy(expected: np.ndarray, answers: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Top-1 and, past five classes, top-5 of both, and the paired difference of the top-1."""
    model, file = correct(expected, labels), correct(answers, labels)
    difference, interval = paired_difference(file, model)
    found = {"top1_model": float(model.mean()), "top1_file": float(file.mean())}
    if expected.shape[1] > TOP:
        found |= {
            "top5_model": float(correct(expected, labels, TOP).mean()),
            "top5_file": float(correct(answers, labels, TOP).mean()),
        }
    return found | {"top1_difference": difference, "interval": interval}


def correct(outputs: np.ndarray, labels: np.ndarray, top: int = 1) -> np.ndarray:
    """(n,) how likely the label is among the `top` largest outputs where ties, frequent in int8, are drawn by lot.

    Top-1: 1 where the label's output is the only largest, 1/k where k tie for it, else 0.
    """
    if labels.min() < 0 or labels.max() >= outputs.shape[1]:
        raise InputError(
            f"labels run from {labels.min()} to {labels.max()} but the network has {outputs.shape[1]} outputs (0 is "
            "the first class)"
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
