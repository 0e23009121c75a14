"""Runs an .onnx file by TensorRT's own `trtexec`, which builds the engine and times its calls; else by its module.

Tested against a stand-in that speaks trtexec's options and its file of times; no GPU has run it yet.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..measure import TimedCalls
from . import Description, Runner, Tensor

BUILD_SECONDS, RUN_SECONDS = 3600, 600


def tensorrt_runner(path: str | os.PathLike[str], *, threads: int = 1, seed: int = 0) -> Runner:
    """By trtexec where it is on the PATH, else by the modules `tensorrt` and `cuda`.

    Raises:
        InputError: there is neither.
        RuntimeError: the engine cannot be built.
    """
    program = shutil.which("trtexec")
    if program is not None:
        return TrtexecRunner(path, program)
    if find_spec("tensorrt") is None or find_spec("cuda") is None:
        raise InputError(
            "the runner tensorrt needs trtexec on the PATH, or Python's tensorrt and cuda; "
            "pip install tensorrt cuda-python, on a machine with an NVIDIA GPU"
        )
    from .tensorrt_module import TensorRTModuleRunner

    return TensorRTModuleRunner(path, threads=threads, seed=seed)


class TrtexecRunner:
    """An engine that trtexec built; its inputs are trtexec's random ones.

    Args:
        path: of the .onnx file, strongly typed: its own precision is kept.
        program: trtexec.

    Raises:
        RuntimeError: it cannot build the engine.
    """

    inputs: tuple[Tensor, ...] = ()

    def __init__(self, path: str | os.PathLike[str], program: str) -> None:
        self.program, self.folder = program, tempfile.TemporaryDirectory()
        self.engine = Path(self.folder.name) / "model.engine"
        build = [f"--onnx={path}", f"--saveEngine={self.engine}", "--skipInference", "--stronglyTyped"]
        self.log = self._run(build, BUILD_SECONDS)

    def invoke(self) -> object:
        return self.time_block(1)

    def time_block(self, calls: int) -> TimedCalls:
        """Latency of each call as trtexec gives it: copy in, compute, copy out, on the device's own clock."""
        times = Path(self.folder.name) / "times.json"
        began = time.perf_counter_ns()
        options = ["--warmUp=0", "--duration=0", f"--iterations={calls}", f"--exportTimes={times}"]
        self._run([f"--loadEngine={self.engine}", *options], RUN_SECONDS)
        try:
            rows = json.loads(times.read_text())[:calls]
            starts, durations = (
                np.array([round(row[name] * 1e6) for row in rows], np.int64) for name in ("startH2dMs", "latencyMs")
            )
            return began + starts - starts[0], durations
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise RuntimeError(
                f"trtexec's file of times is not understood ({error!r}); is it another release?"
            ) from error

    def outputs(self, inputs: Sequence[NDArray]) -> NoReturn:
        raise InputError("the runner tensorrt gives no outputs; compare the .onnx file under --runner onnxruntime")

    def describe(self) -> Description:
        """From the log of the build."""
        release = re.search(r"TensorRT version: ([\d.]+)", self.log) or re.search(r"TensorRT v(\d+)", self.log)
        device = re.search(r"Selected Device: (.+)", self.log)
        return Description(
            versions={"TensorRT": release[1] if release else "unknown"},
            device=device[1].strip() if device else "GPU",
            flags={"strongly typed": "on"},
            notes=("trtexec loads the engine anew for each block of calls.",),
        )

    def close(self) -> None:
        self.folder.cleanup()

    def _run(self, options: Sequence[str], seconds: float) -> str:
        try:
            done = subprocess.run(
                [self.program, *options], capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"trtexec did not come back within {seconds} s") from error
        if done.returncode:
            errors = [line for line in (done.stdout + done.stderr).splitlines() if "[E]" in line]
            raise RuntimeError(f"trtexec failed: {errors[0] if errors else f'exit code {done.returncode}'}")
        return done.stdout
