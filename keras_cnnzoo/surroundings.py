"""What a machine may lack, which no command can make up for: memory, /proc, a temporary folder, space on a disk.

It shows in whatever a framework raises, or in a framework's death; here it becomes a sentence.
"""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

from .errors import InputError

CHILD = "CNNZOO_CHILD"
NO_MEMORY = "failed to map segment", "Cannot allocate memory", "can't start new thread", "OOM when allocating"


def lack_of(error: BaseException) -> str | None:
    """What the machine lacked, in a sentence; None where the error says something else."""
    lines = str(error).splitlines()
    telling = next((line.strip() for line in lines if any(words in line for words in NO_MEMORY)), None)
    if telling is not None or isinstance(error, MemoryError):
        limit = _memory_limit()
        may = f"this process may take {limit / 1e9:.1f} GB (ulimit -v); raise that" if limit else "close other programs"
        return f"memory did not suffice ({(telling or ' '.join(lines))[:200]}); {may}, or take a larger machine"
    if isinstance(error, FileNotFoundError) and "No usable temporary directory" in str(error):
        return "no temporary folder can be written to; set TMPDIR to one that can"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return (
            f"{error.filename or 'a temporary folder (TMPDIR, /dev/shm)'}: {error.strerror}; make room to write there"
        )
    return None


def run_apart_where_frameworks_die() -> None:
    """Ends this process with what a child of it came to, where a framework would abort without a word.

    TensorFlow aborts where /proc is not mounted, and often where memory is limited: commands that need no framework do
    their work there all the same.

    Raises:
        InputError: the child died of it.
    """
    found = _peril()
    if found is None or CHILD in os.environ:
        return
    peril, cure = found
    code = _outcome([sys.executable, *sys.orig_argv[1:]])
    if -code in (signal.SIGINT, signal.SIGTERM):
        sys.exit(128 - code)
    if code < 0:
        death = f"a library that this command needs died of that ({signal.Signals(-code).name})"
        raise InputError(f"{peril}, and {death}; {cure}")
    sys.exit(code)


def _outcome(command: list[str]) -> int:
    """A child's return code, however long it takes to end after a signal."""
    signal.signal(signal.SIGINT, lambda *_: None)  # which a terminal sends to the child as well
    child = subprocess.Popen(command, env=os.environ | {CHILD: "1"})
    signal.signal(signal.SIGTERM, lambda *_: child.send_signal(signal.SIGTERM))
    return child.wait()


def _peril() -> tuple[str, str] | None:
    """What a framework may die of here, and its cure."""
    if sys.platform != "linux":
        return None
    if not Path("/proc/self").exists():
        return "/proc is not mounted", "mount it"
    limit = _memory_limit()
    return (f"this process may take {limit / 1e9:.1f} GB of memory (ulimit -v)", "raise that") if limit else None


def _memory_limit() -> int | None:
    """Bytes of address space that this process may take; None where there is no limit, or none is known."""
    if sys.platform != "linux":
        return None
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit
