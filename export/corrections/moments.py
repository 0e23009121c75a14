"""Second moments of what a convolution reads: all that its best rounding depends on.

With rows W of the float kernel reading patches x, and rows Q of the quantized one reading patches z of the quantized
network, the mean squared error of the outputs is a quadratic in Q whose coefficients are the moments of (x, z); no
image is needed again.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

PATCHES, WORK = 16_384, 4e9  # at most so many patches a layer, and so many multiplications for its moments
CHUNK = 2**24  # values of patches held at a time


Sides = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """What of a map one output of a convolution is summed over.

    Args:
        extent: height and width of the kernel.
        strides: down and across.
        dilation: down and across.
        pads: zeros above and below, left and right.
        groups: of channels.
    """

    extent: Sides
    strides: Sides
    dilation: Sides
    pads: tuple[Sides, Sides]
    groups: int


@dataclass(frozen=True)
class Moments:
    """Of patches x of the float network and z of the quantized one, for each group of channels.

    Args:
        mean: (groups, inputs) of x.
        mean_quantized: (groups, inputs) of z.
        square: (groups, inputs, inputs) of z z'.
        cross: (groups, inputs, inputs) of x z'.
    """

    mean: np.ndarray
    mean_quantized: np.ndarray
    square: np.ndarray
    cross: np.ndarray

    def centred(self) -> "Moments":
        """About the means: what is left when the bias takes the rest."""
        square = self.square - _outer(self.mean_quantized, self.mean_quantized)
        return Moments(self.mean, self.mean_quantized, square, self.cross - _outer(self.mean, self.mean_quantized))


def moments(window: Window | None, x: np.ndarray, z: np.ndarray, *, second: bool = True, seed: int = 0) -> Moments:
    """Moments over patches drawn by `seed` from all images, the same places of both.

    Args:
        window: of a convolution; None of a dense layer.
        x: (images, height, width, channels), or (rows, inputs) of a dense layer, that the float network hands it.
        z: and the quantized network, in real numbers.
        second: the second moments too, else they are empty.
        seed: draws the places.
    """
    total, sums = 0, None
    for a, b in zip(_patches(window, x, seed), _patches(window, z, seed), strict=True):
        transposed = [values.transpose(0, 2, 1) for values in (b, a)] if second else []
        part = a.sum(1, dtype=np.float64), b.sum(1, dtype=np.float64), *(t @ b for t in transposed)
        sums = part if sums is None else tuple(s + p for s, p in zip(sums, part, strict=True))
        total += a.shape[1]
    assert sums is not None
    found = [np.asarray(s / total, np.float64) for s in sums]
    return Moments(*found, *[np.empty((len(found[0]), 0, 0))] * (4 - len(found)))


def _patches(window: Window | None, images: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """(groups, patches, inputs) float32, some images at a time; inputs by row, column and channel."""
    if window is None:
        yield images[None]
        return
    windows = _windows(window, images)  # images, rows, columns, channels, height, width
    count, rows, columns, channels, height, width = windows.shape
    groups = window.groups
    inputs = height * width * (channels // groups)
    most = max(1, min(PATCHES, int(WORK / (groups * inputs**2))))
    each = min(rows * columns, -(-most // count))
    rng = np.random.default_rng(seed)
    part = max(1, CHUNK // (each * groups * inputs))
    for start in range(0, count, part):
        some = windows[start : start + part]
        place = np.stack([rng.permutation(rows * columns)[:each] for _ in some])
        chosen = some[np.arange(len(some))[:, None], place // columns, place % columns]
        split = chosen.reshape(-1, groups, channels // groups, height, width)
        yield np.ascontiguousarray(split.transpose(1, 0, 3, 4, 2)).reshape(groups, -1, inputs)


def _windows(window: Window, images: np.ndarray) -> np.ndarray:
    """Every patch as a view of the padded images."""
    extent = [(k - 1) * d + 1 for k, d in zip(window.extent, window.dilation, strict=True)]
    images = np.pad(images, [(0, 0), *window.pads, (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(images, extent, axis=(1, 2))
    (down, across), (dilated_down, dilated_across) = window.strides, window.dilation
    return windows[:, ::down, ::across, :, ::dilated_down, ::dilated_across]


def _outer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, :, None] * b[:, None, :]
