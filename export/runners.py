"""What answers: a Keras model, a .tflite or an .onnx file, each as one function on channels-last float32 images."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import InputError
from .card import Card, card_beside
from .interpreter import LiteRT

if TYPE_CHECKING:
    import keras

SUFFIXES = (".tflite", ".onnx")


class Runner(Protocol):
    """Anything that answers images.

    Attributes:
        name: in words.
        batch: images a call, where that is fixed.
        shape: (height, width, channels) of an image.
        names: of the outputs, in their order.
        classes: the last axis of the first output, where it is known.
    """

    name: str
    batch: int | None
    shape: tuple[int, ...]
    names: Sequence[str]
    classes: int | None

    def __call__(self, inputs: np.ndarray, /) -> list[np.ndarray]:
        """(n, height, width, channels) float32 -> one real-valued array (n, ...) for each output."""


class KerasRunner:
    """A Keras model of one input."""

    batch: int | None = None

    def __init__(self, model: "keras.Model") -> None:
        if len(model.inputs) != 1:
            raise InputError(f"{model.name} has {len(model.inputs)} inputs; networks of one image are compared")
        self.model, self.name = model, model.name
        self.shape: tuple[int, ...] = tuple(model.inputs[0].shape[1:])
        self.names: Sequence[str] = list(model.output_names)
        self.classes: int | None = model.outputs[0].shape[-1]

    def __call__(self, inputs: np.ndarray, /) -> list[np.ndarray]:
        import keras

        return [np.asarray(output, np.float32) for output in keras.tree.flatten(self.model.predict_on_batch(inputs))]


class TFLiteRunner:
    """A .tflite file in LiteRT."""

    def __init__(self, content: bytes, name: str = "the file") -> None:
        self._file, self.name = LiteRT(content), name
        self.batch: int | None
        self.batch, *shape = map(int, self._file.input["shape"])
        self.shape: tuple[int, ...] = tuple(shape)
        self.names: Sequence[str] = self._file.names
        self.classes: int | None = int(self._file.outputs[0]["shape"][-1])

    def __call__(self, inputs: np.ndarray, /) -> list[np.ndarray]:
        return self._file(inputs)


class OnnxRunner:
    """An .onnx file in ONNX Runtime; its card, or the place of its channels, tells NCHW from NHWC.

    A Q/DQ file runs operator by operator as it stands: ONNX Runtime's own fusions change its arithmetic.
    """

    classes: int | None = None

    def __init__(self, content: bytes, name: str = "the file", layout: str | None = None) -> None:
        import onnx

        from .onnx.runtime import OnnxRuntime

        try:
            model = onnx.load_from_string(content)
        except Exception as error:  # protobuf's own, which has no stubs
            raise InputError("not an .onnx file, or a truncated one; export or fetch it again") from error
        self._file, self.name = OnnxRuntime(model), name
        if len(self._file.inputs) != 1:
            raise InputError(f"{name} has {len(self._file.inputs)} inputs; networks of one image are compared")
        self.batch = self._file.batch
        sides = tuple(self._file.inputs[0].shape[1:])
        self._last = sides[-1] in (1, 3, 4) and sides[0] not in (1, 3) if layout is None else layout == "NHWC"
        self.shape: tuple[int, ...] = sides if self._last else (*sides[1:], sides[0])
        self.names: Sequence[str] = self._file.outputs

    def __call__(self, inputs: np.ndarray, /) -> list[np.ndarray]:
        return self._file(inputs, channels_last=self._last)


def is_artifact(path: str | PathLike[str]) -> bool:
    """Whether the name is that of a file that a runner opens."""
    return str(path).endswith(SUFFIXES)


def read_artifact(path: str | PathLike[str]) -> tuple[bytes, Card | None]:
    """An artifact's bytes and its card, if one stands beside it.

    Raises:
        InputError: no such file, another kind of file, or a card that is not this file's.
    """
    if not is_artifact(path):
        raise InputError(f"{path}: an artifact's name ends in {' or '.join(SUFFIXES)}; name such a file")
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: not a readable file ({error.strerror}); name one that is") from error
    return content, card_beside(path, content)


def runner(path: str | PathLike[str], content: bytes, card: Card | None = None) -> Runner:
    """The runner of an artifact's bytes; what cannot be read is refused with its path."""
    try:
        if str(path).endswith(".tflite"):
            return TFLiteRunner(content, Path(path).name)
        return OnnxRunner(content, Path(path).name, None if card is None else card.inputs[0]["layout"])
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def as_runner(source: Any) -> Runner:
    """A runner, a Keras model, or a .tflite file's bytes as a runner."""
    if isinstance(source, bytes):
        return TFLiteRunner(source)
    return KerasRunner(source) if hasattr(source, "predict_on_batch") else source
