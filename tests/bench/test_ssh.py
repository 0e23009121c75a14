"""A board over ssh: a real client, a real server of the test's own on the loopback."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from getpass import getuser
from pathlib import Path

import pytest

from keras_cnnzoo import InputError
from keras_cnnzoo.mobile_bench.events import Block, Event, Failed, Probed, Seen
from keras_cnnzoo.mobile_bench.order import Configuration, Order
from keras_cnnzoo.mobile_bench.targets import Settings, ssh, target

MakeModel = Callable[..., Path]
SSHD = Path("/usr/sbin/sshd")
pytestmark = pytest.mark.skipif(
    not SSHD.exists() or shutil.which("ssh") is None,
    reason="no ssh server and client here: apt-get install openssh-server openssh-client",
)


class Board:
    """A folder with all that a server needs, and the server while it runs.

    Attributes:
        address: for `--target`.
        config: for `--ssh-config`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.config = folder, folder / "ssh_config"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"ssh://{getuser()}@127.0.0.1:{self.port}"
        for name in ("hostkey", "id"):
            self.new_key(name)
        shutil.copy(folder / "id.pub", folder / "authorized_keys")
        self.write_client("accept-new")

    def new_key(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name], check=True)

    def write_client(self, checking: str) -> None:
        known = self.folder / "known_hosts"
        self.config.write_text(
            f"Host *\n IdentityFile {self.folder / 'id'}\n IdentitiesOnly yes\n UserKnownHostsFile {known}\n"
            f" GlobalKnownHostsFile /dev/null\n StrictHostKeyChecking {checking}\n"
        )

    @contextmanager
    def running(self, *further: str) -> Iterator["Board"]:
        """The server up, with `further` lines in its configuration."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        lines = [
            f"Port {self.port}", "ListenAddress 127.0.0.1", f"HostKey {self.folder / 'hostkey'}", "PidFile none",
            f"AuthorizedKeysFile {self.folder / 'authorized_keys'}", "PasswordAuthentication no",
            "KbdInteractiveAuthentication no", "UsePAM no", "StrictModes no", "PermitRootLogin prohibit-password",
            *further,
        ]  # fmt: skip
        (self.folder / "sshd_config").write_text("\n".join(lines) + "\n")
        command = [SSHD, "-D", "-f", self.folder / "sshd_config", "-E", self.folder / "log"]
        self.server = subprocess.Popen(command, start_new_session=True)
        try:
            self._wait()
            yield self
        finally:
            self.kill_sessions()
            self.server.terminate()
            self.server.wait()

    def _wait(self) -> None:
        for _ in range(100):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)
        raise RuntimeError((self.folder / "log").read_text())

    def kill_sessions(self) -> None:
        """Every connection dies, as when the board's network does."""
        for child in children(self.server.pid):
            for process in (*children(child), child):  # the privileged half and, where there is one, the user's
                with suppress(FileNotFoundError, ProcessLookupError):
                    if Path(f"/proc/{process}/comm").read_text().startswith("sshd"):
                        os.kill(process, signal.SIGKILL)


