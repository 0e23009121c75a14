"""Every event of a measurement in a file, a line each as it happens: a kill loses no sample, and it can go on."""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
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
        """Tells target and event of every line, then opens the file to go on; a torn last line is dropped."""
        if self.path is None:
            return
        try:
            text = self.path.read_text() if self.path.exists() else ""
            lines = text.split("\n")[:-1]
            if lines and lines[0] != self.header:
                raise InputError(f"{self.path}: it is of another measurement; name a new file, or repeat that command")
            for line in lines[1:]:
                target, _, event = line.partition("\t")
                add(int(target), decode(event, self.configurations))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text("".join(f"{line}\n" for line in lines or [self.header]))
            self.file = self.path.open("a")
        except (OSError, ValueError, IndexError) as error:
            raise (
                error if isinstance(error, InputError) else InputError(f"{self.path}: not a journal ({error})")
            ) from error

    def add(self, target: int, event: Event) -> None:
        """Writes a line and sees it to the system."""
        if self.file is not None:
            print(target, encode(event), sep="\t", file=self.file, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.file is not None:
            self.file.close()
