"""Full disks, read-only folders, no temporary space, 1 GB of memory, no /proc: what each command says, and leaves.

    python benchmarks/faults.py [--command train ...] [--fault "full disk" ...] [--checkpoint resnet20-12fca82f.th]

As root on Linux: every command runs once under every fault, in a mount namespace of its own. It may do its work all the
same, or end with exit code 2 and one sentence. A traceback, several lines, another exit code, five minutes without an
end, a file that is not whole under its final name, or a temporary file left behind, counts as wrong. Exit code 1 where
anything was.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from kills import Slow, digest, prepare

SECONDS = 300
EMPTY = "mount -t tmpfs -o ro none"
# how a shell brings a fault about: OUT is where commands write, SEED what stands there before
FAULTS = {
    "full disk": """mount -t tmpfs -o size=2m none "$OUT"; cp -r "$SEED"/. "$OUT"
                    cat /dev/zero >"$OUT/filler" 2>/dev/null || true""",
    "read-only folder": """mount -t tmpfs none "$OUT"; cp -r "$SEED"/. "$OUT"; mount -o remount,ro "$OUT" """,
    "no temporary space": f"""cp -r "$SEED"/. "$OUT"; for d in /tmp /var/tmp /dev/shm; do {EMPTY} $d; done; cd /proc""",
    "1 GB of memory": """cp -r "$SEED"/. "$OUT"; ulimit -v 1048576""",
    "no /proc": f"""cp -r "$SEED"/. "$OUT"; {EMPTY} /proc""",
}
NETWORK = 'resnet20 --set classes=4 --weights "$SHARED/w.safetensors" --preprocess torch'
CALIBRATED = '--quantize int8 --calibration "$SHARED/data.npz" --quiet'
COMMANDS = {
    "list": "cnnzoo list --json",
    "plot": 'cnnzoo plot resnet20 -o "$OUT/net.svg" --quiet',
    "export int8": f'cnnzoo-export {NETWORK} {CALIBRATED} -o "$OUT/m.tflite"',
    "export onnx": f'cnnzoo-export {NETWORK} {CALIBRATED} --to onnx -o "$OUT/m.onnx"',
    "export web": 'cnnzoo-export "$SHARED/m.tflite" --to web -o "$OUT/site"',
    "verify": 'cnnzoo-export verify "$OUT/m8.tflite" --against "$SHARED/m.keras" --data "$SHARED/data.npz" --quiet',
    "sensitivity": f"""cnnzoo-export sensitivity {NETWORK} --data "$SHARED/data.npz" --count 8 --plot "$OUT/s.svg"
                       --quiet""",
    "snippet": 'cnnzoo-export snippet "$SHARED/m.tflite" -l python -o "$OUT/a.py"',
    "sweep": 'cnnzoo-export sweep -o "$OUT/sweep" --only resnet20 --formats float32 --quiet',
    "convert": 'cnnzoo weights convert "$SHARED/w.safetensors" -b resnet20 -o "$OUT/w.npz" --set classes=4',
    "download": 'CNNZOO_HOME="$OUT" cnnzoo weights download resnet20 akamaster:cifar10 --quiet',
    "train": 'cnnzoo train resnet20 --data "$SHARED/data.npz" --epochs 1 --batch 16 --out "$OUT/run" --quiet',
    "shard": 'cnnzoo shard "$SHARED/data.npz" -o "$OUT/shards" --quiet',
    "lab": 'cnnzoo lab gradient-flow --preset quick --data "$SHARED/data.npz" --out "$OUT/lab" --quiet',
    "bench": """cnnzoo-bench "$SHARED/m.tflite" --runs 400 --resume "$OUT/journal.jsonl" --json "$OUT/r.json"
                --html "$OUT/r.html" --quiet""",
    "micro": 'cnnzoo-bench micro "$SHARED/m8.tflite"',
}


def whole_artifact(path: Path) -> None:
    card = path.with_name(f"{path.name}.json")
    assert json.loads(card.read_text())["artifact"]["sha256"] == digest(path), "its card is of another file"


def whole_page(path: Path) -> None:
    assert path.read_text().rstrip().endswith("</html>"), "cut off"


def whole_journal(path: Path) -> None:
    """The last line may be torn, which the next start sees."""
    for line in path.read_text().split("\n")[:-1]:
        json.loads(line.partition("\t")[2] or line)


def whole_weights(path: Path) -> None:
    from safetensors.numpy import load

    load(path.read_bytes())


WHOLE: dict[str, Callable[[Path], object]] = {
    ".tflite": whole_artifact,
    ".onnx": whole_artifact,
    ".json": lambda path: json.loads(path.read_text()),
    ".jsonl": whole_journal,
    ".html": whole_page,
    ".svg": lambda path: ElementTree.fromstring(path.read_text()),
    ".npz": lambda path: dict(np.load(path)),
    ".safetensors": whole_weights,
}


def left_wrong(folder: Path) -> list[str]:
    """What is not whole of the files that a command left, or has no business there."""
    wrong = []
    for path in filter(Path.is_file, folder.rglob("*")):
        if path.name == "filler":
            continue
        if path.name.startswith(".") and not path.name.endswith(".lock"):
            wrong.append(f"{path.name} was left behind")
        try:
            WHOLE.get(path.suffix, lambda path: None)(path)
        except Exception as error:  # whatever a reader says of a file that is not whole
            wrong.append(f"{path.name}: {type(error).__name__}: {error}")
    return wrong


def under(fault: str, command: str, places: dict[str, str]) -> tuple[str, list[str]]:
    """("done" or "refused", what was wrong) of a command under a fault."""
    line = " ".join(command.split())
    script = f"""set -e; mount --make-rprivate /; {FAULTS[fault]}
        set +e; ({line}); code=$?; cp -r "$OUT"/. "$LEFT" 2>/dev/null; exit $code"""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    quiet = os.environ | places | {"PATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    try:
        done = subprocess.run(
            ["unshare", "-m", "bash", "-c", script],
            env=quiet,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "hung", [f"no end after {SECONDS} s"]
    said = [line for line in done.stderr.splitlines() if line.strip()]
    wrong = left_wrong(Path(places["LEFT"]))
    if done.returncode == 0:
        return "done", wrong
    if done.returncode == 3 and "sweep" in line and not said:  # each of its rows says what failed
        return "refused", wrong
    if done.returncode != 2 or len(said) != 1 or not said[0].startswith("error: "):
        wrong.insert(0, f"exit code {done.returncode}: {' / '.join(said)[-600:]}")
    return "refused", wrong


def table(names: list[str], faults: list[str], places: dict[str, str]) -> int:
    """Prints a row a command; how many cells are wrong."""
    failed = 0
    print(f"| command | {' | '.join(faults)} |\n|---|{'---|' * len(faults)}", flush=True)
    for name in names:
        cells = []
        for fault in faults:
            for folder in (places["OUT"], places["LEFT"]):
                shutil.rmtree(folder)
                Path(folder).mkdir()
            outcome, wrong = under(fault, COMMANDS[name], places)
            cells.append("**wrong**" if wrong else outcome)
            failed += bool(wrong)
            for words in wrong:
                print(f"{name}, {fault}: {words}", file=sys.stderr, flush=True)
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", nargs="+", choices=list(COMMANDS), default=list(COMMANDS))
    parser.add_argument("--fault", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--checkpoint", type=Path, help="resnet20-12fca82f.th; without it nothing is downloaded")
    options = parser.parse_args()
    names = [name for name in options.command if name != "download" or options.checkpoint]
    # not below a folder that a fault takes away
    with (
        tempfile.TemporaryDirectory(dir=Path.home()) as scratch,
        ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        Slow.content = options.checkpoint.read_bytes() if options.checkpoint else b""
        folders = {name: Path(scratch) / name.lower() for name in ("SHARED", "SEED", "OUT", "LEFT")}
        for folder in folders.values():
            folder.mkdir()
        prepare(folders["SHARED"])
        for name in ("m8.tflite", "m8.tflite.json"):
            shutil.copy(folders["SHARED"] / name, folders["SEED"])
        mirror = {"CNNZOO_MIRRORS": f"https://github.com/=http://127.0.0.1:{server.server_port}/"}
        failed = table(names, options.fault, {name: str(folder) for name, folder in folders.items()} | mirror)
        server.shutdown()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
