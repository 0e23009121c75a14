"""Installs the wheel as others will, with each extra alone, by the newest and by the lowest versions, and uses it.

    pip install uv
    python benchmarks/installs.py --python python3.11 python3.12 python3.13 --checkpoint resnet20-12fca82f.th

A row is a fresh virtual environment: the wheel, and nothing but what it asks for. "newest" lets uv choose; "lowest"
takes the lowest versions that pyproject.toml allows (uv's lowest-direct). Then what the extra is for runs in an empty
folder. --checkpoint is a torch file of the CIFAR ResNet-20, without which the row of that extra is left out. Rows of
this wheel that --out holds already are not run again; the table of all of these is printed.
"""

import argparse
import hashlib
import json
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
UV = shutil.which("uv") or Path(sys.executable).with_name("uv")
LIMIT = 900  # seconds of a command
PORT = 18786
EXPORT = "cnnzoo-export export resnet20 --weights random -q"
INT8 = "--quantize int8 --calibration data.npz"

USES = {
    "": (
        "cnnzoo list",
        "cnnzoo train resnet20 --data data.npz --epochs 1 --set batch=8 --out run -q",
        f"cnnzoo-export export run/model.keras --preprocess torch {INT8} --verify data.npz -o a.tflite -q",
        "cnnzoo-bench a.tflite --budget 2s",
    ),
    "dask": (
        "cnnzoo-export sweep -o sweep --only squeezenet1_0 --formats float32 --size 64 -q"
        f" --scheduler tcp://127.0.0.1:{PORT}",
    ),
    "demo": ("cnnzoo demo --epochs 1 --out demo -q",),
    "dev": (f"pytest -q -p no:cacheprovider {ROOT}/tests/test_public_api.py {ROOT}/tests/zoo/test_registry.py",),
    "docs": (f"mkdocs build -q --strict -f {ROOT}/mkdocs.yml -d HERE/site",),
    "lab": ("cnnzoo lab kernels --preset quick --data data.npz --out lab -q",),
    "mediapipe": ("python -c 'from mediapipe.tasks.python.vision import ImageClassifier'",),
    "micro": (f"{EXPORT} {INT8} -o b.tflite", "cnnzoo-bench micro b.tflite"),
    "onnx": (
        f"{EXPORT} --to onnx -o c.onnx",
        f"{EXPORT} --to tensorrt {INT8} -o d.onnx",
        "cnnzoo-bench c.onnx --budget 2s",
    ),
    "torch": ("cnnzoo weights convert checkpoint.th -b resnet20 -o e.safetensors",),
    "train-aware": (
        "cnnzoo-export train-aware resnet20 --weights random --data data.npz --method qat --epochs 1 -o f.tflite -q",
    ),
}
SERVERS = {"dask": (f"dask scheduler --host 127.0.0.1 --port {PORT}", f"dask worker tcp://127.0.0.1:{PORT}")}


@dataclass(frozen=True)
class Row:
    """What became of an environment; `fault` is empty where everything worked, `wheel` where an old row tells none."""

    python: str
    versions: str
    extra: str
    fault: str
    wheel: str = ""


