"""An Android device over Debian's own adb client. The device is a stand-in: its end of adb's protocol in Python, and a
`benchmark_model` that prints what the real one prints. Neither shows how a phone behaves."""

import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from keras_cnnzoo import InputError
from keras_cnnzoo.mobile_bench.events import Block, Event, Failed, Probed, Seen, Warmed, decode, encode
from keras_cnnzoo.mobile_bench.order import Configuration, Order
from keras_cnnzoo.mobile_bench.targets import Settings, target
from keras_cnnzoo.mobile_bench.targets.benchmark_model import read_run

MakeModel = Callable[..., Path]
needs_adb = pytest.mark.skipif(shutil.which("adb") is None, reason="no adb here: apt-get install adb")


class Device:
    """The device's end of adb: CNXN, OPEN, OKAY, WRTE, CLSE; shell version 2 and sync.

    Attributes:
        folder: takes the place of /data/local/tmp.
        commands: that its shell ran.
        dies_at: a piece of a command at which it is unplugged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.commands, self.dies_at = folder, [], ""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.serial = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                _Link(self, self.listener.accept()[0]).start()


class _Link(threading.Thread):
    """One connection of the adb server; each stream on it does one thing."""

    def __init__(self, device: Device, connection: socket.socket) -> None:
        super().__init__(daemon=True)
        self.device, self.connection = device, connection
        self.lock, self.streams = threading.Lock(), {}

    def run(self) -> None:
        with suppress(OSError, EOFError):
            while True:
                command, remote, _, length, *_ = struct.unpack("<4s5I", self._exactly(24))
                data = self._exactly(length)
                if command == b"CNXN":
                    self.send(b"CNXN", 0x01000001, 1 << 18, b"device::ro.product.model=Stub;features=shell_v2,cmd")
                elif command == b"OPEN":
                    self.streams[remote] = _Stream(self, remote, data.rstrip(b"\0").decode())
                elif remote in self.streams:
                    self.streams[remote].take(command, data)

    def send(self, command: bytes, first: int, second: int, data: bytes = b"") -> None:
        (number,) = struct.unpack("<I", command)
        with self.lock:
            head = struct.pack("<4s5I", command, first, second, len(data), sum(data), number ^ 0xFFFFFFFF)
            self.connection.sendall(head + data)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.connection.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data


class _Stream:
    def __init__(self, link: _Link, remote: int, service: str) -> None:
        self.link, self.remote, self.buffer = link, remote, b""
        self.acknowledged = threading.Semaphore(0)
        link.send(b"OKAY", remote, remote)
        self.file: tuple[Path, list[bytes]] | None = None
        if service.startswith("shell,v2"):
            threading.Thread(target=self._shell, args=(service.split(":", 1)[1],), daemon=True).start()

    def take(self, command: bytes, data: bytes) -> None:
        if command == b"OKAY":
            self.acknowledged.release()
        elif command == b"WRTE":
            self.link.send(b"OKAY", self.remote, self.remote)
            self.buffer += data
            self._sync()
        elif command == b"CLSE":
            self.link.streams.pop(self.remote, None)

    def write(self, data: bytes) -> None:
        self.link.send(b"WRTE", self.remote, self.remote, data)
        self.acknowledged.acquire()

    def _shell(self, command: str) -> None:
        device = self.link.device
        device.commands.append(command)
        if device.dies_at and device.dies_at in command:
            self.link.connection.shutdown(socket.SHUT_RDWR)
            return
        inside = command.replace("/data/local/tmp", str(device.folder))
        done = subprocess.run(["sh", "-c", inside], capture_output=True, check=False, stdin=subprocess.DEVNULL)
        with suppress(OSError):
            for kind, data in ((1, done.stdout), (2, done.stderr), (3, bytes([done.returncode & 255]))):
                if data:
                    self.write(struct.pack("<BI", kind, len(data)) + data)
            self.link.send(b"CLSE", self.remote, self.remote)

    def _sync(self) -> None:
        while len(self.buffer) >= 8:
            command, length = struct.unpack("<4sI", self.buffer[:8])
            body = b"" if command == b"DONE" else self.buffer[8 : 8 + length]
            if command != b"DONE" and len(body) < length:
                return
            self.buffer = self.buffer[8 + len(body) :]
            if command == b"STAT":
                self.link.send(b"WRTE", self.remote, self.remote, struct.pack("<4s3I", b"STAT", 0, 0, 0))
            elif command == b"SEND":
                self.file = (Path(body.decode().rsplit(",", 1)[0]), [])
            elif command == b"DATA" and self.file:
                self.file[1].append(body)
            elif command == b"DONE" and self.file:
                self.file[0].write_bytes(b"".join(self.file[1]))
                self.link.send(b"WRTE", self.remote, self.remote, struct.pack("<4sI", b"OKAY", 0))
            elif command == b"QUIT":
                self.link.send(b"CLSE", self.remote, self.remote)


def adb(*words: str) -> str:
    return subprocess.run(["adb", *words], capture_output=True, text=True, timeout=60, check=False).stdout


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    with pytest.MonkeyPatch.context() as patch, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        patch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        stub = Device(tmp_path_factory.mktemp("device"))
        try:
            assert "connected" in adb("connect", stub.serial)
            yield stub
        finally:
            adb("kill-server")


def events_of(device: Device, order: Order, settings: Settings) -> list[Event]:
    return list(target(f"adb://{device.serial}", settings).measure(order))


@needs_adb
def test_benchmark_model_s_text_becomes_events(
    device: Device, program: Path, model: Path, make_model: MakeModel
) -> None:
    short = make_model("short.tflite")
    short.write_bytes(short.read_bytes()[:3000])
    configurations = [
        Configuration(model, "litert", 1),
        Configuration(model, "litert", 2),
        Configuration(short, "litert"),
    ]
    events = events_of(device, Order(tuple(configurations), runs=40), Settings(benchmark_model=str(program)))
    lines = [encode(event) for event in events]
    assert [encode(decode(line, 3)) for line in lines] == lines  # they are what a journal takes
    assert isinstance(events[0], Seen)
    probed = [event for event in events if isinstance(event, Probed)]
    assert probed[0].cost == {"peak_bytes": 12_500_000, "load_ns": 21_300_000, "first_ns": 9_000_000}
    assert probed[0].description["partitions"] == 2
    assert "the mean of one run" in probed[0].description["notes"][0]
    assert [event.steady for event in events if isinstance(event, Warmed)] == [None, None]  # nobody looked
    for index, expected in ((0, 2_000_000), (1, 1_250_000)):
        taken = [event for event in events if isinstance(event, Block) and event.configuration == index]
        assert [block.durations_ns.tolist() for block in taken] == [[expected]] * 10
        assert [block.round for block in taken] == list(range(10))
    (failed,) = (event for event in events if isinstance(event, Failed))
    assert (failed.configuration, failed.reason.startswith(f"{short}: benchmark_model ended with code 1")) == (2, True)
    assert list(device.folder.iterdir()) == []


@needs_adb
def test_a_python_on_the_device_measures_call_by_call(device: Device, model: Path) -> None:
    order = Order((Configuration(model, "litert"),), runs=20)
    events = events_of(device, order, Settings(remote_python=sys.executable))
    assert sum(len(event.durations_ns) for event in events if isinstance(event, Block)) == 20
    assert list(device.folder.iterdir()) == []


@needs_adb
def test_an_unknown_serial_is_said_with_those_attached(device: Device, program: Path, model: Path) -> None:
    order = Order((Configuration(model, "litert"),))
    with pytest.raises(InputError, match=rf"no device has this serial; attached: {device.serial} \(device\)"):
        list(target("adb://R58M123", Settings(benchmark_model=str(program))).measure(order))


def unplug_after(number: int, device: Device, events: Iterator[Event], taken: list[Event]) -> None:
    for event in events:
        taken.append(event)
        if isinstance(event, Block) and event.round == number:
            device.dies_at = "benchmark_model"


@needs_adb
def test_a_device_unplugged_in_the_middle_keeps_what_was_measured(device: Device, program: Path, model: Path) -> None:
    order, taken = Order((Configuration(model, "litert"),), runs=400), []
    try:
        with pytest.raises(InputError, match="the device is gone"):
            unplug_after(
                2,
                device,
                target(f"adb://{device.serial}", Settings(benchmark_model=str(program))).measure(order),
                taken,
            )
    finally:
        device.dies_at = ""
        adb("disconnect", device.serial)
        adb("connect", device.serial)
    assert [event.round for event in taken if isinstance(event, Block)] == [0, 1, 2]


def test_what_android_cannot_do_alone_is_said(program: Path) -> None:
    with pytest.raises(InputError, match="Android has no Python; name a benchmark_model"):
        target("adb://R58M123", Settings())
    with pytest.raises(InputError, match="there is no such file"):
        target("adb://R58M123", Settings(benchmark_model="/no/benchmark_model"))
    for address in ("adb://", "adb://-s", "adb://a b", "adb://a;ls"):
        with pytest.raises(InputError, match="write adb://serial"):
            target(address, Settings(benchmark_model=str(program)))


def test_without_adb_it_is_said(model: Path, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="adb is not installed here; install it"):
        list(
            target("adb://R58M123", Settings(benchmark_model=str(program))).measure(
                Order((Configuration(model, "litert"),))
            )
        )


COUNT = "count=50 first=1 curr=2 min=1 max=9 avg=1.24027e+06 std=4"
TIMINGS = "Inference timings in us: Init: 5579, First inference: 1357602, Warmup (avg): 1.3576e+06, Inference (avg): 2"


def test_its_numbers_may_be_scientific_prefixed_or_of_one_call() -> None:
    assert read_run(f"{COUNT}\n{TIMINGS}").mean_ns == 1_240_270_000
    assert read_run(f"INFO: {COUNT} p5=1 median=2 p95=3\nINFO: {TIMINGS}").load_ns == 5_579_000
    single = read_run(f"count=1 curr=77\n{TIMINGS}")
    assert (single.mean_ns, single.first_ns, single.partitions) == (77_000, 1_357_602_000, None)
    assert read_run(f"Overall peak memory footprint (MB): 1.5\n{COUNT}\n{TIMINGS}").peak_bytes == 1_500_000
    assert read_run(f"the model graph will be completely executed by the delegate\n{COUNT}\n{TIMINGS}").partitions == 1


@pytest.mark.parametrize(
    "wrong",
    ["", COUNT, TIMINGS, *(COUNT.replace("1.24027e+06", number) + TIMINGS for number in ("-3", "e.", "1e400"))]
    + [f"Peak memory footprint (MB): {number}\n{COUNT}\n{TIMINGS}" for number in ("1e999", "1e300", "-1e999")],
)
def test_text_without_believable_numbers_is_no_run(wrong: str) -> None:
    with pytest.raises(ValueError, match=re.compile("timings|microseconds|convert|MB")):
        read_run(wrong)


@pytest.mark.parametrize("words", ["count=1 ", "Peak memory footprint (MB) "])
def test_a_long_line_takes_no_longer_than_it_is(words: str) -> None:
    began = time.monotonic()
    assert read_run(f"{COUNT}\n{TIMINGS}\n{words * 20_000}").peak_bytes is None
    assert time.monotonic() - began < 5
