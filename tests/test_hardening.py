"""Mutated files in this process, a few of each kind: refused in one sentence, or answered. benchmarks/hardening.py has
the long run, in child processes."""

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from keras_cnnzoo import InputError

ROOT = Path(__file__).resolve().parents[1]
KINDS = [
    "tflite, unrun",
    "tflite classifier",
    "card",
    "safetensors",
    "npz",
    "h5 weights",
    "keras weights",
    "image",
    "board",
]
COUNT = {"board": 20}  # each a measurement


@pytest.fixture(scope="module")
def hardening(script: Callable[[str], ModuleType]) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")  # for its neighbours
        yield script("benchmarks/hardening.py")


@pytest.fixture(scope="module")
def files(hardening: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    return hardening.originals(tmp_path_factory.mktemp("originals"), KINDS)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_mutated_files_are_refused_in_a_sentence_or_answered(
    hardening: ModuleType, files: dict[str, list[Path]], kind: str
) -> None:
    rng, outcomes = random.Random(kind), Counter[str]()
    count = COUNT.get(kind, 60)
    for index in range(count):
        source = files[kind][index % len(files[kind])]
        path = source.with_name(f"mutated{''.join(source.suffixes)}")  # what it stands beside is read too
        if kind == "card":
            shutil.copy(source.with_suffix(""), path.with_suffix(""))
        path.write_bytes(hardening.MUTATIONS.get(kind, hardening.mutated)(source.read_bytes(), rng))
        outcomes[outcome(hardening.READERS[kind], path)] += 1
    assert outcomes["refused"] > 5
    assert outcomes["refused"] + outcomes["answered"] == count, outcomes


def outcome(read: Callable[[Path], None], path: Path) -> str:
    try:
        read(path)
    except InputError as error:
        return "refused" if "\n" not in str(error) else f"many lines: {error}"
    return "answered"


def test_the_originals_are_read(hardening: ModuleType, files: dict[str, list[Path]]) -> None:
    for kind in KINDS:
        for path in files[kind]:
            hardening.READERS[kind](path)