def contents_of(wheel: Path) -> str:
    """A name for the files in a wheel; its own digest would change with the time at which it was built."""
    with zipfile.ZipFile(wheel) as archive:
        (record,) = (name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
        return hashlib.sha256(archive.read(record)).hexdigest()[:16]


def to_try(asked: argparse.Namespace, wheel: str) -> Iterator[tuple[str, str, str]]:
    """What --out does not hold yet of a wheel."""
    done = {(row.python, row.versions, row.extra) for row in rows_in(asked.out, wheel)}
    for key in product(asked.python, asked.versions, asked.extra):
        if key not in done and (key[2] != "torch" or asked.checkpoint is not None):
            yield key


def rows_in(path: Path, wheel: str) -> list[Row]:
    rows = [Row(**json.loads(line)) for line in path.read_text().splitlines()] if path.is_file() else []
    return [row for row in rows if row.wheel == wheel]


def tried(python: str, versions: str, extra: str, wheel: Path, checkpoint: Path | None) -> Row:
    """The row of a fresh environment."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        here = Path(name)
        prepare(here, checkpoint)
        venv, resolution = here / "venv", "lowest-direct" if versions == "lowest" else "highest"
        wanted = f"{wheel}[{extra}]" if extra else str(wheel)
        fault = ran([UV, "venv", "-q", "-p", python, venv], here)
        fault = fault or ran([UV, "pip", "install", "-q", "-p", venv, "--resolution", resolution, wanted], here)
        for command in () if fault else SERVERS.get(extra, ()):
            stack.callback(started(of(venv, command), here).terminate)
        for command in USES[extra]:
            fault = fault or ran(of(venv, command), here)
        return Row(python, versions, extra, fault, contents_of(wheel))


def prepare(here: Path, checkpoint: Path | None) -> None:
    """What the commands read."""
    rng, labels = np.random.default_rng(0), np.arange(40) % 4
    images = rng.integers(0, 64, (40, 32, 32, 3)) + 48 * labels[:, None, None, None]
    np.savez(here / "data.npz", images=images.astype(np.uint8), labels=labels)
    if checkpoint is not None:
        shutil.copy(checkpoint, here / "checkpoint.th")


def of(venv: Path, command: str) -> list[str | Path]:
    """A command of an environment, which stands in the folder that it calls HERE."""
    program, *arguments = shlex.split(command.replace("HERE", str(venv.parent)))
    return [venv / "bin" / program, *arguments]


def started(command: list[str | Path], here: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, cwd=here, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(60):  # seconds that the scheduler may take
        with suppress(OSError), socket.create_connection(("127.0.0.1", PORT)):
            break
        time.sleep(1)
    return process


def ran(command: list[str | Path], here: Path) -> str:
    """Nothing, or of what failed the last line that it said."""
    try:
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return f"{Path(command[0]).name}: no end after {LIMIT} s"
    if done.returncode == 0:
        return ""
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()] or ["no output"]
    return f"{Path(command[0]).name} {command[1]}: exit code {done.returncode}: {lines[-1].strip()}"


def table(rows: list[Row]) -> str:
    """A row an extra, a column an interpreter and a choice of versions."""
    columns = sorted({(row.python, row.versions) for row in rows})
    found = {(row.extra, row.python, row.versions): row.fault or "works" for row in rows}
    lines = ["| extra | " + " | ".join(f"{Path(python).name}, {versions}" for python, versions in columns) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for extra in dict.fromkeys(row.extra for row in rows):
        said = (found.get((extra, *column), "-").replace("|", "/") for column in columns)
        lines.append(f"| {extra or '(none)'} | " + " | ".join(said) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="+", default=["python3.11"], help="interpreters")
    parser.add_argument("--versions", nargs="+", default=["newest", "lowest"], choices=["newest", "lowest"])
    parser.add_argument("--extra", nargs="+", default=list(USES), choices=list(USES), metavar="EXTRA")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--out", type=Path, default=Path("installs.jsonl"), help="the rows, one a line")
    asked = parser.parse_args()
    if not Path(UV).exists():
        parser.error("needs uv: pip install uv")
    with (ROOT / "pyproject.toml").open("rb") as file:
        untried = set(tomllib.load(file)["project"]["optional-dependencies"]) - set(USES)
    if untried:
        parser.error(f"pyproject.toml has extras that USES lacks: {', '.join(sorted(untried))}")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([UV, "build", "-q", "--wheel", "-o", folder, ROOT], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        contents = contents_of(wheel)
        for key in to_try(asked, contents):
            row = tried(*key, wheel, asked.checkpoint)
            with asked.out.open("a") as file:
                file.write(json.dumps(asdict(row)) + "\n")
            print(*key, row.fault or "works", flush=True)
    print(table(rows_in(asked.out, contents)))


if __name__ == "__main__":
    main()
