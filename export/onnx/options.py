"""What may be chosen about an ONNX file; nothing heavy is imported here."""

from typing import Literal, get_args

Format = Literal["tflite", "onnx", "tensorrt"]
Layout = Literal["NCHW", "NHWC"]
OnnxScheme = Literal["float32", "float16", "int8", "int4"]
OnnxBoundary = Literal["float32", "float16"]

LAYOUTS: tuple[Layout, ...] = get_args(Layout)
ONNX_SCHEMES: tuple[OnnxScheme, ...] = get_args(OnnxScheme)
ONNX_BOUNDARIES: tuple[OnnxBoundary, ...] = get_args(OnnxBoundary)
SUFFIXES: dict[Format, str] = {"tflite": ".tflite", "onnx": ".onnx", "tensorrt": ".onnx"}
