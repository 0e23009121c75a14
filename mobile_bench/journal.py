"""Every event of a measurement in a file, a line each as it happens: a kill loses no sample, and it can go on."""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import TextIO

from ..errors import InputError
from .events import Event, decode, encode
from .order import Order

VERSION = 1


class Journal(AbstractContextManager["Journal"]):
    """The file at `path`, or nothing where that is None.

    Args:
        path: it is made where it is not there; else what it holds was measured already.
        targets: addresses; events name them by their index.
        order: of the measurement, the same for all targets.
        sha256: of the artifacts, so that a journal is not continued with other files.

    Raises:
        InputError: the file is not a journal, or one of another measurement.
    """

    def __init__(self, path: Path | None, targets: Sequence[str], order: Order, sha256: Sequence[str]) -> None:
        self.path, self.configurations = path, len(order.configurations)
        self.file: TextIO | None = None
        header = {"journal": VERSION, "targets": list(targets), "order": order.to_json(), "sha256": list(sha256)}
        self.header = json.dumps(header)

    def replay(self, add: Callable[[int, Event], None]) -> None:
        """Tells target and event of every line, then opens the file to go on; a torn last line is cut off."""
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            content = self.path.read_bytes() if self.path.exists() else b""
            whole = content.rfind(b"\n") + 1
            self._tell(content[:whole], content[whole:], add)
            with self.path.open("ab") as file:
                file.truncate(whole)
            self.file = self.path.open("a")
            if not whole:
                print(self.header, file=self.file, flush=True)
        except OSError as error:
            raise InputError(
                f"{self.path}: it cannot be read or written ({error.strerror}); name another file"
            ) from error

    def _tell(self, whole: bytes, torn: bytes, add: Callable[[int, Event], None]) -> None:
        try:
            header, *lines = whole.decode().split("\n")[:-1] or [torn.decode()]
        except UnicodeDecodeError as error:
            raise InputError(f"{self.path}: it is no journal ({error}); name a new file") from error
        if header != self.header and not (not whole and self.header.startswith(header)):
            raise InputError(f"{self.path}: {self._other(header)}; name a new file, or repeat the command that made it")
        for number, line in enumerate(lines, 2):
            target, _, event = line.partition("\t")
            try:
                add(int(target), decode(event, self.configurations))
            except (ValueError, IndexError) as error:
                raise InputError(f"{self.path}: its line {number} is damaged ({error}); name a new file") from error

    def _other(self, header: str) -> str:
        return "a journal of another measurement" if header.startswith('{"journal": ') else "it is no journal"

    def add(self, target: int, event: Event) -> None:
        """Writes a line and sees it to the system.

        Raises:
            InputError: it cannot be written.
        """
        if self.file is None:
            return
        try:
            print(target, encode(event), sep="\t", file=self.file, flush=True)
        except OSError as error:
            raise InputError(
                f"{self.path}: it cannot be written any more ({error.strerror}); make room there and repeat the "
                "command, which goes on from it"
            ) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.file is not None:
            with suppress(OSError):  # a line of which `add` has told that it cannot be written
                self.file.close()
