"""Files are written whole or not at all."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError

FULL = os.strerror(errno.ENOSPC)


@contextmanager
def replacing(path: str | os.PathLike[str], *, force: bool = True) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, and vanishes when it does not.

    Args:
        path: where the file shall stand; missing folders are made.
        force: replace a file that stands there already.

    Raises:
        InputError: `path` exists and `force` is false, or it cannot be written.
    """
    path = Path(path)
    refuse_overwrite(path, force=force)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise InputError(
            f"{path}: could not be written ({error.strerror or error}); make room there, or choose another folder"
        ) from error
    except Exception as error:  # TensorFlow has errors of its own
        if FULL not in str(error):
            raise
        raise InputError(f"{path}: could not be written ({FULL}); make room there, or choose another folder") from error
    finally:
        temporary.unlink(missing_ok=True)


def write(path: str | os.PathLike[str], content: str | bytes, *, force: bool = True) -> Path:
    """Writes `content` to `path` whole or not at all, and returns the path. Errors are those of `replacing`.

    Text is UTF-8, with "?" for what of a file's name is none.
    """
    with replacing(path, force=force) as temporary:
        temporary.write_bytes(content.encode(errors="replace") if isinstance(content, str) else content)
    return Path(path)


def refuse_overwrite(path: str | os.PathLike[str], *, force: bool) -> None:
    """Raises InputError where `path` could not be written; ask before work that takes long."""
    path = Path(path)
    try:
        folder, there = path.is_dir(), path.exists()
        above = next(parent for parent in path.absolute().parents if parent.exists())
        open_above = above.is_dir() and os.access(above, os.W_OK)
    except OSError as error:  # a name too long, or a folder of another user's
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another name or folder") from error
    if folder or (there and not force):
        what = "is a folder; name a file" if folder else "exists already; give --force to replace it"
        raise InputError(f"{path}: {what}")
    if not open_above:
        raise InputError(f"{path}: {above} cannot be written to; choose another folder")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
