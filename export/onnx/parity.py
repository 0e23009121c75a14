"""Does the file answer as the network does? Asked of ONNX Runtime before anything is written."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError

if TYPE_CHECKING:
    from ..calibration import Calibration

FLOAT32, FLOAT16 = 1e-4, 2e-2  # of the largest output
VARIATION = 0.1  # of the largest output: below it, equal answers prove little


@dataclass(frozen=True)
class Parity:
    """The largest difference between file and network over a few images.

    Args:
        images: how many.
        largest_difference: of any output value, as a share of that output's largest.
        varies: whether each output varies over the images by at least a tenth of its largest; else little is proven.
    """

    images: int
    largest_difference: float
    varies: bool

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def images_of(shapes: list[tuple[int, ...]], count: int, given: "Calibration | None") -> list[np.ndarray]:
    """Inputs (count, ...) for a comparison: the first of those given, again where they are few, else noise."""
    if given is not None:
        return [given.inputs[np.arange(count) % len(given)]]
    rng = np.random.default_rng(0)
    contrast = np.linspace(0.3, 2, count)
    return [
        (rng.standard_normal((count, *shape)) * contrast.reshape(-1, *[1] * len(shape))).astype(np.float32)
        for shape in shapes
    ]


def compare(expected: list[np.ndarray], found: list[np.ndarray]) -> Parity:
    """All outputs of both.

    Raises:
        InputError: the network or the file answers NaN or infinity, or they answer in other shapes.
    """
    if not all(np.isfinite(output).all() for output in (*expected, *found)):
        raise InputError("the network or its file answers NaN or infinity; check the weights, or the float16 range")
    largest, varies = 0.0, True
    for e, f in zip(expected, found, strict=True):
        if e.shape != f.shape:
            raise InputError(f"the file answers {f.shape} where the network answers {e.shape}; export a .tflite file")
        scale = float(np.abs(e).max()) or 1.0
        largest = max(largest, float(np.abs(e - f).max()) / scale)
        varies &= float(np.ptp(e, axis=0).max()) >= VARIATION * scale
    return Parity(len(expected[0]), largest, varies)
