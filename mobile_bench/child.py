"""Work on a model in a process of its own, which takes the blow where a corrupt file crashes a runtime."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..errors import InputError

LAST_SECONDS = 5  # to close a browser, which has a process group of its own
BROKEN = (InputError, ValueError, RuntimeError, OSError, MemoryError, ImportError)  # what a runner may raise


class CrashError(Exception):
    """The process died: by `signal`, or with a traceback, of which this is the last line, where that is 0."""

    def __init__(self, reason: str, killed_by: int) -> None:
        super().__init__(reason)
        self.signal = killed_by


def command(module: str) -> list[str]:
    """Runs a module in this Python; what lies in the working folder is not imported (boards' Python 3.10 has no -P)."""
    return [sys.executable, *(["-P"] if hasattr(sys.flags, "safe_path") else []), "-m", module]


def ask(module: str, question: str, *, seconds: float | None = None) -> dict[str, Any]:
    """What a module's `answer` says to a question; nothing that it started outlives it.

    Raises:
        InputError: it refused, in a sentence.
        RuntimeError: so did its software.
        CrashError: it died.
        TimeoutError: it did not come back in time.
    """
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command(module), stdin=pipe, stdout=pipe, stderr=pipe, text=True, errors="replace", start_new_session=True
    )
    try:
        output, errors = process.communicate(question, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error
    finally:
        _end(process)
    if process.returncode != 0:
        said = errors.strip().splitlines() or [f"exit code {process.returncode}"]
        raise CrashError(printable(said[-1]), max(0, -process.returncode))
    told: dict[str, Any] = json.loads(output.splitlines()[-1])
    if "refused" in told:
        raise (InputError if told["sentence"] else RuntimeError)(told["refused"])
    return told


def answer(work: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """The other end of `ask`, which its module calls as the main program."""
    end_in_order()
    try:
        told = work(json.loads(sys.stdin.read()))
    except BROKEN as error:
        told = {"refused": reason_of(error), "sentence": isinstance(error, InputError)}
    print(f"\n{json.dumps(told)}")


def reason_of(error: BaseException) -> str:
    """What an error says, or else its name."""
    return printable(str(error)) or type(error).__name__


def printable(text: str) -> str:
    """On one line and without control characters: a file may be quoted in it, and a terminal would obey them."""
    return "".join(filter(str.isprintable, " ".join(text.split())))


def end_in_order() -> None:
    """From now on SIGTERM unwinds the stack, so that what was opened is closed."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def _end(process: "subprocess.Popen[str]") -> None:
    """Lets it close what it opened, then kills what is left of its group."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(LAST_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
