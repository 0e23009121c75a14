"""Runs a .tflite file through LiteRT."""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ...errors import InputError, one_line
from ..environment import cpu_model, package_version
from . import Description, InProcess, Layer, Tensor, random_inputs


class LiteRTRunner(InProcess):
    """A model with random inputs set, ready to be called.

    Args:
        path: of the .tflite file.
        threads: of the CPU.
        seed: of the inputs.
        xnnpack: whether the XNNPACK delegate may take operators.
        delegate: path of another delegate's shared library.

    Attributes:
        interpreter: LiteRT's, with tensors allocated.
        invoke: runs the model once; LiteRT's own function, nothing around it.

    Raises:
        InputError: the delegate cannot be loaded.
        ValueError, RuntimeError: LiteRT refuses the file, or it takes inputs that are not numbers.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        threads: int = 1,
        seed: int = 0,
        xnnpack: bool = True,
        delegate: str | None = None,
    ) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self.path, self.threads, self.xnnpack, self.delegate = path, threads, xnnpack, delegate
        resolver = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        with _native_log_discarded():
            self.interpreter = Interpreter(
                model_path=str(path),
                num_threads=threads,
                experimental_op_resolver_type=resolver,
                experimental_delegates=None if delegate is None else [_delegate(delegate)],
            )
            self.interpreter.allocate_tensors()
        self.inputs = tuple(map(_tensor, self.interpreter.get_input_details()))
        self._set(random_inputs(self.inputs, seed))
        self.invoke = self.interpreter.invoke  # type: ignore[method-assign]

    def outputs(self, inputs: Sequence[NDArray]) -> list[NDArray]:
        """The model's outputs, copied."""
        self._set(inputs)
        self.interpreter.invoke()
        return [self.interpreter.get_tensor(detail["index"]) for detail in self.interpreter.get_output_details()]

    def describe(self) -> Description:
        """What runs the model, and what the delegate made of it."""
        nodes = self.interpreter._get_ops_details()  # LiteRT has no public way
        delegates = [node for node in nodes if node["op_name"] == "DELEGATE"]
        originals = [node for node in nodes if node["op_name"] != "DELEGATE"]
        taken = set().union(*(_replaced(delegate, originals) for delegate in delegates))
        return Description(
            versions={"ai-edge-litert": package_version("ai-edge-litert") or "unknown"},
            device=cpu_model(),
            flags={"XNNPACK": "on" if self.xnnpack else "off", "delegate": self.delegate or "none"},
            operators=_histogram(originals),
            undelegated=_histogram(node for node in originals if node["index"] not in taken),
            partitions=len(delegates),
            arena_bytes=_arena_bytes(self.path),
        )

    def profile(self, runs: int) -> list[Layer]:
        """The median time of each operator over some runs, by LiteRT's own profiler with one thread and XNNPACK."""
        from .litert_profile import profile

        if not self.xnnpack or self.delegate is not None:
            raise InputError(
                "LiteRT's profiler is reached with XNNPACK only; measure with --xnnpack on and no --delegate"
            )
        outputs = [_tensor(detail) for detail in self.interpreter.get_output_details()]
        with _native_log_discarded():
            return profile(Path(self.path), self.inputs, outputs, runs)

    def _set(self, inputs: Sequence[NDArray]) -> None:
        for detail, value in zip(self.interpreter.get_input_details(), inputs, strict=True):
            self.interpreter.set_tensor(detail["index"], value)


def _delegate(path: str) -> Any:
    from ai_edge_litert.interpreter import load_delegate

    if "/" in path and not os.access(path, os.R_OK):
        raise InputError(f"--delegate {path}: there is no such file that can be read; name a shared library")
    try:
        return load_delegate(path)
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            f"--delegate {path}: it is not a LiteRT delegate that can be loaded here ({one_line(error)}); name one "
            "built for this machine"
        ) from error


def _tensor(detail: dict[str, Any]) -> Tensor:
    scale, zero_point = detail["quantization"]
    shape = tuple(map(int, detail["shape"]))
    return Tensor(detail["name"], shape, _name(detail["dtype"]), float(scale), int(zero_point))


def _name(dtype: type) -> str:
    return dtype.__name__.removesuffix("_")


def _arena_bytes(path: str | os.PathLike[str]) -> int | None:
    """The union of the addresses of all activations without a delegate; kernels' scratch is not in it.

    None where the file runs with the delegate only.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_path=str(path), experimental_op_resolver_type=plain)
    try:
        interpreter.allocate_tensors()
    except RuntimeError:
        return None
    indices = {int(tensor) for node in interpreter._get_ops_details() for tensor in node["outputs"]}
    indices |= {detail["index"] for detail in interpreter.get_input_details()}
    views = (interpreter.tensor(index)() for index in indices)
    total = end = 0
    for start, stop in sorted((view.ctypes.data, view.ctypes.data + view.nbytes) for view in views):
        total += max(0, stop - max(start, end))
        end = max(end, stop)
    return total


def _histogram(nodes: Any) -> dict[str, int]:
    return dict(Counter(node["op_name"] for node in nodes).most_common())


def _replaced(delegate: dict[str, Any], originals: list[dict[str, Any]]) -> set[int]:
    """Indices of the operators that stand between a delegate's inputs and its outputs."""
    producer = {tensor: node for node in originals for tensor in node["outputs"]}
    inputs, wanted, found = set(delegate["inputs"]), list(delegate["outputs"]), set()
    while wanted:
        tensor = wanted.pop()
        node = producer.get(tensor)
        if node is not None and tensor not in inputs and node["index"] not in found:
            found.add(node["index"])
            wanted.extend(node["inputs"])
    return found


@contextmanager
def _native_log_discarded() -> Iterator[None]:
    """LiteRT announces its delegate on file descriptor 2, whatever the log level."""
    sys.stderr.flush()
    kept, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(sink)
