"""What a stranger's archive, HDF5 file or folder may not do: unpack beyond memory, or lead to files outside of it."""

import lzma
import os
import tokenize
import zipfile
import zlib
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from .errors import InputError, one_line

if TYPE_CHECKING:
    import h5py

TEXT = 2**28  # bytes of a .json in an archive, at most
UNREADABLE = (
    AttributeError, EOFError, IndexError, KeyError, MemoryError, NotImplementedError, OSError, OverflowError,
    RecursionError, RuntimeError, TypeError, ValueError, lzma.LZMAError, tokenize.TokenError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip
"""What numpy, h5py, zipfile and json raise over broken files."""


def memory() -> int:
    """Bytes that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def require_sound(path: Path) -> None:
    """Looks at a network's .keras or .h5 file before it is loaded; what is no such file is left to the reader.

    Raises:
        InputError: as `require_sound_zip` and `require_own_data`.
    """
    import h5py

    zipped = path.suffix != ".h5"
    if zipped:
        require_sound_zip(path)
    with ExitStack() as opened:
        try:
            file = opened.enter_context(zipfile.ZipFile(path)).open("model.weights.h5") if zipped else path
            store = opened.enter_context(h5py.File(file))
        except Exception:  # h5py raises whatever a broken file makes it
            return
        require_own_data(store, path)


def require_sound_zip(path: Path) -> None:
    """Looks at a .keras or .npz archive before it is unpacked; what is none is left to the reader.

    Raises:
        InputError: its members would take more than this machine's memory, or one is named as if it stood elsewhere.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return
    for member in members:
        name = PurePosixPath(member.filename)
        if name.is_absolute() or ".." in name.parts or "\\" in member.filename:
            raise InputError(f"{path}: its member {member.filename!r} names a place outside of it; it is not opened")
        if name.suffix == ".json" and member.file_size > TEXT:
            raise InputError(f"{path}: its {name} would unpack to {_size(member.file_size)}; it is not opened")
    whole = sum(member.file_size for member in members)
    if whole > memory():
        raise InputError(
            f"{path}: would unpack to {_size(whole)}, this machine has {_size(memory())} of memory; it is not opened"
        )


def require_own_data(store: "h5py.File", path: Path) -> None:
    """Looks at an HDF5 file's data sets before they are read.

    Raises:
        InputError: one lies in another file or is broken, or all together take more than this machine's memory.
    """
    import h5py

    whole, visited = 0, set[int]()

    def visit(group: "h5py.Group", depth: int) -> None:
        nonlocal whole
        address = h5py.h5o.get_info(group.id).addr
        if address in visited:  # hard links may lead to one group by 2^64 ways
            return
        visited.add(address)
        for name in group:
            place = f"{group.name.rstrip('/')}/{name}"
            if isinstance(group.get(name, getlink=True), h5py.ExternalLink | h5py.SoftLink):
                raise InputError(f"{path}: {place} is a link, which may lead to other files; it is not opened")
            item = group[name]
            if isinstance(item, h5py.Dataset):
                if item.external is not None or item.is_virtual:
                    raise InputError(f"{path}: the data of {place} lie in other files; it is not opened")
                whole += item.nbytes
            elif isinstance(item, h5py.Group) and depth:
                visit(item, depth - 1)
            elif not depth:
                raise InputError(f"{path}: {place} lies too deep for a network's weights; it is not opened")

    try:
        visit(store, 64)
    except InputError:
        raise
    except Exception as error:  # h5py raises whatever a broken file makes it
        raise InputError(
            f"{path}: a broken HDF5 file ({one_line(error)[:200]}), not opened; write or fetch it again"
        ) from error
    if whole > memory():
        raise InputError(
            f"{path}: its data take {_size(whole)}, this machine has {_size(memory())} of memory; it is not opened"
        )


def require_inside(file: Path, folder: Path) -> Path:
    """The file of a data folder.

    Raises:
        InputError: it is a symbolic link that leads out of the folder, or in a circle.
    """
    try:
        inside = not file.is_symlink() or file.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:  # Python 3.11 and 3.12 raise over a circle
        raise InputError(f"{file}: a symbolic link that leads nowhere ({error}); remove it") from error
    if not inside:
        raise InputError(
            f"{file}: a symbolic link that leads out of {folder}, where a data set has no business; copy what it leads "
            f"to (cp -rL {folder} COPY)"
        )
    return file


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
