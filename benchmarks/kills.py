"""SIGKILL at random instants of export, training, download, bench and lab: what is left, and what the next start does.

    python benchmarks/kills.py --count 50 [--kind export train ...] [--keep FOLDER]

Each command runs once to its end, which says how long it takes and what it makes. Then it is killed, with all its
children, at an instant drawn evenly from that time or, every other time, from its last fifth, in which files are
written. What then stands under a final name must be whole; the same command, started again, must end with what the
unbroken run made, and of a measurement with every sample that was on disk. Exit code 1 where anything was wrong. The
checkpoint that is downloaded comes from a slow server on the loopback and needs --checkpoint, akamaster's
resnet20-12fca82f.th.
"""

import argparse
import csv
import hashlib
import http.server
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Facts = dict[str, Any]
SLOW = 65_536, 0.05  # bytes a write, and seconds between two


@dataclass(frozen=True)
class Attacked:
    """A command, what must be whole at any instant, and what it must come to.

    Args:
        command: of a folder that the run has for itself.
        whole: raises where a file under its final name is not whole.
        made: what the finished run came to, the same for each; numbers with a point to a thousandth, since TensorFlow
            adds up in another order in each run.
        kept: what a killed run had on disk that the next one may not lose, as a number.
    """

    command: Callable[[Path], list[str]]
    whole: Callable[[Path], None]
    made: Callable[[Path], Facts]
    kept: Callable[[Path], int] = lambda folder: 0


def tool(name: str, *arguments: object) -> list[str]:
    """The installed command of this environment."""
    return [str(Path(sys.executable).with_name(name)), *map(str, arguments)]


def attacks(shared: Path, mirror: str) -> dict[str, Attacked]:
    """By name; `shared` holds what prepare() made."""
    return {
        "export": Attacked(
            lambda folder: tool(
                "cnnzoo-export", "resnet20", "--set", "classes=4", "--weights", shared / "w.safetensors",
                "--preprocess", "torch", "--quantize", "int8", "--calibration", shared / "data.npz",
                "-o", folder / "m.tflite", "--quiet", "--force",
            ),
            whole_export,
            lambda folder: {"sha256": digest(folder / "m.tflite")},
        ),
        "train": Attacked(
            lambda folder: tool(
                "cnnzoo", "train", "resnet20", "--data", shared / "data.npz", "--recipe", "resnet_cifar",
                "--epochs", 4, "--batch", 16, "--out", folder, "--quiet", "--json",
            ),
            whole_training,
            curve,
        ),
        "download": Attacked(
            lambda folder: [
                "env", f"CNNZOO_HOME={folder}", f"CNNZOO_MIRRORS=https://github.com/={mirror}",
                *tool("cnnzoo", "weights", "download", "resnet20", "akamaster:cifar10", "--quiet"),
            ],
            lambda folder: None,
            lambda folder: {file.name: digest(file) for file in folder.rglob("*.th")},
        ),
        "bench": Attacked(
            lambda folder: tool(
                "cnnzoo-bench", "measure", shared / "m.tflite", "--runs", 4000, "--resume",
                folder / "journal.jsonl", "--json", folder / "report.json", "--quiet", "--force",
            ),
            whole_report,
            lambda folder: {"calls": calls(folder / "report.json")},
            samples,
        ),
        "lab": Attacked(
            lambda folder: tool(
                "cnnzoo", "lab", "gradient-flow", "--preset", "quick", "--data", shared / "data.npz",
                "--out", folder, "--quiet",
            ),
            whole_lab,
            lambda folder: {"cells": len(lines(folder / "gradient-flow" / "cells.jsonl"))},
            lambda folder: len(lines(folder / "gradient-flow" / "cells.jsonl")),
        ),
    }  # fmt: skip


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def whole_export(folder: Path) -> None:
    if (folder / "m.tflite").exists():
        card = json.loads((folder / "m.tflite.json").read_text())
        assert card["artifact"]["sha256"] == digest(folder / "m.tflite"), "the card is of another file"


def whole_training(folder: Path) -> None:
    from safetensors.numpy import load

    for file in folder.glob("*.safetensors"):
        load(file.read_bytes())
    for file in folder.glob("*.json"):
        json.loads(file.read_text())


def curve(folder: Path) -> Facts:
    """All but the time that it took."""
    with (folder / "curves.csv").open() as file:
        return {
            f"{row['epoch']} {k}": float(v) for row in csv.DictReader(file) for k, v in row.items() if k != "seconds"
        }


def alike(one: Facts, other: Facts) -> bool:
    return one.keys() == other.keys() and all(
        math.isclose(a, b, rel_tol=1e-3) if isinstance(a, float) else a == b
        for a, b in zip(one.values(), other.values(), strict=True)
    )


def whole_report(folder: Path) -> None:
    if (folder / "report.json").exists():
        json.loads((folder / "report.json").read_text())


def calls(report: Path) -> int:
    (measured,) = json.loads(report.read_text())["measurements"]
    return sum(len(block) for block in measured["samples"]["durations_ns"])


