"""What a model costs a process of its own, which also takes the blow where a corrupt file crashes LiteRT."""

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from .runners import litert

PROGRAM = Path(litert.__file__)
TIMEOUT_SECONDS = 300


@dataclass(frozen=True)
class Probe:
    """The cost of a model in a fresh process.

    Attributes:
        peak_bytes: resident memory that loading and calling it added at its highest, some 3 MB of LiteRT's own code
            included; None where Linux does not tell.
        load_ns: until its tensors were allocated, in nanoseconds.
        first_ns: the first call, in nanoseconds.
        operators: the number of each type in the model.
        undelegated: those of them that run outside the XNNPACK delegate.
        partitions: pieces that the delegate runs; one is best.
    """

    peak_bytes: int | None
    load_ns: int
    first_ns: int
    operators: dict[str, int]
    undelegated: dict[str, int]
    partitions: int


def probe(path: Path, *, threads: int = 1, seed: int = 0) -> Probe:
    """Loads and calls the model in a fresh process.

    Raises:
        InputError: LiteRT refuses the file, crashes on it, or does not come back.
    """
    command = [sys.executable, "-P", str(PROGRAM), str(path), str(threads), str(seed)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{path}: LiteRT did not load and run it within {TIMEOUT_SECONDS} s") from error
    if done.returncode == -signal.SIGKILL:
        raise InputError(f"{path}: the system killed LiteRT while loading it; it needs more memory than there is")
    if done.returncode < 0:
        raise InputError(f"{path}: LiteRT crashed while loading it; the file is corrupt")
    if done.returncode > 0:
        raise RuntimeError(f"{PROGRAM.name} failed on {path}:\n{done.stderr}")
    answer = json.loads(done.stdout)
    if "refused" in answer:
        reason = " ".join(answer["refused"].split())
        raise InputError(f"{path}: LiteRT refuses it ({reason}); the file is corrupt, or needs another runtime")
    return Probe(**answer)
