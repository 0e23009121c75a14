"""Running a .tflite file: real numbers in, real numbers out, whatever the file's types."""

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import InputError, one_line

LARGEST = 2**28  # numbers of an input; LiteRT would allocate what a broken file asks for


def threads() -> int:
    """As many as this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LiteRT:
    """A one-input .tflite file as a function on arrays.

    Args:
        content: the file's bytes.

    Raises:
        InputError: LiteRT cannot read it.
    """

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            self._interpreter = Interpreter(model_content=content, num_threads=threads())
            for tensor in self._interpreter.get_input_details():
                if np.prod(tensor["shape"], dtype=float) > LARGEST:
                    raise ValueError(f"it reads {list(map(int, tensor['shape']))}, gigabytes a call")
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise InputError(
                f"LiteRT cannot read the file ({one_line(error)}); export or fetch it again, without custom operators"
            ) from error
        inputs = self._interpreter.get_input_details()
        if len(inputs) != 1:
            raise InputError(f"the file has {len(inputs)} inputs; files of one image are run")
        (self.input,) = inputs
        if not len(self.input["shape"]) or min(self.input["shape"]) < 1:
            raise InputError(f"the file reads {list(map(int, self.input['shape']))}; files of a fixed batch are run")
        self.outputs = self._interpreter.get_output_details()

    @property
    def names(self) -> list[str]:
        """Of the outputs: the signature's, or the tensors' where the file has none."""
        signatures = self._interpreter.get_signature_list()
        if len(signatures) != 1:
            return [output["name"] for output in self.outputs]
        details = self._interpreter.get_signature_runner(*signatures).get_output_details()
        by_tensor = {detail["index"]: name for name, detail in details.items()}
        return [by_tensor.get(output["index"], output["name"]) for output in self.outputs]

    def __call__(self, inputs: np.ndarray) -> list[np.ndarray]:
        """Runs (n, ...) real-valued inputs through the file, batch by batch; one real-valued array for each output.

        Raises:
            InputError: the inputs do not fill whole batches, or LiteRT cannot run the file.
        """
        batch = self.input["shape"][0]
        if len(inputs) % batch:
            raise InputError(f"{len(inputs)} inputs do not divide into the file's batches of {batch}; give whole ones")
        answers: list[list[np.ndarray]] = [[] for _ in self.outputs]
        for start in range(0, len(inputs), batch):
            values = quantized(inputs[start : start + batch], self.input)
            try:
                results = self._run(values)
            except (ValueError, RuntimeError) as error:
                raise InputError(f"LiteRT cannot run the file ({one_line(error)}); export it again") from error
            for collected, output, result in zip(answers, self.outputs, results, strict=True):
                collected.append(dequantized(result, output))
        return [np.concatenate(collected) for collected in answers]

    def _run(self, values: np.ndarray) -> list[np.ndarray]:
        self._interpreter.set_tensor(self.input["index"], values)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(output["index"]) for output in self.outputs]

    def delegation(self) -> tuple[int, dict[str, int]]:
        """How many partitions the delegate took, and how many operators of each name it left."""
        partitions = sum(op["op_name"] == "DELEGATE" for op in self._interpreter._get_ops_details())
        return partitions, dict(Counter(name for name, _ in self.undelegated()))

    def undelegated(self) -> list[tuple[str, str]]:
        """The operators that run outside the delegate: name, and its first output's name."""
        details = self._interpreter._get_ops_details()
        left = self._left(details, [op for op in details if op["op_name"] == "DELEGATE"])
        return [(op["op_name"], self._interpreter._get_tensor_details(int(op["outputs"][0]), 0)["name"]) for op in left]

    def _left(self, details: list[dict[str, Any]], delegates: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """What no delegate replaces: walked back from its outputs, a partition's inside is found."""
        producers = {int(t): op for op in details if op["op_name"] != "DELEGATE" for t in op["outputs"]}
        taken = set[int]()
        for delegate in delegates:
            borders, open_tensors = set(map(int, delegate["inputs"])), [int(t) for t in delegate["outputs"]]
            while open_tensors:
                op = producers.get(open_tensors.pop())
                if op is not None and op["index"] not in taken:
                    taken.add(op["index"])
                    open_tensors += [int(t) for t in op["inputs"] if int(t) not in borders]
        return (op for op in producers.values() if op["index"] not in taken)


def quantized(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    """Real values in a tensor's type, by its scale and zero point."""
    dtype = np.dtype(detail["dtype"])
    if dtype.kind == "f":
        return values.astype(dtype, copy=False)
    scale, zero_point = detail["quantization"]
    if not scale:
        raise InputError(f"the input {detail['name']!r} is {dtype} without a scale; quantize the file statically")
    limits = np.iinfo(dtype)
    return np.clip(np.round(values / scale) + zero_point, limits.min, limits.max).astype(dtype)


def dequantized(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    """A tensor's real values, a copy."""
    scale, zero_point = detail["quantization"]
    if values.dtype.kind == "f" or not scale:
        return values.astype(np.float32)
    return ((values.astype(np.float32) - zero_point) * scale).astype(np.float32)
