"""Runs a .tflite file through LiteRT.js in a headless Chromium: the browser as one more edge device.

WASM with XNNPACK, single- and multi-threaded, and WebGPU where there is one. A server on the loopback hands the page
the model, the inputs and, one at a time, what to do; no driver is needed.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...litertjs import find_modules, installed_version
from ..measure import TimedCalls
from ..tflite_file import read_graph
from . import Description, Tensor, random_inputs
from .browser import Browser

CALL_SECONDS = 600
ACCELERATORS = ("wasm", "webgpu")
DTYPES = ("float32", "int32", "uint8", "int8")
NOT_A_GPU = "this WebGPU is a software renderer (SwiftShader): its outputs count, its time is no latency"


class WebRunner:
    """A model in a page, with random inputs set; see runners.Runner.

    Attributes:
        inputs: as LiteRT.js tells them, with the file's scales.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        threads: int = 1,
        seed: int = 0,
        accelerator: str = "wasm",
        litertjs: str | None = None,
        install: bool = False,
    ) -> None:
        """Starts the browser and compiles the model.

        Args:
            path: the file; its batch must be fixed.
            threads: of the WASM build; above 1 takes the threaded one.
            seed: of the inputs.
            accelerator: "wasm" or "webgpu".
            litertjs: the node_modules folder with @litertjs in it.
            install: let npm put it into the cache where it is missing.

        Raises:
            InputError: no Chromium, no LiteRT.js, an accelerator that there is not.
            RuntimeError: LiteRT.js refuses the file, or finds no WebGPU.
        """
        if accelerator not in ACCELERATORS:
            raise InputError(f"accelerator {accelerator!r}: give one of {', '.join(ACCELERATORS)}")
        self.threads, self.accelerator = threads, accelerator
        self.modules = find_modules(litertjs, install=install)
        self.browser = Browser(Path(path), self.modules, _settings(accelerator, threads), gpu=accelerator == "webgpu")
        try:
            self._facts = self.browser.started()
            inputs, self._outputs = (_tensors(self._facts.get(name)) for name in ("inputs", "outputs"))
            self.inputs = scaled(inputs, read_graph(Path(path)).inputs)
            self._set(random_inputs(self.inputs, seed))
        except BaseException:
            self.browser.close()
            raise

    def invoke(self) -> None:
        self.time_block(1)

    def time_block(self, calls: int) -> TimedCalls:
        """Times in the page, from the call until the outputs can be read; to 5 microseconds."""
        answer = self.browser.ask({"what": "time", "calls": calls}, seconds=CALL_SECONDS)
        offset = time.time_ns() - time.perf_counter_ns()
        starts, durations = (np.array(answer[name], float) * 1e6 for name in ("starts", "durations"))
        return starts.astype(np.int64) - offset, np.maximum(durations, 1).astype(np.int64)

    def outputs(self, inputs: Sequence[NDArray]) -> list[NDArray]:
        self._set(inputs)
        self.browser.ask({"what": "outputs"}, seconds=CALL_SECONDS)
        return [
            np.frombuffer(self.browser.outputs[index], tensor.dtype).reshape(tensor.shape)
            for index, tensor in enumerate(self._outputs)
        ]

    def describe(self) -> Description:
        gpu, agent = self._facts.get("gpu"), str(self._facts.get("agent"))
        slow = self.accelerator == "webgpu" and (gpu is None or _software(gpu))
        return Description(
            versions={
                "litertjs": installed_version(self.modules),
                "chromium": agent.partition("Chrome/")[2].split(" ")[0],
            },
            device=_gpu_name(gpu) if gpu else "WebAssembly in Chromium",
            flags={
                "accelerator": self.accelerator,
                "fully_accelerated": str(bool(self._facts.get("accelerated"))).lower(),
            },
            timed=not slow,
            notes=(NOT_A_GPU,) if slow else (),
        )

    def close(self) -> None:
        self.browser.close()

    def _set(self, inputs: Sequence[NDArray]) -> None:
        self.browser.inputs = [
            np.ascontiguousarray(value, tensor.dtype).tobytes()
            for value, tensor in zip(inputs, self.inputs, strict=True)
        ]
        self.browser.ask({"what": "inputs"}, seconds=CALL_SECONDS)


def _settings(accelerator: str, threads: int) -> dict[str, Any]:
    """Of loadLiteRt and loadAndCompile; threads and the suspendable build that WebGPU needs exclude each other."""
    if accelerator == "webgpu":
        return {"load": {"jspi": True}, "compile": {"accelerator": "webgpu"}}
    options = {"cpuOptions": {"numThreads": threads}} if threads > 1 else {}
    return {"load": {"threads": threads > 1}, "compile": {"accelerator": "wasm"} | options}


def _tensors(details: Any) -> tuple[Tensor, ...]:
    tensors = tuple(Tensor(str(d["name"]), tuple(map(int, d["shape"])), str(d["dtype"])) for d in details)
    for tensor in tensors:
        if tensor.dtype not in DTYPES:
            raise RuntimeError(f"LiteRT.js takes no {tensor.dtype} tensors, as {tensor.name} is")
        if min(tensor.shape, default=1) < 1:
            raise RuntimeError(f"LiteRT.js needs a fixed batch, {tensor.name} has the shape {list(tensor.shape)}")
    return tensors


def scaled(told: Sequence[Tensor], written: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """With the scales that stand in the file, of which LiteRT.js does not tell."""
    pairs = zip(told, written, strict=True)
    return tuple(replace(tensor, scale=other.scale, zero_point=other.zero_point) for tensor, other in pairs)


def _software(gpu: dict[str, Any]) -> bool:
    return bool(gpu.get("fallback")) or gpu.get("architecture") == "swiftshader"


def _gpu_name(gpu: dict[str, Any]) -> str:
    words = (str(gpu.get(key) or "") for key in ("vendor", "architecture", "description"))
    return "WebGPU: " + (" ".join(word for word in words if word) or "unnamed")
