"""Where runners run: this machine, a board over ssh, a phone over adb; chosen by the address's scheme."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

from ...errors import InputError
from ..events import Event
from ..order import Order


@dataclass(frozen=True)
class Settings:
    """What concerns targets other than this machine; each takes what it needs.

    Attributes:
        install: put what is missing into a temporary folder over there.
        remote_python: the command over there; None is python3.
        benchmark_model: an executable of TensorFlow Lite's benchmark tool for the device, to be pushed there.
        ssh_config: in place of the user's own.
    """

    install: bool = False
    remote_python: str | None = None
    benchmark_model: str | None = None
    ssh_config: str | None = None


TAKERS = {
    "install": {"ssh", "adb"},
    "remote_python": {"ssh", "adb"},
    "benchmark_model": {"adb"},
    "ssh_config": {"ssh"},
}
"""Of each setting, the schemes of the targets that have a use for it."""


class Target(Protocol):
    """A place to measure at; its class is called with the address and the settings, and connects to nothing yet.

    Attributes:
        address: as the user gave it; without passwords.
    """

    address: str

    def measure(self, order: Order) -> Iterator[Event]:
        """Measures, telling each event as soon as it is known.

        A configuration that fails is an event. Where the target itself fails, be it in the middle, an InputError is
        raised, in one sentence: the caller keeps what was told before, and may come back with `order.done`.
        """
        ...


SCHEMES = {"local": ("local", "Local"), "ssh": ("ssh", "Ssh"), "adb": ("adb", "Adb")}
"""Scheme to the module here and the class in it."""


def target(address: str, settings: Settings | None = None) -> Target:
    """The target at `local`, `ssh://user@host[:port]` or `adb://serial`.

    Raises:
        InputError: another scheme, or an address that its class refuses.
    """
    scheme = address.split("://")[0]
    if scheme not in SCHEMES or (scheme == "local") != (address == scheme):
        raise InputError(f"target {address!r}: give local, ssh://user@host[:port] or adb://serial")
    module, name = SCHEMES[scheme]
    found: Target = getattr(import_module(f".{module}", __name__), name)(address, settings or Settings())
    return found
