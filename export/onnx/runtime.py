"""Running an ONNX file in ONNX Runtime: channels last in, channels last out, whatever the file's layout and types."""

from collections.abc import Sequence

import numpy as np
import onnx

from ...errors import InputError, first_line
from ..interpreter import threads

BATCH = 16  # images a call of a file that takes any number


class OnnxRuntime:
    """An ONNX file as a function on Keras' arrays.

    Args:
        content: the file's bytes, or the model.
        exact: run each operator as it stands in the file; else ONNX Runtime rewrites the graph for speed, which for a
            quantized one changes the arithmetic (on x86 without VNNI, sums of int8 products even saturate). Unless
            said, quantized files run exactly.

    Raises:
        InputError: ONNX Runtime cannot read it.
    """

    def __init__(self, content: bytes | onnx.ModelProto, *, exact: bool | None = None) -> None:
        import onnxruntime

        self.model = onnx.load_from_string(content) if isinstance(content, bytes) else content
        if exact is None:
            exact = any(node.op_type == "QuantizeLinear" for node in self.model.graph.node)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads(), 3
        level = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = level.ORT_DISABLE_ALL if exact else level.ORT_ENABLE_ALL
        try:
            self._session = onnxruntime.InferenceSession(
                self.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # of a dozen classes, which share no base but this
            raise InputError(
                f"ONNX Runtime cannot read the file ({first_line(error)}); export or fetch it again"
            ) from error
        self.inputs = self._session.get_inputs()
        self.outputs = [output.name for output in self._session.get_outputs()]
        first = self.inputs[0].shape[0]
        self.batch = first if isinstance(first, int) else None

    def __call__(self, *inputs: np.ndarray, channels_last: bool = False) -> list[np.ndarray]:
        """Runs (n, ...) float32 inputs through the file; one float32 array for each output.

        Args:
            inputs: maps (n, height, width, channels), as Keras has them.
            channels_last: the file reads and returns maps as Keras has them, too.

        Raises:
            InputError: the inputs do not fill whole batches, or ONNX Runtime cannot run the file on them.
        """
        count, batch = len(inputs[0]), self.batch or min(BATCH, len(inputs[0]))
        if self.batch and count % self.batch:
            raise InputError(f"{count} inputs do not divide into the file's batches of {self.batch}; give whole ones")
        answers: list[list[np.ndarray]] = [[] for _ in self.outputs]
        for start in range(0, count, batch):
            feeds = {
                declared.name: _fed(values[start : start + batch], declared.type, channels_last)
                for declared, values in zip(self.inputs, inputs, strict=True)
            }
            for collected, values in zip(answers, self._run(feeds), strict=True):
                collected.append(_answered(values, channels_last))
        return [np.concatenate(collected) for collected in answers]

    def _run(self, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        try:
            return self._session.run(self.outputs, feeds)
        except Exception as error:  # as above
            raise InputError(f"ONNX Runtime cannot run the file ({first_line(error)}); export it again") from error


def exposing(model: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    """A copy of the model whose outputs are these tensors, in this order."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    return shown


def _fed(values: np.ndarray, declared: str, channels_last: bool) -> np.ndarray:
    dtype = np.float16 if declared == "tensor(float16)" else np.float32
    turned = values.transpose(0, 3, 1, 2) if values.ndim == 4 and not channels_last else values
    return np.ascontiguousarray(turned, dtype)


def _answered(values: np.ndarray, channels_last: bool) -> np.ndarray:
    turned = values.transpose(0, 2, 3, 1) if values.ndim == 4 and not channels_last else values
    return turned.astype(np.float32, copy=False)
