"""What several verbs read from the command line: preprocessing, images, class names, and what shows progress."""

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...console import progress, terminal
from ...errors import InputError
from ...preprocessing import Preprocessing, preprocessing
from ..onnx.options import SUFFIXES, Layout

if TYPE_CHECKING:
    import keras

    from ...images import Images
    from ..calibration import Calibration
    from ..origin import Origin
    from ..pipeline import Phase
    from ..verify import Pictures


def phases(shown: bool) -> "Phase":
    """A bar for each phase; what is over in a moment leaves a line."""
    return lambda name, total: progress(name, total, shown=shown)


def spec_of(origin: "Origin", preprocess: str | None, model: str) -> Preprocessing:
    """The preprocessing of the command line, or what is known of the weights."""
    spec = origin.preprocessing if preprocess is None else preprocessing(preprocess)
    if spec is None:
        raise InputError(
            f"{model}: neither its weights nor the registry know what it was trained on; give --preprocess torch, tf, "
            "caffe, none or a JSON file"
        )
    return spec


def artifact_path(output: Path, model: str, form: str, suffix: str) -> Path:
    """`out/` holds `resnet20_int8.tflite`; a file is named as it is."""
    if output.suffix in SUFFIXES.values():
        return output
    name = Path(model).stem if model.endswith((".keras", ".h5")) else model.rpartition(".")[2].lower()
    return output / f"{name}_{form}{suffix}"


def size_of(network: "keras.Model") -> tuple[int, int, int]:
    """(height, width, channels) of the pictures that a network reads.

    Raises:
        InputError: it reads several, or no pictures of a known size.
    """
    shapes = [tuple(tensor.shape[1:]) for tensor in network.inputs]
    if len(shapes) != 1:
        raise InputError(
            f"{network.name} has {len(shapes)} inputs; networks of one picture are calibrated and compared"
        )
    if len(shapes[0]) != 3 or None in shapes[0]:
        raise InputError(
            f"{network.name} reads {shapes[0]}; pictures have a height, a width and channels: build it with an "
            "input_shape of numbers (--set input_shape=HEIGHT,WIDTH,CHANNELS)"
        )
    return shapes[0]


def with_classes(
    images: "Pictures", known: Sequence[str] | None, classes: int | None, answers: str, offset: int = 0
) -> "Pictures":
    """Pictures whose labels are the network's classes: by name where both have names, else by index.

    Args:
        images: as they were opened.
        known: the network's class names by index, or None.
        classes: how many it has, where that is known.
        answers: what answers, in words.
        offset: added to the labels.

    Raises:
        InputError: folders of other names and of another number than the network's classes.
    """
    if images.labels is None:
        return images
    if images.classes and known and set(images.classes) <= set(known):
        return images.labelled(np.array([known.index(name) for name in images.classes])[images.labels])
    if images.classes and classes is not None and len(images.classes) + offset != classes:
        raise InputError(
            f"{images.source}: holds {len(images.classes)} classes but {answers} answers {classes}; name its folders "
            "as the classes are in the card or the export's --labels, or give a labels.json of indices (to verify, "
            "--label-offset)"
        )
    return images.labelled(images.labels.astype(np.int64) + offset)


def require_labels(option: str, images: "Pictures") -> None:
    """Raises InputError where an option needs labels and the pictures have none."""
    if images.labels is None:
        raise InputError(
            f"{images.source}: {option} needs labels; give a folder of pictures by class, a labels.json, or `labels` "
            "in the .npz file"
        )


def classes_of(network: "keras.Model") -> int | None:
    """How many classes a network scores; None where its first output is no vector."""
    shape = network.outputs[0].shape
    return int(shape[-1]) if len(shape) == 2 else None


def class_names(path: Path | None) -> list[str] | None:
    """The lines of a file; None where none is given."""
    if path is None:
        return None
    try:
        return path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: not a readable list of class names ({error}); give a text file of one a line"
        ) from error


def calibration_of(
    source: str | None, network: "keras.Model", spec: Preprocessing, count: int, seed: int, *, spans: bool = False
) -> "Calibration | None":
    """The representative dataset that --calibration names; `spans` gives it the whole range of pixels."""
    from ..calibration import Calibration
    from ..pixels import spanning

    if source is None:
        return None
    size = size_of(network)
    if source.startswith("random:"):
        number = source.removeprefix("random:")
        if not number.isdecimal() or not int(number):
            raise InputError(f"--calibration {source}: write random:N with N of at least 1")
        data = Calibration.noise(int(number), size, seed)
    else:
        images = images_of(source, size, spec, count, seed)
        data = Calibration(spec(images.pixels), images.source)
    return spanning(data) if spans else data


def verification_of(
    source: str | None,
    network: "keras.Model",
    spec: Preprocessing,
    names: Sequence[str] | None,
    phase: "Phase",
    layout: Layout | None,
) -> Callable[[bytes], dict[str, Any]] | None:
    """What compares the file with the model over the images that --verify names.

    Args:
        source: what --verify names.
        network: the model.
        spec: its preprocessing.
        names: its classes', or None.
        phase: shows progress.
        layout: of an ONNX file; None of a .tflite one.
    """
    if source is None:
        return None
    from ...images import open_images

    opened = open_images(source, size_of(network), fit=spec)
    images = with_classes(opened, names, classes_of(network), network.name)

    def prove(content: bytes) -> dict[str, Any]:
        from ..runners import OnnxRunner
        from ..verify import verify

        file = content if layout is None else OnnxRunner(content, layout=layout)
        with phase("verify", len(images)) as step:
            found = verify(file, network, images, step=step, prepare=spec)
        say_skipped(source, found.skipped)
        return {"source": images.source} | found.to_dict()

    return prove


def images_of(
    source: str, size: tuple[int, int, int], spec: Preprocessing, count: int | None, seed: int | None
) -> "Images":
    """The pictures of a folder or an .npz file, at most `count` of them; what cannot be read is said."""
    from ...images import read_images

    images = read_images(source, size, fit=spec, count=count, seed=seed)
    say_skipped(source, images.skipped)
    return images


def say_skipped(source: str | PathLike[str], count: int) -> None:
    """A line on standard error where pictures could not be read."""
    if count:
        words = f"{source}: {count} pictures could not be read and were skipped"
        terminal(stderr=True).print(words, markup=False)
