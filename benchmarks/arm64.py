"""Whether .tflite files answer on arm64 as they do here, with the same operators and delegate partitions.

    bash tests/bench/arm64.sh FOLDER
    CNNZOO_ARM64=FOLDER python benchmarks/arm64.py out/*.tflite

arm64 is LiteRT's own wheel for it under qemu-user: what it computes counts, what time it takes means nothing. A float
file may differ by 1e-4 of its largest output, a quantized one by a step. The exit code is 1 where one does not agree.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_cnnzoo.mobile_bench.runners import random_inputs
from keras_cnnzoo.mobile_bench.runners.litert import LiteRTRunner
from keras_cnnzoo.mobile_bench.targets.bundle import bundle

SEEDS = 3
THERE = """\
import json, sys, zipfile
from dataclasses import asdict
zipfile.ZipFile("bundle.pyz").extractall("code")
sys.path.insert(0, "code")
import platform
from pathlib import Path
import numpy as np
from keras_cnnzoo.mobile_bench.runners import random_inputs
from keras_cnnzoo.mobile_bench.runners.litert import LiteRTRunner
assert platform.machine() == "aarch64", platform.machine()
for index, path in enumerate(sys.argv[2:]):
    runner = LiteRTRunner(Path(path))
    for seed in range(int(sys.argv[1])):
        np.savez(f"{index}.{seed}.npz", *runner.outputs(random_inputs(runner.inputs, seed)))
    Path(f"{index}.json").write_text(json.dumps(asdict(runner.describe())))
"""

Answer = tuple[list[list[NDArray]], dict[str, Any]]
"""Outputs by seed, and what the runner says of itself."""


def there(paths: Sequence[Path], python: Path) -> list[Answer]:
    """What the files answer on arm64, in one process: its start takes most of the time."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "bundle.pyz").write_bytes(bundle())
        command = [python, "-c", THERE, str(SEEDS), *(path.absolute() for path in paths)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"they do not run on arm64\n{done.stderr}")
        return [
            (
                [list(np.load(Path(folder) / f"{index}.{seed}.npz").values()) for seed in range(SEEDS)],
                json.loads((Path(folder) / f"{index}.json").read_text()),
            )
            for index in range(len(paths))
        ]


def here(path: Path) -> Answer:
    """The same on this machine."""
    runner = LiteRTRunner(path)
    outputs = [runner.outputs(random_inputs(runner.inputs, seed)) for seed in range(SEEDS)]
    return outputs, json.loads(json.dumps(asdict(runner.describe())))


def compare(path: Path, one: Answer, other: Answer) -> dict[str, Any]:
    """How far two answers agree."""
    pairs = [(a, b) for x, y in zip(one[0], other[0], strict=True) for a, b in zip(x, y, strict=True)]
    difference = max(float(np.abs(a.astype(float) - b.astype(float)).max()) for a, b in pairs)
    quantized = pairs[0][0].dtype.kind in "iu"
    allowed = 1.0 if quantized else 1e-4 * max(float(np.abs(a).max()) for a, _ in pairs)
    same = {name: one[1][name] == other[1][name] for name in ("operators", "undelegated", "partitions")}
    return {
        "file": path.name,
        "difference": difference,
        "unit": "steps" if quantized else "absolute",
        "spread": float(np.stack([outputs[0] for outputs in one[0]]).astype(float).std(axis=0).max()),
        "partitions": one[1]["partitions"],
        "same": same,
        "agrees": difference <= allowed and all(same.values()),
    }


def main() -> None:
    if not sys.argv[1:]:
        raise SystemExit("usage: CNNZOO_ARM64=FOLDER python benchmarks/arm64.py FILE.tflite ...")
    folder = os.environ.get("CNNZOO_ARM64")
    if not folder or not Path(folder, "ready").exists():
        raise SystemExit("no arm64 here: bash tests/bench/arm64.sh FOLDER, then set CNNZOO_ARM64=FOLDER")
    paths = [Path(name) for name in sys.argv[1:]]
    arm64 = there(paths, Path(folder, "python3"))
    rows = [compare(path, here(path), answer) for path, answer in zip(paths, arm64, strict=True)]
    print(json.dumps(rows, indent=1))
    sys.exit(not all(row["agrees"] for row in rows))


if __name__ == "__main__":
    main()
