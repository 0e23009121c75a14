"""What is large or many: memory that must stay flat, TFLite's 2 GB, and ten exports at once.

    python benchmarks/scale.py images --few 2000 --many 20000     # verify, bench and train over folders of pictures
    python benchmarks/scale.py artifacts --few 20 --many 200      # one bench
    python benchmarks/scale.py large                              # networks of 1.9 and 2.2 GB; takes 12 GB of memory
    python benchmarks/scale.py at-once --checkpoint resnet20-12fca82f.th

Each command runs in a process of its own, whose highest resident memory is printed. Exit code 1 where an export at once
differs from the same export alone, or a command fails that should not.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
from kills import Slow, digest, prepare, tool

FORMS = {  # of one network: arguments of an export, and what the file's name ends in
    **dict.fromkeys(("float32", "float16", "dynamic", "int8", "int16", "int4"), ((), ".tflite")),
    **{f"onnx {scheme}": (("--to", "onnx"), ".onnx") for scheme in ("float32", "float16", "int8")},
    "tensorrt int8": (("--to", "tensorrt"), ".onnx"),
}


def measured(command: list[str]) -> tuple[int, int, str]:
    """(exit code, MB at most, what it said) of a command and the children that it waits for."""
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, env=quiet)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        return process.returncode, usage.ru_maxrss // 1000, said.read().strip()


def row(*cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def pictures(folder: Path, count: int, classes: int = 4) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for index in range(count):
        place = folder / f"class_{index % classes}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).resize((96, 96)).save(place / f"{index}.jpg")


def images(scratch: Path, few: int, many: int) -> int:
    """Pictures of 96x96: what all of them take decoded stands beside what the command took."""
    network = ("--set", "classes=4", "--set", "input_shape=96,96,3")
    file, failed = scratch / "m.tflite", 0
    export = ("resnet20", *network, "--weights", "random", "--preprocess", "torch", "-o", file, "--quiet")
    assert measured(tool("cnnzoo-export", *export))[0] == 0
    for count in (few, many):
        pictures(scratch / str(count), count)
    row("command", f"{few:,} pictures, MB", f"{many:,} pictures, MB", "decoded they take, MB")
    print("|---|---:|---:|---:|")
    for name in ("verify", "bench", "train"):
        peaks = []
        for count in (few, many):
            folder = scratch / str(count)
            command = {
                "verify": tool("cnnzoo-export", "verify", file, "--against", file, "--data", folder, "--quiet"),
                "bench": tool("cnnzoo-bench", file, "--runs", 20, "--data", folder, "--quiet"),
                "train": tool(
                    "cnnzoo", "train", "resnet20", "--data", folder, "--size", 96, "--epochs", 1, "--quiet",
                    "--out", scratch / f"run_{count}",
                ),
            }[name]  # fmt: skip
            code, peak, said = measured(command)
            failed += complained(name, code, said)
            peaks.append(peak)
        row(name, *peaks, many * 96 * 96 * 3 // 10**6)
    return failed


def artifacts(scratch: Path, few: int, many: int) -> int:
    prepare(scratch)
    row("files", "MB", "rows in the report")
    print("|---:|---:|---:|")
    failed = 0
    for count in (few, many):
        copies = [scratch / f"{count}_{index}.tflite" for index in range(count)]
        for copy in copies:
            shutil.copy(scratch / "m8.tflite", copy)
        report = scratch / f"{count}.csv"
        code, peak, said = measured(tool("cnnzoo-bench", *copies, "--runs", 40, "--csv", report, "--quiet"))
        failed += complained("bench", code, said)
        row(count, peak, len(report.read_text().splitlines()) - 1)
    return failed


def large(scratch: Path) -> int:
    """A dense layer of 1.9 GB, which a file holds, and one of 2.2 GB, which it does not."""
    row("network", "exit code", "MB", "it said")
    print("|---|---:|---:|---|")
    failed = 0
    for gigabytes, expected in ((1.9, 0), (2.2, 2)):
        path, units = scratch / f"{gigabytes}.keras", int(gigabytes * 1e9 / 4 / 3072)
        code = (
            "import keras, sys; image = keras.Input((32, 32, 3)); x = keras.layers.Flatten()(image);"
            "keras.Model(image, keras.layers.Dense(int(sys.argv[2]), kernel_initializer='ones')(x)).save(sys.argv[1])"
        )
        subprocess.run([sys.executable, "-c", code, str(path), str(units)], check=True)
        export = (path, "--preprocess", "torch", "-o", scratch / "large.tflite", "--quiet", "--force")
        found, peak, said = measured(tool("cnnzoo-export", *export))
        failed += found != expected
        row(f"{gigabytes} GB", found, peak, said)
        path.unlink()
    return failed


def at_once(scratch: Path, checkpoint: Path) -> int:
    """Ten forms of one network, alone and then together, whose weights come from a slow server into one cache."""
    prepare(scratch)
    Slow.content = checkpoint.read_bytes()
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mirror = f"https://github.com/=http://127.0.0.1:{server.server_port}/"
        found, failed = {}, set[str]()
        for way in ("alone", "together"):
            folder, running = scratch / way, {}
            os.environ |= {"CNNZOO_HOME": str(scratch / f"cache {way}"), "CNNZOO_MIRRORS": mirror}
            for form, (to, suffix) in FORMS.items():
                scheme, path = form.rpartition(" ")[2], folder / f"{form}{suffix}"
                command = tool(
                    "cnnzoo-export", "resnet20", "--weights", "akamaster:cifar10", "--quantize", scheme, *to,
                    "--calibration", scratch / "data.npz", "-o", path, "--quiet",
                )  # fmt: skip
                running[form] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                if way == "alone":
                    running[form].wait()
            said = {form: process.communicate()[1] for form, process in running.items()}
            found[way] = {
                form: f"exit code {process.returncode}: {said[form].strip()[-500:]}"
                if process.returncode
                else digest(folder / f"{form}{FORMS[form][1]}")
                for form, process in running.items()
            }
            failed |= {form for form, process in running.items() if process.returncode}
        server.shutdown()
    row("export", "the same alone and at once")
    print("|---|---|")
    for form, one in found["alone"].items():
        row(form, compared(one, found["together"][form], form in failed))
    return len(failed | {form for form, one in found["alone"].items() if one != found["together"][form]})


def compared(alone: str, together: str, failed: bool) -> str:
    """A cell: yes, or what either came to; exports that fail alike are not the same file."""
    return "yes" if alone == together and not failed else f"no: {alone} {together}"


def complained(name: str, code: int, said: str) -> int:
    if code:
        print(f"{name}: exit code {code}: {said[-500:]}", file=sys.stderr)
    return int(code != 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["images", "artifacts", "large", "at-once"])
    parser.add_argument("--few", type=int, default=20)
    parser.add_argument("--many", type=int, default=200)
    parser.add_argument("--checkpoint", type=Path, help="at-once: resnet20-12fca82f.th, which is served")
    given = parser.parse_args()
    if given.what == "at-once" and given.checkpoint is None:
        parser.error("at-once: give --checkpoint, the file that is served")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        if given.what in ("images", "artifacts"):
            failed = {"images": images, "artifacts": artifacts}[given.what](scratch, given.few, given.many)
        else:
            failed = large(scratch) if given.what == "large" else at_once(scratch, given.checkpoint)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
