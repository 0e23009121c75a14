"""A trained network on to an artifact, verified on test images."""

from pathlib import Path
from typing import Any

import keras

from .. import registry
from ..console import progress
from ..export import Calibration, Card, Origin, to_tflite, verify
from ..preprocessing import Preprocessing
from ..training.data import Data
from ..training.pipeline import test_images, training_images

CALIBRATION, VERIFIED = 500, 5000  # images


def export_run(
    path: Path,
    network: str,
    data: Data,
    options: dict[str, Any],
    spec: Preprocessing,
    scheme: Any,
    *,
    shown: bool = True,
) -> dict[str, Any]:
    """Writes a run's network as a .tflite file and its card, verified on test images.

    Args:
        path: of the file, beside the run's model.keras; what stands there is replaced.
        network: the registry's name.
        data: that it was trained and tested on.
        options: of its builder.
        spec: the preprocessing that it was trained with.
        scheme: "float32", "float16", "dynamic" or "int8".
        shown: with progress bars.

    Returns:
        The file, its size in bytes and the card's `verification`: accuracy and differences over the first 5,000 test
            images.
    """
    registry.builder_of(network)  # registers the zoo's layers
    model = keras.saving.load_model(path.parent / "model.keras", compile=False)
    card = exported(model, path, network, data, options, spec, scheme, shown=shown)
    return {"file": str(path), "bytes": path.stat().st_size, "verification": card.verification}


def exported(
    model: keras.Model,
    path: Path,
    network: str,
    data: Data,
    options: dict[str, Any],
    spec: Preprocessing,
    scheme: Any,
    *,
    shown: bool = True,
) -> Card:
    """Writes a trained model as `path`, calibrated on training images, verified on test images. See `export_run`."""
    inputs, labels = test_images(data, spec, VERIFIED)

    def proof(content: bytes) -> dict[str, Any]:
        with progress(f"verify {path.name}", len(inputs), shown=shown) as step:
            return {"source": f"test images of {data.name}"} | verify(content, model, inputs, labels, step).to_dict()

    with progress(f"export {scheme}", shown=shown):
        calibration = Calibration(training_images(data, spec, CALIBRATION), data.name) if scheme == "int8" else None
    return to_tflite(
        model,
        path,
        quantize=scheme,
        calibration=calibration,
        origin=Origin("trained", network, options, spec, data.classes),
        verification=proof,
        force=True,
    )
