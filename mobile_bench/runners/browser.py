"""A headless Chromium with one page, and the server on the loopback that this page talks to."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from ...errors import InputError
from ...litertjs import SCRIPT, script

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = "CNNZOO_CHROMIUM"
START_SECONDS = 120
LONGEST_ANSWER = 1 << 28
PAGE = Path(__file__).with_name("web.html")
TYPES = {".js": "text/javascript", ".html": "text/html", ".wasm": "application/wasm"}
FLAGS = (
    "--headless=new", "--no-first-run", "--no-default-browser-check", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--disable-default-apps",
    "--metrics-recording-only", "--mute-audio", "--password-store=basic",
)  # fmt: skip


class Browser:
    """A page that holds one model and does one job at a time.

    Attributes:
        inputs: what the page fetches at the job "inputs", bytes of each tensor.
        outputs: what it posted at the job "outputs", by index.
    """

    def __init__(self, model: Path, modules: Path, settings: dict[str, Any], *, gpu: bool) -> None:
        """Starts it; `started` waits until the page has loaded the model.

        Raises:
            InputError: there is no Chromium.
        """
        program = find_chromium()
        self.model, self.modules, self.settings = model.read_bytes(), modules.resolve(), settings
        self.inputs: list[bytes] = []
        self.outputs: dict[int, bytes] = {}
        self.jobs: Queue[dict[str, Any]] = Queue()
        self.answers: Queue[Any] = Queue()
        self.secret = secrets.token_urlsafe(16)  # other programs of this machine do not know the page's address
        self._server = _serve(self)
        self._profile = tempfile.mkdtemp(prefix="cnnzoo-", dir="/tmp")  # a long path breaks Chromium's sockets
        self._log = Path(self._profile, "stderr.txt")
        address = f"http://127.0.0.1:{self._server.server_port}/{self.secret}/"
        flags = [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else []), *(["--enable-unsafe-webgpu"] if gpu else [])]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, *flags, f"--user-data-dir={self._profile}", address],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True,
            )  # fmt: skip

    def started(self) -> dict[str, Any]:
        """What the page tells of the model.

        Raises:
            RuntimeError: LiteRT.js refuses the file, or the browser does not come up.
        """
        return self._answer(START_SECONDS)

    def ask(self, job: dict[str, Any], *, seconds: float) -> dict[str, Any]:
        """Has the page do a job and waits for its answer.

        Raises:
            RuntimeError: it failed, the browser died, or the time is over.
        """
        self.jobs.put(job)
        return self._answer(seconds)

    def close(self) -> None:
        """Kills the browser and its children and removes what they left."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.jobs.put({"what": "end"})
        self._server.shutdown()
        self._server.server_close()
        shutil.rmtree(self._profile, ignore_errors=True)

    def _answer(self, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(Empty):
                answer = self.answers.get(timeout=0.2)
                if not isinstance(answer, dict):
                    raise RuntimeError("the page answers nonsense")
                if "error" in answer:
                    raise RuntimeError(f"LiteRT.js: {' '.join(str(answer['error']).split())[:300]}")
                return answer
            if self._process.poll() is not None:
                raise RuntimeError(f"Chromium ended with code {self._process.returncode}{self._last_words()}")
        raise RuntimeError(f"the browser did not answer within {seconds:g} s{self._last_words()}")

    def _last_words(self) -> str:
        with suppress(OSError):
            lines = self._log.read_text(errors="replace").strip().splitlines()
            return f" ({' '.join(lines[-1].split())[:200]})" if lines else ""
        return ""


def find_chromium() -> str:
    """The browser's program: that of the environment variable, or the first of PROGRAMS on the path.

    Raises:
        InputError: there is none.
    """
    named = os.environ.get(CHROMIUM)
    for program in [named] if named else PROGRAMS:
        found = shutil.which(program)
        if found:
            return found
    wanted = named or " or ".join(PROGRAMS)
    raise InputError(
        f"no browser: {wanted} is not on the path; install it (apt-get install chromium) or set {CHROMIUM}"
    )


def _serve(browser: Browser) -> "_Server":
    class Handler(_Handler):
        page = browser

    server = _Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


class _Server(ThreadingHTTPServer):
    daemon_threads, block_on_close = True, False

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that is killed closes its connections anyhow; what matters shows in Browser.ask."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    page: Browser

    def do_GET(self) -> None:
        content, suffix = self._find(self._name())
        self._send(404 if content is None else 200, content or b"", TYPES.get(suffix, "application/octet-stream"))

    def do_POST(self) -> None:
        name, length = self._name(), int(self.headers.get("Content-Length") or 0)
        if name is None or length > LONGEST_ANSWER:
            self._send(404, b"", "text/plain")
            return
        body = self.rfile.read(length)
        if name.startswith("output/"):
            self.page.outputs[int(name.removeprefix("output/"))] = body
        elif name == "answer":
            self.page.answers.put(_json(body))
        self._send(204, b"", "text/plain")

    def _name(self) -> str | None:
        before, _, name = self.path.lstrip("/").partition("/")
        return name if secrets.compare_digest(before, self.page.secret) else None

    def _find(self, name: str | None) -> tuple[bytes | None, str]:
        page = self.page
        if name == "":
            return PAGE.read_bytes(), ".html"
        if name == "model.tflite":
            return page.model, ".tflite"
        if name == "settings":
            return json.dumps(page.settings).encode(), ".json"
        if name == "job":
            return json.dumps(page.jobs.get()).encode(), ".json"
        if name and name.startswith("input/"):
            return page.inputs[int(name.removeprefix("input/"))], ".bin"
        if name and name.startswith("modules/"):
            return _module(page.modules, name.removeprefix("modules/"))
        return None, ""

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")  # these two let the page have threads
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        return None


def _module(modules: Path, name: str) -> tuple[bytes | None, str]:
    path = (modules / name).resolve()
    if not path.is_relative_to(modules) or not path.is_file():
        return None, ""
    return script(modules).encode() if name == SCRIPT else path.read_bytes(), path.suffix


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
