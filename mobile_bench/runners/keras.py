"""Runs a .keras file through Keras on TensorFlow, JAX or torch, in a process of its own: a backend is for life."""

import base64
import json
import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..child import command
from ..measure import TimedCalls
from . import Description, Tensor

BACKENDS = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}
PRECISIONS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
MODES = ("compiled", "eager")


class KerasRunner:
    """A model in a worker process, with random inputs set.

    Args:
        path: of the .keras file.
        threads: the worker is kept on so many processors, and its backend told so.
        seed: of the inputs.
        backend: tensorflow, jax or torch.
        mode: compiled (tf.function, jax.jit, torch.compile) or eager.
        precision: fp32, fp16 or bf16, of weights and activations alike.
        batch: pictures in a call.

    Raises:
        InputError: a value out of range, or the backend is not there.
        RuntimeError: Keras or its backend refuses the file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        threads: int = 1,
        seed: int = 0,
        backend: str = "tensorflow",
        mode: str = "compiled",
        precision: str = "fp32",
        batch: int = 1,
    ) -> None:
        _check("--backend", backend, list(BACKENDS))
        _check("--mode", mode, MODES)
        _check("--precision", precision, list(PRECISIONS))
        if batch < 1:
            raise InputError(f"--batch {batch}: give at least 1")
        if find_spec(BACKENDS[backend]) is None:
            raise InputError(f"the backend {backend} is not there; pip install {BACKENDS[backend]}")
        self.worker = self._worker(backend, threads)
        told = self._ask(
            {
                "path": str(Path(path).absolute()),
                "threads": threads,
                "seed": seed,
                "compiled": mode == "compiled",
                "precision": PRECISIONS[precision],
                "batch": batch,
            }
        )
        self.inputs = tuple(Tensor(**tensor | {"shape": tuple(tensor["shape"])}) for tensor in told["inputs"])
        flags = {"backend": backend, "mode": mode, "precision": precision, "batch": str(batch)}
        self.description = Description(
            told["versions"], told["device"], flags, told["layers"], notes=tuple(told["notes"])
        )

    def invoke(self) -> object:
        return self._ask({"calls": 1})

    def time_block(self, calls: int) -> TimedCalls:
        """Timed in the worker, on the same clock; each call waits for its results."""
        told = self._ask({"calls": calls})
        return np.array(told["starts"], np.int64), np.array(told["durations"], np.int64)

    def outputs(self, inputs: Sequence[NDArray]) -> list[NDArray]:
        told = self._ask({"inputs": [packed(np.asarray(value)) for value in inputs]})
        return [unpacked(value) for value in told["outputs"]]

    def describe(self) -> Description:
        return self.description

    def close(self) -> None:
        self.worker.kill()
        self.worker.wait()
        for stream in (self.worker.stdin, self.worker.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):  # a question that the worker did not live to read
                    stream.close()

    def _worker(self, backend: str, threads: int) -> subprocess.Popen:
        settings = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": str(threads)}
        streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command(f"{__package__}.keras_worker"), env=os.environ | settings, text=True, **streams)

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        try:
            print(json.dumps(question), file=self.worker.stdin, flush=True)
            line = self.worker.stdout.readline() if self.worker.stdout is not None else ""
        except BrokenPipeError:
            line = ""
        if not line:
            self.close()
            raise RuntimeError(f"the worker process ended with code {self.worker.returncode}")
        answer = cast(dict[str, Any], json.loads(line))
        if "refused" in answer:
            self.close()
            raise RuntimeError(answer["refused"])
        return answer


def packed(array: NDArray) -> dict[str, Any]:
    """An array as JSON knows it."""
    content = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"dtype": array.dtype.name, "shape": list(array.shape), "content": content}


def unpacked(value: dict[str, Any]) -> NDArray:
    """The inverse of `packed`."""
    return np.frombuffer(base64.b64decode(value["content"]), value["dtype"]).reshape(value["shape"])


def _check(option: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise InputError(f"{option} {value}: give {', '.join(known)}")
