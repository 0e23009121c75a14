"""What networks take on this machine, by the bench: all of them interleaved in one measurement."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError

if TYPE_CHECKING:
    import keras


def latencies(
    models: Mapping[str, "keras.Model"], schemes: Sequence[Any], calibration: np.ndarray, *, runs: int, seed: int
) -> dict[tuple[str, str], float]:
    """The median latency of each network by each scheme on LiteRT, one image, one thread, in milliseconds.

    Args:
        models: functional, of known height and width.
        schemes: "float32", "int8".
        calibration: what they read, (n, h, w, c) float32; int8's ranges are found on it.
        runs: calls of each.
        seed: of the order.

    Raises:
        InputError: one of them could not be measured.
    """
    from ...export import to_tflite
    from ...mobile_bench import benchmark

    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for number, (name, model) in enumerate(models.items()):
            for scheme in schemes:
                path = paths[name, scheme] = Path(folder) / f"{number}_{scheme}.tflite"
                to_tflite(model, path, quantize=scheme, calibration=calibration if scheme == "int8" else None)
        report = benchmark(list(paths.values()), runs=runs, seed=seed)
    if report.unmeasured:
        left = report.unmeasured[0]
        name, scheme = next(key for key, path in paths.items() if path == left.artifact.path)
        raise InputError(f"{name} as {scheme} could not be timed here ({left.reason}); the same command tries again")
    found = {measured.artifact.path.name: measured.summary.median.value for measured in report.measurements}
    return {key: found[path.name] for key, path in paths.items()}
