"""A stranger's artifact is run once in a process of its own, which takes the blow where it crashes a runtime.

python -m keras_cnnzoo.export.trial FILE
"""

import signal
import subprocess
import sys
from os import PathLike
from pathlib import Path

import numpy as np

from ..errors import InputError

SECONDS = 300  # LiteRT's reference kernels answer VGG in a minute


def survive(path: str | PathLike[str]) -> None:
    """Lets a process load a .tflite or .onnx file and answer one batch of zeros.

    What the file itself is refused for is left to whoever opens it next.

    Raises:
        InputError: the process died of it, or did not come back.
    """
    command = [sys.executable, "-P", "-W", "ignore", "-m", __name__, str(path)]
    runtime = "LiteRT" if Path(path).suffix == ".tflite" else "ONNX Runtime"
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{path}: {runtime} did not answer a picture within {SECONDS} s; export it again") from error
    if done.returncode == -signal.SIGKILL:
        raise InputError(f"{path}: the system killed {runtime} while it ran; it needs more memory than there is")
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise InputError(f"{path}: {runtime} crashed on it, in a process of its own ({name}); the file is corrupt")


def _answer(path: str) -> None:
    from .runners import read_artifact, runner

    try:
        opened = runner(path, *read_artifact(path))
        opened(np.zeros((opened.batch or 1, *opened.shape), np.float32))
    except InputError:
        pass  # the parent will say it


if __name__ == "__main__":
    _answer(sys.argv[1])
