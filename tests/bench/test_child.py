"""A process of its own takes the blow, and nothing that it started outlives it."""

import os
import signal
import subprocess
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from keras_cnnzoo import InputError
from keras_cnnzoo.mobile_bench import child
from keras_cnnzoo.mobile_bench.child import CrashError, ask

PROGRAM = """
import json, os, signal, subprocess, sys, time
from keras_cnnzoo import InputError
from keras_cnnzoo.mobile_bench.child import answer

def work(question):
    if question["what"] == "hang":
        started = subprocess.Popen(["sleep", "600"], start_new_session=question["apart"])
        open(question["file"], "w").write(str(started.pid))
        try:
            time.sleep(600)
        finally:
            started.kill()
    print("what a library prints", end="")
    if question["what"] == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if question["what"] == "trace":
        raise AssertionError("a fault of ours")
    if question["what"] == "refuse":
        raise {"input": InputError, "value": ValueError}[question["kind"]]("no such thing\\n\\x1b[31mred")
    return {"answer": 42}

answer(work)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "a_child_of_the_tests.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return "a_child_of_the_tests"


def test_the_answer_is_told_from_what_a_library_prints(module: str) -> None:
    assert ask(module, '{"what": "answer"}') == {"answer": 42}


def test_refusals_and_deaths_are_told_apart(module: str) -> None:
    with pytest.raises(InputError, match="no such thing"):
        ask(module, '{"what": "refuse", "kind": "input"}')
    with pytest.raises(RuntimeError, match=r"no such thing \[31mred"):
        ask(module, '{"what": "refuse", "kind": "value"}')
    with pytest.raises(CrashError) as died:
        ask(module, '{"what": "die"}')
    assert died.value.signal == signal.SIGSEGV
    with pytest.raises(CrashError, match="AssertionError: a fault of ours"):
        ask(module, '{"what": "trace"}')


@pytest.mark.parametrize("apart", ["true", "false"])
def test_what_it_started_ends_with_it(module: str, tmp_path: Path, apart: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process group of its own too, as a browser is."""
    file = tmp_path / "pid"

    def communicate(process: "subprocess.Popen[str]", question: str, timeout: float) -> None:
        assert process.stdin is not None
        process.stdin.write(question)
        process.stdin.close()
        while not (file.exists() and file.read_text()):
            assert process.poll() is None
            time.sleep(0.05)
        raise subprocess.TimeoutExpired("", timeout)

    monkeypatch.setattr(subprocess.Popen, "communicate", communicate)
    with pytest.raises(TimeoutError):
        ask(module, f'{{"what": "hang", "apart": {apart}, "file": "{file}"}}', seconds=1)
    assert gone(int(file.read_text()))


def gone(process: int) -> bool:
    for _ in range(100):
        state = Path(f"/proc/{process}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def test_boards_of_python_3_10_get_no_flag_that_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    for flags, expected in (
        (SimpleNamespace(safe_path=False), ["-P", "-m", "module"]),
        (SimpleNamespace(safe_path=True), ["-P", "-m", "module"]),  # of python -P or -I, which a child does not inherit
        (SimpleNamespace(), ["-m", "module"]),
    ):
        monkeypatch.setattr(child.sys, "flags", flags)
        assert child.command("module")[1:] == expected


def test_sigterm_unwinds_the_stack() -> None:
    before, closed = signal.getsignal(signal.SIGTERM), []

    def be_ended() -> None:
        with closing(SimpleNamespace(close=lambda: closed.append(True))):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)

    child.end_in_order()
    try:
        with pytest.raises(SystemExit) as ended:
            be_ended()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (ended.value.code, closed) == (143, [True])
