"""Checkpoints from where they are published into a cache: resumed, hash-checked, whole or not at all.

CNNZOO_HOME     the cache's folder; ~/.cache/keras_cnnzoo without it. It may be shared and filled beforehand.
CNNZOO_OFFLINE  1: nothing is fetched; what is missing is an error that says where it belongs. 0, as without it: it is.
CNNZOO_MIRRORS  prefixes and what replaces them: "https://a.example/=https://b.example/a/ ..."
"""

import base64
import contextlib
import fcntl
import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import InputError
from .catalogue import Checkpoint

Step = Callable[[int, int | None], object]
"""Told the bytes that are here and those of the whole file, where the server says."""

CHUNK, PATIENCE, TRIES = 1 << 20, 30, 3  # bytes a read; seconds without any; connections
SERVER = "server"
WHOLE = re.compile(r"[0-9a-f]{64}|md5:[0-9a-f]{32}")  # what a server says, or `sha256sum`


def home() -> Path:
    """The cache's folder."""
    return Path(os.environ.get("CNNZOO_HOME") or Path.home() / ".cache" / "keras_cnnzoo")


def cached(row: Checkpoint) -> Path:
    """Where a checkpoint's file stands once it is here."""
    suffix = ".safetensors" if row.url.endswith(".safetensors") else Path(row.url).suffix
    return home() / "weights" / row.origin / f"{row.network}-{row.name}{suffix}"


def fetch(row: Checkpoint, step: Step = lambda done, total: None) -> Path:
    """The checkpoint's file, fetched where it is not in the cache; its hash has been checked, now as well.

    Raises:
        InputError: offline, unreachable, another content than was published, or a place that cannot be written; nothing
            is then left under its name.
    """
    path = cached(row)
    if path.is_file():  # of a cache, perhaps, that is not ours to write to
        _require_hash(path, _expected(row, path), row)
        return path
    if _offline():
        raise InputError(
            f"{row.spec} is not here and CNNZOO_OFFLINE=1; fetch {row.url} to {path}{_vouching(row, path)}"
        )
    with _alone(path):
        if not path.is_file():
            _fetch_alone(row, path, step)
    return path


def _offline() -> bool:
    said = os.environ.get("CNNZOO_OFFLINE") or "0"
    if said not in ("0", "1"):
        raise InputError(f"CNNZOO_OFFLINE={said}: expected 1 (nothing is fetched) or 0")
    return said == "1"


def _fetch_alone(row: Checkpoint, path: Path, step: Step) -> None:
    part = path.with_name(path.name + ".part")
    told = _download(_mirrored(row.url), part, step)
    expected = told if row.hash == SERVER else row.hash
    if expected is None:
        part.unlink(missing_ok=True)
        raise InputError(
            f"{row.url}: the server does not say its hash, so the file cannot be trusted; set other CNNZOO_MIRRORS, or "
            f"fetch it to {path}{_vouching(row, path)}"
        )
    _require_hash(part, expected, row)
    if row.hash == SERVER:
        _sidecar(path).write_text(expected)
    part.replace(path)


def fetch_shown(row: Checkpoint, *, shown: bool = True) -> Path:
    """`fetch` with a bar on standard error where the file has to come first."""
    if cached(row).is_file():
        return fetch(row)
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from ..console import hidden, terminal

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, TimeRemainingColumn(), console=terminal(stderr=True), disable=hidden(shown)) as bar:
        task = bar.add_task(f"fetch {row.network} {row.spec}", total=None)
        return fetch(row, lambda done, total: bar.update(task, completed=done, total=total))


