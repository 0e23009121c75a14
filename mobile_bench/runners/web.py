"""Runs a .tflite file through LiteRT.js in a headless Chromium: the browser as one more edge device.

WASM with XNNPACK, single- and multi-threaded, and WebGPU where there is one. A server on the loopback hands the page
the model, the inputs and, one at a time, what to do; no driver is needed.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..measure import TimedCalls
from . import Description, Tensor, random_inputs
from .browser import Browser

VERSION = "2.5.3"
FOLDER, CACHE = "CNNZOO_LITERTJS", Path("~/.cache/keras-cnnzoo/litertjs")
INSTALL_SECONDS, CALL_SECONDS = 300, 600
ACCELERATORS = ("wasm", "webgpu")
DTYPES = ("float32", "int32", "uint8", "int8")
NOT_A_GPU = "this WebGPU is a software renderer (SwiftShader): its outputs count, its time is no latency"


class WebRunner:
    """A model in a page, with random inputs set; see runners.Runner.

    Attributes:
        inputs: as LiteRT.js tells them.
    """

    def __init__(
        self,
        path: str | os.PathLike,
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
            InputError: no Chromium, no LiteRT.js, no WebGPU, an accelerator that there is not.
            RuntimeError: LiteRT.js refuses the file.
        """
        if accelerator not in ACCELERATORS:
            raise InputError(f"accelerator {accelerator!r}: give one of {', '.join(ACCELERATORS)}")
        self.threads, self.accelerator = threads, accelerator
        self.modules = find_modules(litertjs, install=install)
        self.browser = Browser(Path(path), self.modules, _settings(accelerator, threads), gpu=accelerator == "webgpu")
        try:
            self._facts = self.browser.started()
            self.inputs, self._outputs = (_tensors(self._facts.get(name)) for name in ("inputs", "outputs"))
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
            versions={"litertjs": _version(self.modules), "chromium": agent.partition("Chrome/")[2].split(" ")[0]},
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


def find_modules(folder: str | os.PathLike | None = None, *, install: bool = False) -> Path:
    """The node_modules folder: `folder`, that of the environment variable, or the cache's, in this order.

    Raises:
        InputError: LiteRT.js is not in it, or could not be installed.
    """
    named = folder or os.environ.get(FOLDER)
    modules = Path(named).expanduser() if named else CACHE.expanduser() / "node_modules"
    if install and not named and not _complete(modules):
        _npm_install(modules.parent)
    for found in (modules, modules / "node_modules"):
        if _complete(found):
            return found
    raise InputError(
        f"{modules}: no LiteRT.js there (@litertjs/core and @litertjs/wasm-utils); run `npm install "
        f"@litertjs/core@{VERSION}` in a folder and name its node_modules by {FOLDER}, or give --install"
    )


def _complete(modules: Path) -> bool:
    return all((modules / "@litertjs" / name / "package.json").is_file() for name in ("core", "wasm-utils"))


def _npm_install(folder: Path) -> None:
    if shutil.which("npm") is None:
        raise InputError("npm is not installed, and LiteRT.js comes by it; install it (apt-get install npm)")
    folder.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), f"@litertjs/core@{VERSION}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise InputError(f"npm did not install LiteRT.js within {INSTALL_SECONDS} s; is there a network?") from error
    if done.returncode != 0:
        reason = " ".join(done.stderr.split())[-200:]
        raise InputError(f"npm could not install LiteRT.js ({reason}); name a folder that has it by {FOLDER}")


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


def _software(gpu: dict[str, Any]) -> bool:
    return bool(gpu.get("fallback")) or gpu.get("architecture") == "swiftshader"


def _gpu_name(gpu: dict[str, Any]) -> str:
    words = (str(gpu.get(key) or "") for key in ("vendor", "architecture", "description"))
    return "WebGPU: " + (" ".join(word for word in words if word) or "unnamed")


def _version(modules: Path) -> str:
    import json

    return str(json.loads((modules / "@litertjs" / "core" / "package.json").read_text())["version"])
