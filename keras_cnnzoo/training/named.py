"""The data sets that go by a name: Fashion-MNIST, CIFAR-10 and scikit-learn's digits."""

import contextlib
import gzip
import io
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..errors import InputError
from .data import Arrays, Data, Whole

DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # of the package dataset-fashion-mnist
FASHION = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def fashion_mnist() -> Data:
    """60,000 pictures of clothes and 10,000 to test on, 28x28 in a black frame of 32x32, 1 channel.

    Of https://github.com/zalandoresearch/fashion-mnist, from Debian's package or Keras.

    Raises:
        InputError: a broken file, or neither package, cache nor network.
    """
    if DEBIAN.is_dir():
        parts = [
            (_idx(DEBIAN / f"{p}-images-idx3-ubyte.gz"), _idx(DEBIAN / f"{p}-labels-idx1-ubyte.gz"))
            for p in ("train", "t10k")
        ]
    else:
        import keras

        parts = list(_downloaded(keras.datasets.fashion_mnist.load_data, "Fashion-MNIST"))
    frame = [(0, 0), (2, 2), (2, 2)]
    train, test = (Arrays(np.pad(pixels, frame)[..., None], labels.astype(np.int64)) for pixels, labels in parts)
    return Data(train, test, FASHION, (32, 32, 1), "fashion_mnist")


def _idx(path: Path) -> np.ndarray:
    """A file of the idx format: two zero bytes, type, rank, big-endian sizes, then bytes."""
    try:
        content = gzip.decompress(path.read_bytes())
        rank = content[3]
        shape = np.frombuffer(content, ">u4", rank, 4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise InputError(
            f"{path}: truncated, or no idx file ({error}); install Debian's dataset-fashion-mnist anew"
        ) from error


def cifar10() -> Data:
    """50,000 photographs and 10,000 to test on, 32x32 in 3 channels (https://www.cs.toronto.edu/~kriz/cifar.html).

    Raises:
        InputError: neither in Keras' cache nor to be downloaded.
    """
    import keras

    parts = _downloaded(keras.datasets.cifar10.load_data, "CIFAR-10")
    train, test = (Arrays(pixels, labels.reshape(-1).astype(np.int64)) for pixels, labels in parts)
    return Data(train, test, CIFAR10, (32, 32, 3), "cifar10")


def digits() -> Whole:
    """scikit-learn's 1,797 handwritten digits, 8x8 in 1 channel.

    Raises:
        InputError: no scikit-learn.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise InputError("the digits come with scikit-learn: pip install 'keras-cnnzoo[demo]'") from error
    found = load_digits()
    pixels = np.round(found.images * (255 / 16)).astype(np.uint8)[..., None]
    return Whole(Arrays(pixels, found.target), tuple("0123456789"), (8, 8, 1), "scikit-learn digits")


def _downloaded(load: Callable, title: str) -> tuple:
    """What keras.datasets fetches once into its cache."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return load()
    except Exception as error:  # keras re-raises whatever the download raised as a bare Exception
        raise InputError(
            f"{title} is neither in Keras' cache nor to be downloaded ({error}); try again with a network, or copy "
            "~/.keras/datasets from another machine"
        ) from error


NAMED: dict[str, Callable[[], Data | Whole]] = {"fashion_mnist": fashion_mnist, "cifar10": cifar10, "digits": digits}
"""By name."""