def samples(folder: Path) -> int:
    """That the journal holds; its last line may be torn."""
    journal = folder / "journal.jsonl"
    told = journal.read_text().split("\n")[1:-1] if journal.exists() else []
    events = [json.loads(line.partition("\t")[2]) for line in told]
    return sum(len(event["durations_ns"]) for event in events if event["event"] == "block")


def whole_lab(folder: Path) -> None:
    for file in folder.rglob("*.json"):
        json.loads(file.read_text())
    lines(folder / "gradient-flow" / "cells.jsonl")
    for page in folder.rglob("*.html"):
        assert page.read_text().rstrip().endswith("</html>"), f"{page.name} is cut off"


def prepare(shared: Path) -> None:
    """Weights, pictures and files to measure, small."""
    import keras

    import keras_cnnzoo
    from keras_cnnzoo.export import Origin, to_tflite
    from keras_cnnzoo.preprocessing import PRESETS

    keras.utils.set_random_seed(0)
    model = keras_cnnzoo.create("resnet20", classes=4)
    keras_cnnzoo.save_weights(model, shared / "w.safetensors")
    rng = np.random.default_rng(0)
    labels = np.arange(160) % 4
    pictures = rng.integers(0, 128, (160, 32, 32, 3)) + 32 * labels[:, None, None, None]
    np.savez(shared / "data.npz", images=pictures.astype(np.uint8), labels=labels)
    model.save(shared / "m.keras")
    origin = Origin(preprocessing=PRESETS["torch"], labels=["a", "b", "c", "d"])
    to_tflite(model, shared / "m.tflite", origin=origin)
    normalized = PRESETS["torch"](pictures.astype(np.uint8))
    to_tflite(model, shared / "m8.tflite", quantize="int8", calibration=normalized, origin=origin)


class Slow(http.server.BaseHTTPRequestHandler):
    """Serves one file a piece at a time, from where the client wants it."""

    content = b""

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "bytes=0-")
        start = int(asked.removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(len(self.content) - start))
        self.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        self.end_headers()
        for at in range(start, len(self.content), SLOW[0]):
            try:
                self.wfile.write(self.content[at : min(at + SLOW[0], len(self.content))])
            except OSError:
                return  # the client was killed
            time.sleep(SLOW[1])

    def log_message(self, *arguments: object) -> None:
        pass


def run(command: list[str], seconds: float | None = None) -> tuple[int | None, str]:
    """(exit code, what it said); None where it was killed after so many seconds."""
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=quiet, start_new_session=True
    )
    try:
        return (process.communicate(timeout=seconds)[1], process.returncode)[::-1]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None, ""


def attack(name: str, attacked: Attacked, count: int, seed: int, keep: Path | None) -> tuple[int, int, list[str]]:
    """(killed before the end, of which something was on disk, what was wrong)."""
    rng, wrong, killed, begun = random.Random(f"{name} {seed}"), list[str](), 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "whole"
        whole.mkdir()
        start = time.monotonic()
        code, said = run(attacked.command(whole))
        lasted = time.monotonic() - start
        assert code == 0, f"{name}: exit code {code} without any kill: {said[-300:]}"
        made = attacked.made(whole)
        for index in range(count):
            folder = (keep or Path(scratch)) / f"{name}_{index}"
            folder.mkdir()
            instant = lasted * rng.uniform(0.8 if index % 2 else 0, 1)
            code, _ = run(attacked.command(folder), instant)
            killed += code is None
            begun += code is None and any(folder.iterdir())
            try:
                attacked.whole(folder)
                kept = attacked.kept(folder)
                code, said = run(attacked.command(folder))
                assert code == 0, f"the next start ended with exit code {code}: {said[-300:]}"
                found = attacked.made(folder)
                assert alike(found, made), f"the next start came to {found}, not {made}"
                assert attacked.kept(folder) >= kept, "something that was measured is lost"
            except (AssertionError, ValueError, OSError, KeyError) as error:
                wrong.append(f"{name} {index}, killed after {instant:.2f} s: {type(error).__name__}: {error}")
                print(wrong[-1], file=sys.stderr, flush=True)
    return killed, begun, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50, help="kills of each kind")
    parser.add_argument("--kind", nargs="+", choices=["export", "train", "download", "bench", "lab"])
    parser.add_argument("--checkpoint", type=Path, help="resnet20-12fca82f.th; without it no download is attacked")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for what the runs leave")
    options = parser.parse_args()
    if "download" in (options.kind or ()) and options.checkpoint is None:
        parser.error("--kind download: give --checkpoint, the file that is served")
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    failed = 0
    print("| command | kills | before its end | with files on disk | wrong |\n|---|" + " ---: |" * 4)
    with tempfile.TemporaryDirectory() as name, http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        prepare(Path(name))
        known = attacks(Path(name), f"http://127.0.0.1:{server.server_port}/")
        if options.checkpoint is None:
            known.pop("download")
        else:
            Slow.content = options.checkpoint.read_bytes()
        for kind in options.kind or known:
            killed, begun, wrong = attack(kind, known[kind], options.count, options.seed, options.keep)
            failed += len(wrong)
            print(f"| {kind} | {options.count} | {killed} | {begun} | {len(wrong)} |", flush=True)
        server.shutdown()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
