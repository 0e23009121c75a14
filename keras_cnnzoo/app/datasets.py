"""What the demonstration trains on: images of one size, split in two."""

import contextlib
import io
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from ..errors import InputError
from ..images import Images, read_images

HELD_OUT = 0.2
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Split:
    """Labelled images to train on, and others held out."""

    train: Images
    test: Images
    classes: tuple[str, ...]


def dataset(source: str, size: int, seed: int) -> Split:
    """The data set that `--data` names.

    Args:
        source: "digits", "cifar10", a folder with one folder a class, or an .npz file with `images` and `labels`.
        size: height and width to which digits and pictures of a folder are scaled.
        seed: of the split; CIFAR-10 has its own.

    Raises:
        InputError: no such data, no labels, or fewer than two classes.
    """
    if source == "cifar10":
        return _cifar10()
    images = (
        _digits(size)
        if source == "digits"
        else read_images(source, None if source.endswith(".npz") else (size, size, 3))
    )
    if images.labels is None:
        raise InputError(
            f"{source}: without labels; give a folder with one folder a class, or `labels` in the .npz file"
        )
    return _stratified(images, seed)


def _digits(size: int) -> Images:
    """scikit-learn's 1,797 handwritten digits of 8x8 pixels, scaled, three equal channels."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise InputError("the digits come with scikit-learn: pip install 'keras-cnnzoo[demo]'") from error
    digits = load_digits()
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)
    scaled = [np.asarray(Image.fromarray(p).resize((size, size), Image.Resampling.BILINEAR)) for p in pixels]
    grey = np.stack(scaled)[..., None]
    return Images(np.repeat(grey, 3, axis=-1), digits.target, tuple("0123456789"), 0, "scikit-learn digits")


def _cifar10() -> Split:
    """keras.datasets' CIFAR-10, downloaded once into Keras' cache."""
    import keras

    try:
        with contextlib.redirect_stdout(io.StringIO()):
            (x, y), (held_x, held_y) = keras.datasets.cifar10.load_data()
    except Exception as error:  # keras re-raises whatever the download raised as a bare Exception
        raise InputError(f"CIFAR-10 is neither in Keras' cache nor to be downloaded ({error})") from error
    train, test = (
        Images(p, q.reshape(-1), CIFAR10, 0, "keras.datasets.cifar10") for p, q in ((x, y), (held_x, held_y))
    )
    return Split(train, test, CIFAR10)


def _stratified(images: Images, seed: int) -> Split:
    """A fifth of each class held out."""
    labels = images.labels
    assert labels is not None
    counts = np.bincount(labels) if labels.min() >= 0 else np.array([])
    if np.count_nonzero(counts) < 2 or counts[counts > 0].min() < 2:
        raise InputError(f"{images.source}: needs two classes or more, labelled from 0, of two images or more")
    order = np.random.default_rng(seed).permutation(len(images))
    held = np.zeros(len(images), bool)
    for label in np.flatnonzero(counts):
        members = order[labels[order] == label]
        held[members[: max(1, round(HELD_OUT * len(members)))]] = True
    classes = images.classes or tuple(map(str, range(len(counts))))
    train, test = order[~held[order]], order[held[order]]
    return Split(_chosen(images, train), _chosen(images, test), classes)


def _chosen(images: Images, indices: np.ndarray) -> Images:
    assert images.labels is not None
    return replace(images, pixels=images.pixels[indices], labels=images.labels[indices])
