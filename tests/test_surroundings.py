"""What the machine lacks is said in a sentence with exit code 2. benchmarks/faults.py tries every command."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from subprocess import PIPE

import pytest

from keras_cnnzoo.surroundings import lack_of

CNNZOO = Path(sys.executable).with_name("cnnzoo")
QUIET = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "200"}


def under(fault: str, arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a shell, and where the fault mounts something, in a mount namespace of its own."""
    apart = ["unshare", "-m"] if "mount" in fault else []
    script = f"{fault}; {CNNZOO} {arguments}"
    return subprocess.run([*apart, "bash", "-c", script], env=QUIET, capture_output=True, text=True, check=False)


def may_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
    return tried.returncode == 0


LESS_MEMORY = "ulimit -v 1048576"
NO_PROC = "mount --make-rprivate / && mount -t tmpfs -o ro none /proc"
NO_TEMPORARY = (
    "mount --make-rprivate / && for d in /tmp /var/tmp; do mount -t tmpfs -o ro none $d; done; unset TMPDIR; cd /proc"
)
FAULTS = [
    (LESS_MEMORY, r"memory did not suffice \(.*\); this process may take 1\.1 GB \(ulimit -v\); raise that"),
    (NO_PROC, r"/proc is not mounted, and a library that this command needs died of that \(SIG"),
    (NO_TEMPORARY, "no temporary folder can be written to; set TMPDIR to one that can"),
]


@pytest.mark.parametrize(("fault", "words"), FAULTS, ids=["memory", "proc", "temporary"])
def test_what_is_lacking_is_said_and_what_needs_none_of_it_works(fault: str, words: str) -> None:
    if "mount" in fault and not may_mount():
        pytest.skip("no right to mount anything here")
    assert under(fault, "list --json").returncode == 0
    target = Path.cwd() / f"plot-{os.getpid()}.svg"  # what stands below /tmp, as tmp_path, is taken away
    done = under(fault, f"plot resnet20 -o {target} --quiet")
    assert not target.exists()
    assert done.returncode == 2, done.stderr[-2000:]
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert re.search(words, line), line


@pytest.mark.parametrize("closed", ["exec 2>&-", "exec >&- 2>&-"])
def test_closed_outputs_do_not_disturb(closed: str) -> None:
    assert under(closed, "list").returncode == 0


def test_an_error_is_said_of_a_path_of_any_bytes() -> None:
    done = under("true", r"plot resnet20 -o $'[/v2]\\[x]\xff.png'")
    assert done.returncode == 2
    assert done.stderr.startswith("error: [/v2]\\[x]\\udcff.png: the picture is an SVG file; name it so"), done.stderr


PATIENT = """
    import signal, sys, time, typer
    from keras_cnnzoo.console import run
    app = typer.Typer()

    @app.command()
    def wait(said: str):
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            print("ready", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            time.sleep(1)  # longer than subprocess.run gives a child after Ctrl-C
            print("saved", flush=True)
            raise KeyboardInterrupt(said) if said else KeyboardInterrupt

    run(app)
"""


@pytest.mark.parametrize("limited", [False, True], ids=["free", "ulimit"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("said", ["interrupted after step 3", ""], ids=["own", "none"])
def test_a_command_that_is_interrupted_ends_its_work_and_says_so(
    limited: bool, number: signal.Signals, said: str, tmp_path: Path
) -> None:
    (tmp_path / "wait.py").write_text(textwrap.dedent(PATIENT))
    limit = "ulimit -v 500000000; " if limited else ""
    command = ["bash", "-c", f'{limit}exec "$0" "$@"', sys.executable, str(tmp_path / "wait.py"), said]
    child = subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True, env=QUIET, start_new_session=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    if number == signal.SIGINT:
        os.killpg(child.pid, number)  # as a terminal does
    else:
        child.send_signal(number)
    out, error = child.communicate(timeout=30)
    assert (out, child.returncode) == ("saved\n", 130)
    assert error.strip() == (said or "interrupted; nothing half-written was left behind")


def test_only_what_the_machine_lacks_is_told_so() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/data/x")
    assert lack_of(full) == "/data/x: No space left on device; make room to write there"
    assert "close other programs" in str(lack_of(MemoryError("Unable to allocate 9 GiB")))
    for other in (OSError(errno.ENOENT, "No such file"), ValueError("x"), ImportError("no module named x")):
        assert lack_of(other) is None
