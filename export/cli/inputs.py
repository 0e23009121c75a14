"""What several verbs read from the command line: preprocessing, images, class names, and what shows progress."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...console import progress, terminal
from ...errors import InputError
from ...preprocessing import Preprocessing, preprocessing
from ..onnx.options import Layout

if TYPE_CHECKING:
    import keras

    from ...images import Images
    from ..calibration import Calibration
    from ..tflite import Origin, Phase


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


def class_names(path: Path | None) -> list[str] | None:
    """The lines of a file; None where none is given."""
    if path is None:
        return None
    try:
        return path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable list of class names ({error})") from error


def calibration_of(
    source: str | None, network: "keras.Model", spec: Preprocessing, count: int, seed: int, *, spans: bool = False
) -> "Calibration | None":
    """The representative dataset that --calibration names; `spans` gives it the whole range of pixels."""
    from ..calibration import Calibration
    from ..pixels import spanning

    if source is None:
        return None
    size = tuple(network.inputs[0].shape[1:])
    if source.startswith("random:"):
        number = source.removeprefix("random:")
        if not number.isdigit() or not int(number):
            raise InputError(f"--calibration {source}: write random:N with N of at least 1")
        data = Calibration.noise(int(number), size, seed)
    else:
        images = images_of(source, size, spec, count, seed)
        data = Calibration(spec(images.pixels), images.source)
    return spanning(data) if spans else data


def verification_of(
    source: str | None, network: "keras.Model", spec: Preprocessing, phase: "Phase", layout: Layout | None
) -> Callable[[bytes], dict[str, Any]] | None:
    """What compares the file with the model over the images that --verify names; `layout` is an ONNX file's."""
    if source is None:
        return None
    from ...images import open_images

    images = open_images(source, tuple(network.inputs[0].shape[1:]), fit=spec)

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
        terminal(stderr=True).print(f"{source}: {count} pictures could not be read and were skipped")
