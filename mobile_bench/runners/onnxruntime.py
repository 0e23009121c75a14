"""Runs an .onnx file through ONNX Runtime."""

import json
import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..environment import cpu_model, package_version
from ..measure import TimedCalls, time_block
from . import Description, InProcess, Layer, Tensor, random_inputs

TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64", "tensor(bool)": "bool"}
CPU = "CPUExecutionProvider"


class OnnxRuntimeRunner(InProcess):
    """A model with random inputs bound, ready to be called.

    Args:
        path: of the .onnx file.
        threads: within an operator; operators run one after the other.
        seed: of the inputs.
        provider: what executes it, as ONNX Runtime names it, with or without "ExecutionProvider": cpu, CUDA, ...
        batch: in place of a first dimension that the file leaves open.

    Raises:
        InputError: the provider is not there or does not start, or a dimension other than the first is open.
        RuntimeError: ONNX Runtime refuses the file.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, threads: int = 1, seed: int = 0, provider: str = CPU, batch: int = 1
    ) -> None:
        if batch < 1:
            raise InputError(f"--batch {batch}: give at least 1")
        self.path, self.threads, self.provider = Path(path), threads, _provider(provider)
        self.batch = batch
        self.session = self._session()
        self.inputs = tuple(self._tensor(node) for node in self.session.get_inputs())
        self.binding = self.session.io_binding()
        for node in self.session.get_outputs():
            self.binding.bind_output(node.name, "cpu")
        self._set(random_inputs(self.inputs, seed))

    def invoke(self) -> object:
        """Results are in this machine's memory when it comes back, whatever device made them."""
        with _its_errors():
            return self.session.run_with_iobinding(self.binding)

    def time_block(self, calls: int) -> TimedCalls:
        with _its_errors():
            return time_block(partial(self.session.run_with_iobinding, self.binding), calls)

    def outputs(self, inputs: Sequence[NDArray]) -> list[NDArray]:
        """The model's outputs."""
        self._set(inputs)
        self.invoke()
        return list(map(np.array, self.binding.copy_outputs_to_cpu()))

    def describe(self) -> Description:
        """What runs the model."""
        return Description(
            versions={name: found for name in ("onnxruntime", "onnxruntime-gpu") if (found := package_version(name))},
            device=cpu_model() if self.provider == CPU else self.provider,
            flags={"providers": ", ".join(self.session.get_providers()), "batch": str(self.batch)},
            operators=_operators(self.path),
        )

    def profile(self, runs: int) -> list[Layer]:
        """The median time of each node over some runs, by ONNX Runtime's own profiler."""
        with tempfile.TemporaryDirectory() as folder:
            session = self._session(profile=f"{folder}/profile")
            feed = {
                tensor.name: value for tensor, value in zip(self.inputs, random_inputs(self.inputs, 0), strict=True)
            }
            with _its_errors():
                for _ in range(runs):
                    session.run(None, feed)
            events = json.loads(Path(session.end_profiling()).read_text())
        return node_times(events)

    def _session(self, profile: str | None = None) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        options.log_severity_level = 4
        if profile is not None:
            options.enable_profiling, options.profile_file_prefix = True, profile
        with _its_errors():
            session = onnxruntime.InferenceSession(str(self.path), options, providers=[self.provider])
        taken = session.get_providers()
        if self.provider not in taken:
            raise InputError(
                f"--provider {self.provider}: it cannot be started here, ONNX Runtime would take {', '.join(taken)} "
                "instead; install what it needs, or name another"
            )
        return session

    def _tensor(self, node: Any) -> Tensor:
        first, *others = node.shape or [1]
        if not all(isinstance(size, int) for size in others):
            raise InputError(
                f"{self.path}: the input {node.name} has open dimensions {node.shape}; export it with fixed ones"
            )
        if isinstance(first, int) and self.batch not in (1, first):
            raise InputError(f"{self.path}: its batch is fixed at {first}; --batch {self.batch} needs an open one")
        shape = (first if isinstance(first, int) else self.batch, *others)
        return Tensor(node.name, shape, TYPES.get(node.type, node.type.removeprefix("tensor(").removesuffix(")")))

    def _set(self, inputs: Sequence[NDArray]) -> None:
        with _its_errors():
            for tensor, value in zip(self.inputs, inputs, strict=True):
                self.binding.bind_cpu_input(tensor.name, np.ascontiguousarray(value))


@contextmanager
def _its_errors() -> Iterator[None]:
    """ONNX Runtime's own exceptions, which have no base in common but Exception, as RuntimeError."""
    try:
        yield
    except Exception as error:
        raise RuntimeError(error) from error


def node_times(events: Sequence[dict[str, Any]]) -> list[Layer]:
    """ONNX Runtime's trace as layers in the order in which they ran."""
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event.get("name", "").endswith("_kernel_time"):
            name = event["name"].removesuffix("_kernel_time")
            times[event.get("args", {}).get("op_name", "?"), name].append(float(event["dur"]))
    return [Layer(kind, name, float(np.median(durations))) for (kind, name), durations in times.items()]


def _provider(name: str) -> str:
    import onnxruntime

    known: list[str] = onnxruntime.get_available_providers()
    for provider in known:
        if name.lower() in (provider.lower(), provider.lower().removesuffix("executionprovider")):
            return provider
    raise InputError(f"--provider {name}: this ONNX Runtime has {', '.join(known)}; name one of these")


def _operators(path: Path) -> dict[str, int]:
    """The nodes by type; none where the package onnx, which reads them, is absent."""
    try:
        import onnx
    except ImportError:
        return {}
    graph = onnx.load(str(path), load_external_data=False).graph
    return dict(Counter(node.op_type for node in graph.node).most_common())
