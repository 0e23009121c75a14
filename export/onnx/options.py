"""What may be chosen about an ONNX file; nothing heavy is imported here."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

Format = Literal["tflite", "onnx", "tensorrt", "web"]
Layout = Literal["NCHW", "NHWC"]
OnnxScheme = Literal["float32", "float16", "int8", "int4"]
OnnxBoundary = Literal["float32", "float16"]

LAYOUTS: tuple[Layout, ...] = get_args(Layout)
ONNX_SCHEMES: tuple[OnnxScheme, ...] = get_args(OnnxScheme)
ONNX_BOUNDARIES: tuple[OnnxBoundary, ...] = get_args(OnnxBoundary)
SUFFIXES: dict[Format, str] = {"tflite": ".tflite", "onnx": ".onnx", "tensorrt": ".onnx", "web": ".tflite"}


@dataclass(frozen=True)
class Form:
    """What of an ONNX file does not touch its numbers.

    Args:
        opset: of the operators.
        batch: images a call; None leaves it open.
        layout: of the maps that the file reads and returns.
    """

    opset: int
    batch: int | None
    layout: Layout

    @property
    def channels_last(self) -> bool:
        return self.layout == "NHWC"

    def to_dict(self) -> dict[str, Any]:
        """The emitter's options."""
        return {"opset": self.opset, "batch": self.batch, "layout": self.layout}
