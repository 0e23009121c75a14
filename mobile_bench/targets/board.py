"""Measures on a board that has a Python: one file with the bench's code goes over, events come back line by line."""

import json
import re
import secrets
import shlex
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from queue import Empty, Queue
from typing import IO, Any

from ...errors import InputError
from ..events import LONGEST_LINE, Event, Failed, Profiled, decode
from ..order import Configuration, Order
from ..runners import RUNNERS
from . import Settings
from .bundle import bundle
from .shell import SECONDS, Answer, Shell, ask, end, removal, short, start, temporary_folder, text

OLDEST = (3, 10)
INSTALL_SECONDS = 900
SILENCE_SECONDS = 600  # between two events: a block of a slow network on a slow board
LONGEST_WORDS = 1 << 16  # bytes of a line on standard error
KEPT = "what it measured before is kept"
MOST_NOISE, MOST_HEARD = 1 << 20, 1 << 30  # bytes that are no events, and of events: some thirty million calls

LOOK = """\
import importlib, json, os, platform, sys
errors = {}
backends = [module for module in sys.argv[2:] if module in ("jax", "tensorflow", "torch")]
if backends: os.environ["KERAS_BACKEND"] = backends[0]
for module in sys.argv[2:]:
    try: importlib.import_module(module)
    except Exception as error: errors[module] = type(error).__name__ + ": " + str(error)
print(sys.argv[1], json.dumps([list(sys.version_info[:2]), platform.machine(), errors]))
"""


def measure_with_python(shell: Shell, order: Order, settings: Settings) -> Iterator[Event]:
    """Runs the order on the board, see targets.Target.measure.

    Raises:
        InputError: the board cannot be reached, has no Python with the packages needed, or is lost in the middle.
    """
    packages = needed(order.configurations)
    with temporary_folder(shell) as folder, tempfile.TemporaryDirectory() as here:
        python = settings.remote_python or "python3"
        if settings.install:
            python = _install(shell, python, folder, packages)
        _check_python(shell, python, packages, installed=settings.install)
        artifacts = dict.fromkeys(c.artifact for c in order.configurations)
        moved = {path: Path(f"{folder}/{index}{path.suffix}") for index, path in enumerate(artifacts)}
        sent = {"bundle.pyz": bundle(), "order.json": order.with_artifacts(moved).to_json().encode()}
        for name, content in sent.items():
            (Path(here) / name).write_bytes(content)
            shell.push(Path(here) / name, f"{folder}/{name}")
        for path, there in moved.items():
            shell.push(path, str(there))
        yield from _listen(shell, python, folder, len(order.configurations), _names_back(moved), silence(order))


def needed(configurations: Sequence[Configuration]) -> list[str]:
    """Modules that the board's Python must have; Keras is nothing without the backend that is asked for."""
    packages = {(RUNNERS[c.runner].package or "numpy").split(".")[0] for c in configurations}
    backends = {str(c.options.get("backend", "tensorflow")) for c in configurations if c.runner == "keras"}
    return sorted(packages | backends | {"numpy"})


def silence(order: Order) -> float:
    """Seconds between two events, at most: loading a model tells none."""
    return max(SILENCE_SECONDS, *(RUNNERS[c.runner].patience + SECONDS for c in order.configurations))


def _names_back(moved: dict[Path, Path]) -> dict[str, str]:
    return {str(there): str(path) for path, there in moved.items()}


def _check_python(shell: Shell, python: str, packages: list[str], *, installed: bool) -> None:
    marker = secrets.token_hex(8)
    command = shlex.join([python, "-c", LOOK, marker, *packages])
    answer = ask(shell, command)
    found = re.search(rf"{marker} (\[.*)$", answer.output, re.MULTILINE)
    if found is None:
        raise InputError(f"{shell.address}: {_no_python(python, answer)}")
    version, machine, errors = _looked(found[1], shell)
    if version < OLDEST:
        raise InputError(
            f"{shell.address}: its {python} is Python {version[0]}.{version[1]}, older than "
            f"{OLDEST[0]}.{OLDEST[1]}; name a newer one by --remote-python"
        )
    for module, error in errors.items():
        if error.startswith("ModuleNotFoundError") and not installed:
            raise InputError(
                f"{shell.address}: its {python} has no {module}; install it there (pip install "
                f"{module.replace('_', '-')}), name another Python by --remote-python, or give --install, which puts "
                "it into a temporary folder"
            )
        raise InputError(
            f"{shell.address}: {module} cannot be loaded there, on {machine} ({short(error)}); it is a wheel for "
            "another architecture or another Python"
        )


def _no_python(python: str, answer: Answer) -> str:
    if answer.returncode in (126, 127):
        return f"there is no {python}; install Python 3 there, or name it by --remote-python"
    lines = answer.errors.strip().splitlines() or [f"exit code {answer.returncode}"]
    return f"its {python} does not run ({short(lines[-1])}); name another by --remote-python"


