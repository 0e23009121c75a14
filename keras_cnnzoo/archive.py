"""What a stranger's archive, HDF5 file or folder may not do: unpack beyond memory, or lead to files outside of it."""

import os
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from .errors import InputError

if TYPE_CHECKING:
    import h5py

TEXT = 2**28  # bytes of a .json in an archive, at most
UNREADABLE = (OSError, ValueError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error)
"""What numpy raises over a file that is no .npz, or is broken."""


def memory() -> int:
    """Bytes that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def require_sound(path: Path) -> None:
    """Looks at a network's .keras or .h5 file before it is loaded; what is no such file is left to the reader.

    Raises:
        InputError: as `require_sound_zip` and `require_own_data`.
    """
    import h5py

    try:
        if path.suffix == ".h5":
            with h5py.File(path) as store:
                require_own_data(store, path)
            return
        require_sound_zip(path)
        with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as file, h5py.File(file) as store:
            require_own_data(store, path)
    except InputError:
        raise
    except Exception:  # h5py raises whatever a broken file makes it
        return


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
        InputError: one lies in another file, or all together take more than this machine's memory.
    """
    import h5py

    whole = 0

    def visit(group: "h5py.Group", depth: int) -> None:
        nonlocal whole
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

    visit(store, 64)
    if whole > memory():
        raise InputError(
            f"{path}: its data take {_size(whole)}, this machine has {_size(memory())} of memory; it is not opened"
        )


def require_inside(file: Path, folder: Path) -> Path:
    """The file of a data folder.

    Raises:
        InputError: it is a symbolic link that leads out of the folder.
    """
    if file.is_symlink() and not file.resolve().is_relative_to(folder.resolve()):
        raise InputError(
            f"{file}: a symbolic link that leads out of {folder}, where a data set has no business; copy what it leads "
            f"to (cp -rL {folder} COPY)"
        )
    return file


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
