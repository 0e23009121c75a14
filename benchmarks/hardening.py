"""Mutated files against the readers: each is refused in one sentence or answered, never a traceback, a hang, a crash.

    python benchmarks/hardening.py --count 1000                   # of each kind; --kind tflite card ... for some
    python benchmarks/hardening.py --count 50 --keep wrong/       # keeps the files that were handled wrongly

Files of every kind are made small, then mutated by the seed: flipped bits, truncations, zeroed, swapped and repeated
ranges, and for cards values of other kinds. A child process reads them, one after the other; one that dies or takes
more than 30 s is counted and replaced, so that the table always comes. Exit code 1 where anything was wrong.
"""

import argparse
import json
import os
import random
import select
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from mutations import mutated, mutated_card, mutated_lines
from originals import CLASSIFIER, originals

HANG = 30.0
START = 300.0  # for the first file, which waits for frameworks to load
WRONG = ("traceback", "hang", "death")

# ---- in the child: the readers, each for a file of its kind


def read_tflite(path: Path) -> None:
    import numpy as np

    from keras_cnnzoo.export.contents import operators
    from keras_cnnzoo.export.interpreter import LiteRT

    content = path.read_bytes()
    operators(content)
    file = LiteRT(content)
    file(np.zeros((int(file.input["shape"][0]), *map(int, file.input["shape"][1:])), np.float32))


def read_structure(path: Path) -> None:
    from keras_cnnzoo.export.contents import histogram, operators, require_integer
    from keras_cnnzoo.mobile_bench.tflite_file import read_graph

    content = path.read_bytes()
    histogram(operators(content))
    require_integer(content)
    read_graph(path)


def read_classifier(path: Path) -> None:
    from keras_cnnzoo.app.tflite_reader import read_tflite

    read_tflite(path, CLASSIFIER)


def read_card(path: Path) -> None:
    from keras_cnnzoo.export.card import Card
    from keras_cnnzoo.export.snippets import snippet
    from keras_cnnzoo.mobile_bench.artifact import read_artifact

    artifact = path.with_suffix("")
    read_artifact(artifact)
    Card.read(path)
    for language in ("python", "kotlin"):
        snippet(artifact, language)  # type: ignore[arg-type]


def read_weights(path: Path) -> None:
    from keras_cnnzoo.weights.files import read_state

    read_state(path)


def read_network(path: Path) -> None:
    from keras_cnnzoo.export.sources import load

    load(str(path), None, [])


def read_onnx(path: Path) -> None:
    import numpy as np

    from keras_cnnzoo.export.runners import OnnxRunner

    runner = OnnxRunner(path.read_bytes())
    runner(np.zeros((1, *runner.shape), np.float32))


def read_board(path: Path) -> None:
    from board_answers import read_board

    read_board(path)


def read_image(path: Path) -> None:
    from keras_cnnzoo.images import read_picture
    from keras_cnnzoo.preprocessing import PRESETS

    read_picture(path, (32, 32, 3), PRESETS["torch"])


READERS: dict[str, Callable[[Path], None]] = {
    "tflite": read_tflite,
    "tflite, unrun": read_structure,
    "tflite classifier": read_classifier,
    "card": read_card,
    "safetensors": read_weights,
    "npz": read_weights,
    "h5 weights": read_weights,
    "keras weights": read_weights,
    "keras network": read_network,
    "onnx": read_onnx,
    "image": read_image,
    "board": read_board,
}
MUTATIONS: dict[str, Callable[[bytes, random.Random], bytes]] = {"card": mutated_card, "board": mutated_lines}
"""Of a kind's own; bytes elsewhere."""


def child() -> None:
    """Reads `kind<TAB>path` lines and answers each with one JSON line."""
    from keras_cnnzoo import InputError

    warnings.simplefilter("ignore")
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    for line in sys.stdin:
        kind, path = line.rstrip("\n").split("\t")
        try:
            READERS[kind](Path(path))
            answer = ("answer", "")
        except InputError as error:
            answer = ("refused", str(error)) if "\n" not in str(error) else ("traceback", f"many lines: {error}")
        except BaseException as error:
            answer = ("traceback", f"{type(error).__name__}: {str(error)[:160]} {place(error)}")
        print(json.dumps(answer), file=out)


def place(error: BaseException) -> str:
    """The last line of ours that an error passed."""
    import traceback

    folders = ("/keras_cnnzoo/", "/export/", "/mobile_bench/")
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if any(folder in frame.filename for folder in folders)]
    return f"({Path(ours[-1].filename).name}:{ours[-1].lineno})" if ours else ""


class Child:
    """A process that reads files; one that dies or hangs is replaced at the next."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.seconds = START

    def read(self, kind: str, path: Path) -> tuple[str, str]:
        """(outcome, words) of one file."""
        process = self.process = self.process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{kind}\t{path}\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], self.seconds)
        line = process.stdout.readline() if ready else ""
        if line:
            self.seconds = HANG
            outcome, words = json.loads(line)
            return outcome, words
        self.close()
        return ("death", f"code {process.returncode}") if ready else ("hang", f"over {HANG:g} s")

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
        self.process, self.seconds = None, START

    def _start(self) -> "subprocess.Popen[str]":
        quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, __file__, "--child"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=quiet,
        )  # fmt: skip


# ---- the run


def attack(kind: str, files: list[Path], count: int, seed: int, folder: Path, keep: Path | None) -> Counter[str]:
    """How the mutated files of a kind were handled; wrong ones are told on standard error."""
    rng, reader, found = random.Random(f"{kind} {seed}"), Child(), Counter[str]()
    shown = set[str]()
    try:
        for index in range(count):
            source = files[index % len(files)]
            path = folder / f"mutated{''.join(source.suffixes[-2:] if kind == 'card' else source.suffixes)}"
            if kind == "card":
                shutil.copy(source.with_suffix(""), path.with_suffix(""))
            path.write_bytes(MUTATIONS.get(kind, mutated)(source.read_bytes(), rng))
            outcome, words = reader.read(kind, path)
            found[outcome] += 1
            if outcome in WRONG and keep is not None:
                shutil.copy(path, keep / f"{kind.replace(', ', '_')}_{index}{path.suffix}")
            if outcome in WRONG and words not in shown:
                shown.add(words)
                print(f"{kind} {index}: {outcome}, {words}", file=sys.stderr)
    finally:
        reader.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="files of each kind")
    parser.add_argument("--kind", nargs="+", choices=list(READERS), default=list(READERS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for the files that were handled wrongly")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child()
        return
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    wrong = 0
    print("| files | mutated | answered | refused | traceback | hang | death | s |")
    print("|---|" + " ---: |" * 7)
    with tempfile.TemporaryDirectory() as name:
        files = originals(Path(name), options.kind)
        for kind in options.kind:
            start = time.monotonic()
            found = attack(kind, files[kind], options.count, options.seed, Path(name), options.keep)
            wrong += sum(found[outcome] for outcome in WRONG)
            counts = " | ".join(str(found[outcome]) for outcome in ("answer", "refused", *WRONG))
            print(f"| {kind} | {options.count} | {counts} | {time.monotonic() - start:.0f} |", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
