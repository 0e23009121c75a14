"""Answers in words: the best classes of each image, with ImageNet's labels or the caller's."""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import numpy as np

from ..errors import InputError

Prediction = tuple[str, str, float]
"""(identifier, name, score); the identifier is ImageNet's synset, or the class index in words."""


@cache
def imagenet_labels() -> tuple[tuple[str, str], ...]:
    """(synset, name) of ImageNet's 1,000 classes by index."""
    lines = (files(__package__) / "imagenet.txt").read_text(encoding="utf-8").splitlines()
    return tuple((line.split("\t")[0], line.split("\t")[1]) for line in lines)


def decode_predictions(
    answers: np.ndarray, top: int = 5, *, labels: Sequence[str] | None = None
) -> list[list[Prediction]]:
    """The `top` best classes of each image, best first.

    Args:
        answers: (n, classes), logits or probabilities. 1,000 classes are ImageNet's, 1,001 the same behind a background
            class, as TensorFlow's older networks have it.
        top: how many.
        labels: the classes' names by index, for any other network.

    Raises:
        InputError: no two-dimensional array, labels that do not fit its classes, or none wanted.
    """
    answers = np.asarray(answers)
    if answers.ndim != 2:
        raise InputError(f"answers of shape {answers.shape}: expected (images, classes)")
    if top < 1:
        raise InputError(f"top={top}: expected 1 or more")
    names = _names(answers.shape[1], labels)
    best = np.argsort(-answers, axis=1, kind="stable")[:, :top]
    return [
        [(*names[index], float(score)) for index, score in zip(row, answers[image, row], strict=True)]
        for image, row in enumerate(best)
    ]


def _names(classes: int, labels: Sequence[str] | None) -> Sequence[tuple[str, str]]:
    if labels is not None:
        if len(labels) != classes:
            raise InputError(f"{len(labels)} labels for {classes} classes; give one for each")
        return [(str(index), label) for index, label in enumerate(labels)]
    if classes == 1000:
        return imagenet_labels()
    if classes == 1001:
        return (("background", "background"), *imagenet_labels())
    raise InputError(f"{classes} classes are not ImageNet's 1000 (or 1001 with a background class); give labels=[...]")
