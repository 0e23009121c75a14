"""A Linux board over ssh, through the system's own client: its keys, its configuration, its known hosts."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from ...errors import InputError
from ..events import Event
from ..order import Order
from . import Settings
from .board import measure_with_python
from .shell import ask, short

FORM = "ssh://user@host or ssh://user@host:port"
ADDRESS = re.compile(
    r"ssh://(?:(?P<user>\w[\w.-]*)@)?(?P<host>\w[\w.-]*|\[[0-9A-Fa-f:.%\w]+\])(?::(?P<port>\d{1,5}))?/?"
)
CONNECT_SECONDS = 10
PUSH_SECONDS = 600

REASONS = {
    r"REMOTE HOST IDENTIFICATION HAS CHANGED": "its host key has changed, so it is refused: either the board was set "
    "up anew (then forget the old key with ssh-keygen -R), or another machine answers in its place",
    r"Host key verification failed": "its host key is not known; connect once by hand with ssh and compare the key",
    r"Permission denied": "it lets no one in without a password; put your public key there (ssh-copy-id)",
    r"Could not resolve hostname": "no such host is known; check the name",
    r"Connection refused": "it refuses the connection; is its ssh server running, on this port?",
    r"No route to host|Network is unreachable": "there is no way to it; is the board up, and the network?",
    r"Bad configuration option|no argument after keyword|missing argument": "ssh refuses its configuration",
    r"during banner exchange|timed out|Timeout": "no answer within {seconds} s; is the board up?",
}


class Ssh:
    """The target `ssh://user@host[:port]`: runs the bench's own code in a Python over there."""

    temporary = "/tmp"

    def __init__(self, address: str, settings: Settings) -> None:
        parts = ADDRESS.fullmatch(address)
        if parts is None or not 0 < int(parts["port"] or 22) < 1 << 16:
            raise InputError(f"target {address!r}: write {FORM} (the port up to 65535, no password, no folder)")
        config = settings.ssh_config
        if config is not None and not Path(config).is_file():
            raise InputError(f"{config}: there is no such ssh configuration; leave --ssh-config out to use your own")
        self.address, self.settings = address, settings
        self._destination = [
            *(["-p", parts["port"]] if parts["port"] else []),
            *(["-l", parts["user"]] if parts["user"] else []),
            "--", parts["host"].strip("[]"),
        ]  # fmt: skip

    def measure(self, order: Order) -> Iterator[Event]:
        """See targets.Target."""
        return measure_with_python(self, order, self.settings)

    def argv(self, command: str) -> list[str]:
        settings = [
            "BatchMode=yes", f"ConnectTimeout={CONNECT_SECONDS}", "ServerAliveInterval=5", "ServerAliveCountMax=3",
            "ClearAllForwardings=yes", "RequestTTY=no", "LogLevel=ERROR",
        ]  # fmt: skip
        config = ["-F", str(self.settings.ssh_config)] if self.settings.ssh_config else []
        words = [*config, *(f"-o{setting}" for setting in settings), *self._destination]
        return ["ssh", *words, f"exec sh -c {shlex.quote(command)}"]

    def push(self, source: Path, path: str) -> None:
        """Through `cat`: neither scp nor sftp has to be there (dropbear has none)."""
        answer = ask(self, f"cat > {shlex.quote(path)}", source=source, seconds=PUSH_SECONDS)
        if answer.returncode != 0:
            raise InputError(
                f"{self.address}: {source.name} could not be written there ({short(answer.errors)}); make room in "
                f"{self.temporary}"
            )

    def complaint(self, errors: str) -> str:
        for pattern, reason in REASONS.items():
            if re.search(pattern, errors):
                return reason.format(seconds=CONNECT_SECONDS)
        return f"the connection was lost ({short(errors[-300:]) or 'ssh gives no reason'})"