def children(process: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sshd")


@pytest.fixture(scope="module")
def board(folder: Path) -> Iterator[Board]:
    with Board(folder).running() as running:
        yield running


@pytest.fixture
def order(model: Path) -> Order:
    return Order((Configuration(model, "litert"),), runs=40)


def settings(board: Board, python: str | None = sys.executable) -> Settings:
    return Settings(remote_python=python, ssh_config=str(board.config))


def refusal(board: Board, order: Order, python: str | None = sys.executable) -> str:
    with pytest.raises(InputError) as caught:
        list(target(board.address, settings(board, python)).measure(order))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(board.address)
    return str(caught.value)


def left_behind() -> set[Path]:
    return set(Path("/tmp").glob("cnnzoo.????????"))


def follow(board: Board, order: Order, taken: list[Event], after_each: Callable[[], object]) -> None:
    for event in target(board.address, settings(board)).measure(order):
        taken.append(event)
        after_each()


def blocks(events: list[Event]) -> list[Block]:
    return [event for event in events if isinstance(event, Block)]


def test_what_the_board_measures_arrives_event_by_event(board: Board, model: Path, make_model: MakeModel) -> None:
    before, corrupt = left_behind(), make_model("corrupt.tflite")
    corrupt.write_bytes(corrupt.read_bytes()[:3000])
    order = Order((Configuration(model, "litert"), Configuration(corrupt, "litert")), runs=30)
    events = list(target(board.address, settings(board)).measure(order))
    assert isinstance(events[0], Seen)
    assert events[0].environment["machine"] == os.uname().machine
    (probed,) = (event for event in events if isinstance(event, Probed))
    assert (probed.configuration, probed.description["operators"]) == (0, {"CONV_2D": 2, "ADD": 1})
    assert sum(len(block.durations_ns) for block in blocks(events)) == 30
    (failed,) = (event for event in events if isinstance(event, Failed))
    assert failed.configuration == 1
    assert failed.reason.startswith(f"{corrupt}: ")
    assert left_behind() == before


def test_a_connection_lost_in_the_middle_loses_nothing_and_the_rest_is_measured_later(
    board: Board, order: Order
) -> None:
    taken: list[Event] = []
    slow = Order((*order.configurations,), runs=40_000, block=4)  # so that it is still at work when it is cut off
    before = left_behind()
    with pytest.raises(InputError, match=r"the connection was lost .*; what it measured before is kept"):
        follow(board, slow, taken, lambda: len(blocks(taken)) == 3 and board.kill_sessions())
    done = tuple(block.round for block in blocks(taken))
    assert done[:3] == (0, 1, 2)
    assert left_behind() == before
    few = Order(order.configurations, runs=40, done={0: done[:3]})
    assert [block.round for block in blocks(list(target(board.address, settings(board)).measure(few)))] == [
        *range(3, 10)
    ]


def test_python_killed_on_the_board_is_said(board: Board, order: Order) -> None:
    slow, taken = Order(order.configurations, runs=40_000, block=4), []
    with pytest.raises(InputError, match=r"Python was killed there.*kept"):
        follow(board, slow, taken, lambda: blocks(taken) and kill_agents())
    assert blocks(taken)


def kill_agents() -> None:
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        words = process.read_bytes().split(b"\0") if process.exists() else []
        if len(words) > 2 and words[1].endswith(b"/bundle.pyz") and words[0] == sys.executable.encode():
            os.kill(int(process.parent.name), signal.SIGKILL)


def test_noise_of_a_login_is_told_apart(order: Order, tmp_path: Path) -> None:
    noisy = Board(tmp_path)
    shout = tmp_path / "shout"
    shout.write_text('echo "Welcome! {\\"event\\": \\"block\\"}"\nprintf "no line end"\neval "$SSH_ORIGINAL_COMMAND"\n')
    with noisy.running(f"ForceCommand sh {shout}"):
        events = list(target(noisy.address, settings(noisy)).measure(order))
    assert sum(len(block.durations_ns) for block in blocks(events)) == 40


def test_a_changed_host_key_is_refused(tmp_path: Path, order: Order) -> None:
    board = Board(tmp_path)
    with board.running():
        assert "there is no" in refusal(board, order, "/no/python")
    board.new_key("hostkey")
    with board.running():
        assert "host key has changed, so it is refused" in refusal(board, order)


def test_an_unknown_host_key_is_refused_where_the_user_s_configuration_says_so(tmp_path: Path, order: Order) -> None:
    board = Board(tmp_path)
    board.write_client("yes")
    with board.running():
        assert "host key is not known; connect once by hand" in refusal(board, order)


def test_a_key_that_is_not_let_in_is_said(tmp_path: Path, order: Order) -> None:
    board = Board(tmp_path)
    board.new_key("id")
    with board.running():
        assert "ssh-copy-id" in refusal(board, order)


def test_a_board_that_is_off_is_said(tmp_path: Path, order: Order) -> None:
    assert "refuses the connection" in refusal(Board(tmp_path), order)


def test_a_connection_that_hangs_is_given_up(tmp_path: Path, order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "CONNECT_SECONDS", 1)
    board = Board(tmp_path)
    with socket.create_server(("127.0.0.1", board.port)):
        assert "no answer within 1 s" in refusal(board, order)


def python_that(tmp_path: Path, setup: str) -> str:
    """A Python on the board with something wrong."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{setup}\n")
    program.chmod(0o755)
    return str(program)


def test_a_board_without_python_or_packages_is_said(board: Board, order: Order, tmp_path: Path) -> None:
    assert "there is no /no/python; install Python 3 there" in refusal(board, order, "/no/python")
    bare = python_that(tmp_path, f'exec {sys.executable} -I -S "$@"')
    words = refusal(board, order, bare)
    assert "has no ai_edge_litert; install it there (pip install ai-edge-litert)" in words
    assert "--install" in words


def test_a_wheel_for_another_architecture_is_said(board: Board, order: Order, tmp_path: Path) -> None:
    package = tmp_path / "ai_edge_litert"
    package.mkdir()
    (package / "__init__.py").write_text("from . import native")
    arm64 = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\xb7\x00" + bytes(200)  # e_machine 183
    (package / "native.so").write_bytes(arm64)
    other = python_that(tmp_path, f'PYTHONPATH={tmp_path} exec {sys.executable} "$@"')
    assert "a wheel for another architecture" in refusal(board, order, other)


def test_a_python_that_is_too_old_is_said(board: Board, order: Order, tmp_path: Path) -> None:
    old = python_that(tmp_path, 'echo "$3 [[3, 7], \\"armv7l\\", {}]"')
    assert "is Python 3.7, older than 3.1" in refusal(board, order, old)


@pytest.mark.parametrize(
    "address",
    ["ssh://", "ssh://-oProxyCommand=touch", "ssh://a b", "ssh://host:0", "ssh://host:70000", "ssh://user:word@host",
     "ssh://host/folder", "ssh://-l@host", "ssh://host;ls", "ssh://$(ls)"],
)  # fmt: skip
def test_what_is_no_address_is_refused_before_ssh_sees_it(address: str) -> None:
    with pytest.raises(InputError, match="write ssh://user@host"):
        target(address, Settings())


def test_an_ssh_configuration_that_is_not_there_is_said() -> None:
    with pytest.raises(InputError, match="there is no such ssh configuration"):
        target("ssh://board", Settings(ssh_config="/no/config"))


def test_tuning_measures_on_the_board(board: Board, tmp_path: Path) -> None:
    """The zoo's networks are lowered here and timed there; nothing stays behind."""
    layers = pytest.importorskip("keras").layers
    import keras
    from typer.testing import CliRunner

    from keras_cnnzoo.cli import app

    image, before = keras.Input((16, 16, 4)), left_behind()
    pooled = layers.AveragePooling2D(2)(layers.Conv2D(4, 1)(layers.ReLU()(layers.ZeroPadding2D(1)(image))))
    keras.Model(image, pooled).save(tmp_path / "small.keras")
    there = ["--target", board.address, "--ssh-config", str(board.config), "--remote-python", sys.executable]
    command = ["tune", str(tmp_path / "small.keras"), "--budget", "1s", "--json", "--quiet", *there]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    (first, *_) = json.loads(result.stdout)["trials"]
    assert first["low"] <= first["ratio"] <= first["high"]
    assert left_behind() == before
    refused = CliRunner().invoke(app, [*command, "--remote-python", "no-such-python"])
    assert str(refused.exception).startswith(board.address)