def _looked(line: str, shell: Shell) -> tuple[tuple[int, int], str, dict[str, str]]:
    try:
        (major, minor), machine, errors = json.loads(line)
        if not all(isinstance(number, int) for number in (major, minor)) or not isinstance(errors, dict):
            raise ValueError("not as expected")
        return (major, minor), short(str(machine), 40), {short(str(k)): short(str(v)) for k, v in errors.items()}
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"{shell.address}: its Python answers nonsense ({short(line, 60)}); name another by --remote-python"
        ) from error


def _install(shell: Shell, python: str, folder: str, packages: list[str]) -> str:
    """A virtual environment in the temporary folder; returns its Python."""
    inside = f"{folder}/venv/bin/python"
    names = [package.replace("_", "-") for package in packages]
    command = f"{shlex.join([python, '-m', 'venv', f'{folder}/venv'])} && " + shlex.join(
        [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir", *names]
    )
    answer = ask(shell, command, seconds=INSTALL_SECONDS)
    if answer.returncode != 0:
        lines = [line for line in (answer.errors + answer.output).splitlines() if line.strip()] or ["no reason given"]
        told = next((line for line in lines if "error" in line.lower()), lines[-1])
        raise InputError(
            f"{shell.address}: {', '.join(names)} could not be installed there ({short(told)}); install them there "
            "yourself, or name another Python by --remote-python"
        )
    return inside


def _listen(
    shell: Shell, python: str, folder: str, configurations: int, names: dict[str, str], seconds: float
) -> Iterator[Event]:
    """The agent's events; the board's shell removes the folder when the agent ends, a lost connection included."""
    marker = secrets.token_hex(16)
    agent = shlex.join([python, f"{folder}/bundle.pyz", marker, f"{folder}/order.json"])
    process = start(shell.argv(f"trap '{removal(folder)}' EXIT HUP TERM; {agent}; echo {marker} exit $?"))
    assert process.stdout is not None
    assert process.stderr is not None
    lines: Queue[bytes] = Queue(maxsize=16)
    errors: deque[bytes] = deque(maxlen=20)
    threads = [
        threading.Thread(target=_read, args=(process.stdout, lines.put, LONGEST_LINE), daemon=True),
        threading.Thread(target=_read, args=(process.stderr, errors.append, LONGEST_WORDS), daemon=True),
    ]
    for thread in threads:
        thread.start()
    heard = noise = 0
    try:
        while line := _next(lines, shell, seconds):
            _, _, content = text(line).partition(f"{marker} ")
            if content.startswith("{") and (heard := heard + len(line)) < MOST_HEARD:
                yield _named(_decoded(shell, content.strip(), configurations), names)
            elif content.startswith("exit"):
                threads[1].join(5)
                _check_end(shell, content.split()[-1], text(b"".join(errors)))
                return
            else:
                noise += len(line)
                if noise > MOST_NOISE or heard >= MOST_HEARD:
                    raise InputError(f"{shell.address}: it prints without end; what it says is ignored")
        threads[1].join(5)
        raise InputError(f"{shell.address}: {shell.complaint(text(b''.join(errors)))}; {KEPT}")
    finally:
        end(process)


def _read(stream: IO[bytes], take: Any, longest: int) -> None:
    """Hands on each line, cut where it is longer; an empty one is the end."""
    while line := stream.readline(longest):
        take(line)
    take(b"")


def _next(lines: "Queue[bytes]", shell: Shell, seconds: float) -> bytes:
    try:
        return lines.get(timeout=seconds)
    except Empty as error:
        raise InputError(f"{shell.address}: nothing was heard of it for {seconds:g} s; it hangs") from error


def _check_end(shell: Shell, code: str, errors: str) -> None:
    """Raises InputError where the agent did not come to its end."""
    if code == "0":
        return
    lines = errors.strip().splitlines() or [f"exit code {short(code, 20)}"]
    why = "was killed there, perhaps for want of memory" if code == "137" else f"died there ({short(lines[-1])})"
    raise InputError(f"{shell.address}: Python {why}; {KEPT}")


def _decoded(shell: Shell, line: str, configurations: int) -> Event:
    try:
        return decode(line, configurations)
    except InputError as error:
        raise InputError(f"{shell.address}: it says what is {short(str(error), 400)}; measure it again") from error


def _named(event: Event, names: dict[str, str]) -> Event:
    """What a reader is told with the artifacts' paths here in place of those there."""
    if isinstance(event, Failed):
        return replace(event, reason=_here(event.reason, names))
    if isinstance(event, Profiled) and event.missing is not None:
        return replace(event, missing=_here(event.missing, names))
    return event


def _here(sentence: str, names: dict[str, str]) -> str:
    for there, here in names.items():
        sentence = sentence.replace(there, here)
    return short(sentence, 400)
