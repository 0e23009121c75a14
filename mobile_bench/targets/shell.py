"""What every board is to the bench: something that runs a shell command and takes a file."""

import os
import re
import secrets
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Protocol

from ...errors import InputError

SECONDS = 60  # for a command that only looks or tidies up
LOOK_SECONDS, MOST_OUTPUT = 0.2, 1 << 24  # how often a command's output is looked at, and how many bytes it may have
FOLDER_NAME = re.compile(r"/[\w./-]{1,200}")


@dataclass(frozen=True)
class Answer:
    """How a command ended: its exit code and what it wrote, decoded with distrust."""

    returncode: int
    output: str
    errors: str


class Shell(Protocol):
    """A board's shell, through a client program of this machine.

    Attributes:
        address: as the user wrote it.
        temporary: the board's folder for what comes and goes.
    """

    address: str
    temporary: str

    def argv(self, command: str) -> list[str]:
        """The client's command line that runs `command` in the board's shell."""
        ...

    def push(self, source: Path, path: str) -> None:
        """Copies a file onto the board.

        Raises:
            InputError: it did not arrive.
        """
        ...

    def complaint(self, errors: str) -> str:
        """Why the client was cut off, read from its messages, as the end of a sentence."""
        ...


def ask(shell: Shell, command: str, *, seconds: float = SECONDS, source: Path | None = None) -> Answer:
    """Runs `command` on the board and waits; the content of `source` is its standard input.

    Raises:
        InputError: the board could not be reached, or did not answer in time.
    """
    marker = secrets.token_hex(8)
    marked = (
        f"{command}\ncode=$?; echo; echo {marker} $code"  # old devices tell no exit code, and a lost one none either
    )
    with source.open("rb") if source else open(os.devnull, "rb") as stdin:  # noqa: PTH123  a device
        answer = client(shell.argv(marked), stdin=stdin.fileno(), seconds=seconds, name=shell.address)
    output, ended, code = answer.output.rpartition(f"\n{marker} ")
    if not ended or re.fullmatch(r"\d{1,3}\s*", code) is None:
        raise InputError(f"{shell.address}: {shell.complaint(answer.errors)}")
    return Answer(int(code), output, answer.errors)


def client(argv: list[str], *, name: str, seconds: float = SECONDS, stdin: int = subprocess.DEVNULL) -> Answer:
    """Runs a client program (ssh, adb) in a process group of its own, which is killed when its time is over."""
    with TemporaryFile() as output, TemporaryFile() as errors:
        process = start(argv, stdin=stdin, stdout=output.fileno(), stderr=errors.fileno())
        try:
            _wait(process, [output, errors], seconds, name)
        finally:
            end(process)
        return Answer(process.returncode, *(text(_content(file)) for file in (output, errors)))


def _wait(process: "subprocess.Popen[bytes]", files: Sequence[IO[bytes]], seconds: float, name: str) -> None:
    """Until it ends; raises InputError when its time is over, or a file is larger than any answer."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_SECONDS)
            return
        if any(os.fstat(file.fileno()).st_size > MOST_OUTPUT for file in files):
            raise InputError(f"{name}: it prints without end; what it says is ignored")
        if time.monotonic() > deadline:
            raise InputError(f"{name}: no answer within {seconds:g} s; is the board up, and the network?")


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(MOST_OUTPUT)


def start(
    argv: list[str], *, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE
) -> "subprocess.Popen[bytes]":
    """The client as a process whose messages are in English.

    Raises:
        InputError: there is no such program.
    """
    environment = os.environ | {"LC_ALL": "C"}
    try:
        return subprocess.Popen(
            argv, stdin=stdin, stdout=stdout, stderr=stderr, env=environment, start_new_session=True
        )
    except FileNotFoundError as error:
        raise InputError(
            f"{argv[0]} is not installed here; install it (apt-get install {_package(argv[0])})"
        ) from error


def end(process: "subprocess.Popen[bytes]") -> None:
    """Kills what is left of the process and its children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def temporary_folder(shell: Shell) -> Iterator[str]:
    """A new folder on the board, removed at the end as far as the board can still be reached.

    Raises:
        InputError: it could not be made.
    """
    marker = secrets.token_hex(8)
    made = ask(shell, f"d=$(mktemp -d {shlex.quote(shell.temporary)}/cnnzoo.XXXXXXXX) && echo {marker} $d")
    path = re.search(rf"{marker} ({FOLDER_NAME.pattern})\s*$", made.output, re.MULTILINE)
    if path is None:
        raise InputError(
            f"{shell.address}: no folder could be made in {shell.temporary} ({_last(made)}); make room there, or see "
            "to its rights"
        )
    try:
        yield path[1]
    finally:
        with suppress(InputError):
            ask(shell, removal(path[1]), seconds=30)


def removal(folder: str) -> str:
    """A command that removes it, though another may be at it too: then a folder fills or empties under rm's hands."""
    return f"rm -rf {folder} || {{ sleep 1; rm -rf {folder}; }}"


def text(raw: bytes) -> str:
    """Bytes of a stranger as text without control characters (tabs and line ends apart)."""
    return re.sub(r"[^\t\n\x20-\x7e\xa0-\U0010ffff]", "", raw.decode("utf-8", "replace"))


def short(words: str, limit: int = 200) -> str:
    """One line of at most `limit` characters."""
    line = " ".join(text(words.encode("utf-8", "replace")).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _last(answer: Answer) -> str:
    lines = (answer.errors or answer.output).strip().splitlines()
    return short(lines[-1]) if lines else f"exit code {answer.returncode}"


def _package(program: str) -> str:
    return {"ssh": "openssh-client"}.get(program, program)