def require_published(row: Checkpoint) -> None:
    """Raises InputError where the cached file is not what was published, or nothing says what was; it stays."""
    path = cached(row)
    _require_hash(path, _expected(row, path), row, keep=True)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time fetches a file; the others wait and find it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(path.name + ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise InputError(
            f"{path.parent}: cannot be written to ({error.strerror}); set CNNZOO_HOME elsewhere"
        ) from error


def _download(url: str, part: Path, step: Step) -> str | None:
    """Fills `part`, going on where it ends; returns the hash that the server names, if it does."""
    fault: Exception | None = None
    for _ in range(TRIES):
        try:
            return _continue(url, part, step)
        except InputError:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: a mirror that is no address
            fault = error
            if isinstance(error, urllib.error.HTTPError) and error.code not in (408, 416, 429, 500, 502, 503, 504):
                break
            if isinstance(error, urllib.error.HTTPError) and error.code == 416:
                part.unlink(missing_ok=True)  # what is here is no beginning of that file
    reason = getattr(fault, "reason", None) or fault
    raise InputError(
        f"{url}: could not be fetched ({reason}); what came stays, so the next try goes on from there, or set "
        "CNNZOO_MIRRORS"
    ) from fault


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Remembers the hash that a hub names where it sends on to the storage that knows none."""

    told: str | None = None

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        self.told = self.told or _named_hash(headers)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _continue(url: str, part: Path, step: Step) -> str | None:
    begun = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={begun}-"} if begun else {})
    redirects = _Redirects()
    with urllib.request.build_opener(redirects).open(request, timeout=PATIENCE) as answer:
        begun = begun if answer.status == 206 else 0
        length = answer.headers.get("Content-Length")
        total = None if length is None else begun + int(length)
        done = begun
        _write(part, b"", "ab" if begun else "wb")
        while block := answer.read(CHUNK):
            _write(part, block)
            done += len(block)
            step(done, total)
        if total is not None and done < total:
            raise ConnectionError(f"the connection ended after {done:,} of {total:,} bytes")
        return redirects.told or _named_hash(answer.headers)


def _write(part: Path, block: bytes, mode: str = "ab") -> None:
    try:
        with part.open(mode) as file:
            file.write(block)
    except OSError as error:  # which is no fault of the network's
        raise InputError(
            f"{part}: could not be written ({error.strerror}); make room there, or set CNNZOO_HOME elsewhere"
        ) from error


def _named_hash(headers: Any) -> str | None:
    """A hub that stores files by their SHA-256 says it as an entity tag, a storage service their MD5 (base64)."""
    for header in ("X-Linked-Etag", "ETag"):
        match = re.fullmatch(r'"?([0-9a-f]{64})"?', headers.get(header) or "")
        if match:
            return match[1]
    told = re.search(r"md5=([A-Za-z0-9+/]{22}==)", ", ".join(headers.get_all("X-Goog-Hash", [])))
    return f"md5:{base64.b64decode(told[1]).hex()}" if told else None


def _mirrored(url: str) -> str:
    for rule in os.environ.get("CNNZOO_MIRRORS", "").split():
        prefix, _, instead = rule.partition("=")
        if not instead:
            raise InputError(
                f"CNNZOO_MIRRORS: {rule!r} replaces nothing; write https://a.example/=https://b.example/a/"
            )
        if url.startswith(prefix):
            return instead + url.removeprefix(prefix)
    return url


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _vouching(row: Checkpoint, path: Path) -> str:
    """How to say the hash of a file that came by other ways, where only the server knows it."""
    return f" and write what `sha256sum {path.name}` says to {_sidecar(path)}" if row.hash == SERVER else ""


def _expected(row: Checkpoint, path: Path) -> str:
    if row.hash != SERVER:
        return row.hash
    try:
        told = _sidecar(path).read_text().split()[0].lower()
    except (OSError, IndexError, UnicodeDecodeError):
        told = ""
    if not WHOLE.fullmatch(told):
        raise InputError(
            f"{path}: nothing says its hash; delete it, and it is fetched anew, or trust it{_vouching(row, path)}"
        )
    return told


def _require_hash(path: Path, expected: str, row: Checkpoint, *, keep: bool = False) -> None:
    kind, digest = expected.split(":") if ":" in expected else ("sha256", expected)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, kind).hexdigest()
    if not digest or not found.startswith(digest):
        deleted = not keep and _deleted(path)
        raise InputError(
            f"{path}: its {kind.upper()} begins {found[: max(8, len(digest))]}, not {digest or '(unknown)'} as "
            f"published ({row.url}); {'it was deleted' if deleted else 'delete it'}, try again or another mirror"
        )


def _deleted(path: Path) -> bool:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True
