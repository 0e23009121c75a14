"""An Android device over adb, through Android's own client.

Android has no Python: a `benchmark_model` executable that the user names is pushed, or a Python on the device is used.
Tried with Debian's adb against a stand-in for the device's end; never on a phone.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from ...errors import InputError
from ..events import Event
from ..order import Order
from . import Settings
from .benchmark_model import measure_with_benchmark_model
from .board import measure_with_python
from .shell import client, short

ADDRESS = re.compile(r"adb://(?P<serial>\w[\w.:-]*)/?")
PUSH_SECONDS = 600
STATES = {
    "unauthorized": "it does not trust this computer yet; confirm on its screen",
    "offline": "it is offline; plug it in anew, or adb reconnect",
    "no permissions": "this user may not open it; see the udev rules of adb",
}


class Adb:
    """The target `adb://serial`."""

    temporary = "/data/local/tmp"

    def __init__(self, address: str, settings: Settings) -> None:
        parts = ADDRESS.fullmatch(address)
        if parts is None:
            raise InputError(f"target {address!r}: write adb://serial, as adb devices shows it")
        if settings.benchmark_model is None and settings.remote_python is None:
            raise InputError(
                f"target {address!r}: Android has no Python; name a benchmark_model executable for it by "
                "--benchmark-model FILE, or a Python on the device by --remote-python"
            )
        if settings.benchmark_model is not None and not Path(settings.benchmark_model).is_file():
            raise InputError(
                f"{settings.benchmark_model}: there is no such file; name TensorFlow Lite's benchmark_model"
            )
        self.address, self.settings, self.serial = address, settings, parts["serial"]

    def measure(self, order: Order) -> Iterator[Event]:
        """See targets.Target."""
        self._check_attached()
        if self.settings.benchmark_model is not None:
            return measure_with_benchmark_model(self, order, Path(self.settings.benchmark_model))
        return measure_with_python(self, order, self.settings)

    def argv(self, command: str) -> list[str]:
        return ["adb", "-s", self.serial, "shell", command]

    def push(self, source: Path, path: str) -> None:
        argv = ["adb", "-s", self.serial, "push", str(source), path]
        answer = client(argv, name=self.address, seconds=PUSH_SECONDS)
        if answer.returncode != 0:
            why = short((answer.errors or answer.output)[-200:])
            raise InputError(
                f"{self.address}: {source.name} could not be written there ({why}); make room in {self.temporary}"
            )

    def complaint(self, errors: str) -> str:
        return f"the device is gone ({short(errors[-200:]) or 'adb gives no reason'})"

    def _check_attached(self) -> None:
        listed = client(["adb", "devices"], name=self.address)
        states = dict(re.findall(r"^(\S+)\t(.+?)\s*$", listed.output, re.MULTILINE))
        state = states.get(self.serial)
        if listed.returncode != 0:
            raise InputError(f"{self.address}: adb does not run ({short(listed.errors[-200:])}); try adb devices")
        if state is None:
            known = ", ".join(f"{serial} ({state})" for serial, state in states.items()) or "none"
            connect = f"; a device over the network comes by adb connect {self.serial}" if ":" in self.serial else ""
            raise InputError(f"{self.address}: no device has this serial; attached: {short(known)}{connect}")
        for known, what in STATES.items():
            if state.startswith(known):
                raise InputError(f"{self.address}: {what}")
