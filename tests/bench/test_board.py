"""What a board says is read with distrust; here a shell of this machine plays the board."""

import ast
import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_cnnzoo import InputError
from keras_cnnzoo.mobile_bench.events import Block, Event, Failed, Health, Probed, Profiled, encode
from keras_cnnzoo.mobile_bench.order import Configuration, Order
from keras_cnnzoo.mobile_bench.runners import RUNNERS
from keras_cnnzoo.mobile_bench.runners.tensorrt import BUILD_SECONDS
from keras_cnnzoo.mobile_bench.targets import Settings, board, shell
from keras_cnnzoo.mobile_bench.targets.benchmark_model import measure_with_benchmark_model
from keras_cnnzoo.mobile_bench.targets.board import measure_with_python
from keras_cnnzoo.mobile_bench.targets.bundle import bundle


class Here:
    """A shell of this machine."""

    address = "board"

    def __init__(self, temporary: Path) -> None:
        self.temporary = str(temporary)

    def argv(self, command: str) -> list[str]:
        return ["sh", "-c", command]

    def push(self, source: Path, path: str) -> None:
        Path(path).write_bytes(source.read_bytes())

    def complaint(self, errors: str) -> str:
        return "the connection was lost"


@pytest.fixture
def order(model: Path) -> Order:
    return Order((Configuration(model, "litert"),), runs=20)


def python_that_says(tmp_path: Path, script: str) -> str:
    """A Python that has all packages, and whose agent is `script`, with the marker in M."""
    program = tmp_path / "python"
    program.write_text(
        f'#!/bin/sh\nif [ "$1" = -c ]; then echo "$3 [[3, 11], \\"armv7l\\", {{}}]"; exit; fi\nM=$2\n{script}\n'
    )
    program.chmod(0o755)
    return str(program)


def told(tmp_path: Path, order: Order, script: str) -> list[Event]:
    return list(measure_with_python(Here(tmp_path), order, Settings(remote_python=python_that_says(tmp_path, script))))


def says(tmp_path: Path, *lines: str) -> str:
    """A script that prints these lines, each behind the marker."""
    (tmp_path / "lines.txt").write_text("".join(f"{line}\n" for line in lines))
    return f'while IFS= read -r line; do printf "%s %s\\n" "$M" "$line"; done < {tmp_path / "lines.txt"}'


def event(**content: Any) -> str:
    return json.dumps(content)


BLOCK = json.loads(encode(Block(0, 0, np.array([1], np.int64), np.array([2], np.int64))))
PROBED = json.loads(encode(Probed(0, {}, {})))
HEALTH = json.loads(encode(Health(1)))


def test_the_bundle_measures_in_a_python_of_its_own_with_nothing_of_this_package(tmp_path: Path, order: Order) -> None:
    (tmp_path / "bundle.pyz").write_bytes(bundle())
    (tmp_path / "order.json").write_text(order.to_json())
    code = (
        "import sys, runpy; sys.argv = ['bundle.pyz', 'MARK', 'order.json']\n"
        "runpy.run_path('bundle.pyz', run_name='__main__')\n"
        "files = {m.__file__ for n, m in sys.modules.items() if n.startswith('keras_cnnzoo.')}\n"
        "assert files and all('/code/' in f for f in files), files\n"
        "assert not {'keras', 'tensorflow', 'typer', 'rich', 'PIL'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("MARK {") for line in done.stdout.splitlines())


def test_the_bundle_is_small_repeatable_and_free_of_paths_of_this_machine() -> None:
    content = bundle()
    assert len(content) < 150_000
    assert content == bundle()
    assert str(Path.home()).encode() not in content
    names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert "keras_cnnzoo/mobile_bench/measure.py" in names
    assert not any(name.startswith(("/", "..")) or "/cli/" in name for name in names)


def test_what_is_sent_is_python_of_the_oldest_version_that_is_let_in() -> None:
    archive = zipfile.ZipFile(io.BytesIO(bundle()))
    for name in archive.namelist():
        text = archive.read(name).decode()
        ast.parse(text, name, feature_version=board.OLDEST)
        assert not re.search(r"import .*\b(UTC|Self|StrEnum|tomllib)\b|sys\.flags\.safe_path", text), name


def test_events_of_a_board_arrive_and_paths_are_those_of_here(tmp_path: Path, order: Order) -> None:
    there = f"{tmp_path}/cnnzoo.x/0.tflite"
    failed = event(event="failed", configuration=0, reason=f"{there}: it cannot be run")
    events = told(tmp_path, order, says(tmp_path, event(**BLOCK), failed))
    assert isinstance(events[0], Block)
    assert isinstance(events[1], Failed)
    here = {there: "here.tflite"}
    assert board._named(Failed(0, f"{there}: no"), here) == Failed(0, "here.tflite: no")
    assert board._named(Profiled(0, (), f"{there}: no"), here) == Profiled(0, (), "here.tflite: no")


def test_a_board_is_asked_for_the_backend_that_keras_shall_have_and_waited_for_while_a_runner_builds() -> None:
    keras = Configuration(Path("a.keras"), "keras", 1, {"backend": "jax"})
    assert board.needed([keras]) == ["jax", "keras", "numpy"]
    assert board.needed([Configuration(Path("a.keras"), "keras")]) == ["keras", "numpy", "tensorflow"]
    code = board.LOOK + "\nprint(os.environ.get('KERAS_BACKEND'))"
    done = subprocess.run([sys.executable, "-c", code, "M", "jax"], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "jax"
    build = Order((Configuration(Path("a.onnx"), "tensorrt"), keras))
    assert board.silence(build) > RUNNERS["tensorrt"].patience > BUILD_SECONDS


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "{}",
        event(event="exec", code="1"),
        event(**BLOCK | {"configuration": 1}),
        event(**BLOCK | {"configuration": -1}),
        event(**BLOCK | {"configuration": True}),
        event(**BLOCK | {"round": 1e3}),
        event(**BLOCK | {"durations_ns": []}),
        event(**BLOCK | {"durations_ns": [0]}),
        event(**BLOCK | {"durations_ns": [-1]}),
        event(**BLOCK | {"durations_ns": [1 << 70]}),
        event(**BLOCK | {"durations_ns": ["2"]}),
        event(**BLOCK | {"durations_ns": {"0": 2}}),
        event(**BLOCK | {"durations_ns": "22"}),
        event(**BLOCK | {"starts_ns": [1, 2]}),
        event(**HEALTH | {"others": "x"}),
        event(**BLOCK | {"more": 1}),
        event(**BLOCK | {"energy_j": 1e308}),
        event(**PROBED | {"cost": {"load_ns": 10**400}}),
        event(**PROBED | {"description": {"arena_bytes": 10**400}}),
        event(
            event="profiled", configuration=0, layers=[{"type": "a", "name": "b", "microseconds": None}], missing=None
        ),
        event(event="seen", environment={"cpu": "\ud800"}),
        event(**PROBED | {"cost": {"load_ns": [1]}}),
        event(**PROBED | {"cost": []}),
        event(**PROBED | {"description": "<b>"}),
        event(**PROBED | {"description": {"notes": 5}}),
        event(**PROBED | {"description": {"device": {"deep": [[[[[[[[1]]]]]]]]}}}),
        event(**BLOCK).replace("[2]", "[NaN]"),
        event(**BLOCK).replace("[2]", "[Infinity]"),
        event(**HEALTH).replace("null", "1e999", 1),
        event(**PROBED).replace('"cost": {}', '"cost": {"load_ns": 1e999}'),
        event(**BLOCK).replace("[2]", "[" + "9" * 5000 + "]"),
        "{" + '"a":{' * 50_000,
        '{"event": ' + "[" * 100_000,
        event(event="seen", environment={"cpu": "\x1b[2J\x07"}),
        event(event="seen", environment={"cpu": ["a"]}),
        event(event="failed", configuration=0, reason="\x1b]0;title\x07"),
        event(event="failed", configuration=0, reason=5),
        event(event="failed", configuration=0, reason="x" * 1_000_000),
    ],
    ids=lambda line: line[:40],
)
def test_a_line_that_is_no_event_ends_it_in_a_sentence(tmp_path: Path, order: Order, line: str) -> None:
    taken: list[Event] = []
    script = says(tmp_path, event(**BLOCK), line, event(**BLOCK | {"round": 1}))
    python = python_that_says(tmp_path, script)
    with pytest.raises(InputError) as caught:
        follow(measure_with_python(Here(tmp_path), order, Settings(remote_python=python)), taken)
    words = str(caught.value)
    assert words.startswith("board: ")
    assert words.isprintable()
    assert len(words) < 600
    assert [type(event) for event in taken] == [Block]


def follow(events: Iterator[Event], taken: list[Event]) -> None:
    """Keeps what comes before it breaks off."""
    for each in events:
        taken.append(each)


def test_markup_in_what_a_board_says_stays_text(tmp_path: Path, order: Order) -> None:
    hostile = "<script>alert(1)</script>[red]${7*7}"
    content = PROBED | {"description": {"device": hostile, "notes": [hostile]}}
    (probed,) = told(tmp_path, order, says(tmp_path, event(**content)))
    assert isinstance(probed, Probed)
    assert probed.description["device"] == hostile


def test_a_board_that_prints_without_end_is_cut_off(
    tmp_path: Path, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "MOST_NOISE", 10_000)
    for script in ("yes noise", 'yes "$M x"'):
        with pytest.raises(InputError, match="prints without end"):
            told(tmp_path, order, script)


def test_a_board_that_tells_events_without_end_is_cut_off(
    tmp_path: Path, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "MOST_HEARD", 10_000)
    with pytest.raises(InputError, match="prints without end"):
        told(tmp_path, order, f"while :; do {says(tmp_path, event(**HEALTH))}; done")


def test_a_command_that_prints_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "MOST_OUTPUT", 10_000)
    with pytest.raises(InputError, match="board: it prints without end"):
        shell.client(["yes"], name="board", seconds=60)


def test_a_board_that_falls_silent_is_given_up(tmp_path: Path, order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "silence", lambda order: 0.5)
    with pytest.raises(InputError, match=r"nothing was heard of it for 0\.5 s; it hangs"):
        told(tmp_path, order, "sleep 60")


def test_an_agent_that_dies_is_said_with_its_last_words(tmp_path: Path, order: Order) -> None:
    with pytest.raises(InputError, match=r"board: Python died there \(MemoryError\); what it measured"):
        told(tmp_path, order, "echo Traceback >&2; echo MemoryError >&2; exit 1")
    with pytest.raises(InputError, match="Python was killed there"):
        told(tmp_path, order, "kill -9 $$")


def test_a_python_that_answers_nonsense_is_said(tmp_path: Path, order: Order) -> None:
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\necho "$3 [[\\"3\\", 11], 1, 2]"\n')
    program.chmod(0o755)
    with pytest.raises(InputError, match="board: its Python answers nonsense"):
        list(measure_with_python(Here(tmp_path), order, Settings(remote_python=str(program))))


def test_install_uses_a_venv_in_the_temporary_folder_and_nothing_else(tmp_path: Path, order: Order) -> None:
    log, program = tmp_path / "log", tmp_path / "python"
    program.write_text(
        f'#!/bin/sh\necho "$0 $*" >> {log}\nif [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; fi\n'
        f'if [ "$2" = pip ]; then echo "ERROR: No matching distribution found for ai-edge-litert" >&2; exit 1; fi\n'
    )
    program.chmod(0o755)
    with pytest.raises(InputError, match=r"could not be installed there \(ERROR: No matching distribution"):
        list(measure_with_python(Here(tmp_path), order, Settings(remote_python=str(program), install=True)))
    made, installed = log.read_text().splitlines()
    folder = made.split()[-1].removesuffix("/venv")
    assert folder.startswith(f"{tmp_path}/cnnzoo.")
    assert installed.startswith(f"{folder}/venv/bin/python -m pip install")
    assert not Path(folder).exists()


def test_samples_are_what_the_board_sent(tmp_path: Path, order: Order) -> None:
    sent = Block(0, 3, np.array([5, 9], np.int64), np.array([2, 3], np.int64))
    (block,) = told(tmp_path, order, says(tmp_path, encode(sent)))
    assert isinstance(block, Block)
    assert (block.round, block.starts_ns.tolist(), block.durations_ns.tolist()) == (3, [5, 9], [2, 3])


def by_benchmark_model(tmp_path: Path, order: Order, program: Path) -> list[Event]:
    return list(measure_with_benchmark_model(Here(tmp_path), order, program))


def test_benchmark_model_measures_what_a_journal_lacks_beside_its_reference(
    tmp_path: Path, model: Path, program: Path
) -> None:
    configurations = (Configuration(model, "litert"), Configuration(model, "litert", 1, {"xnnpack": False}))
    order = Order(configurations, runs=10, done={0: tuple(range(10)), 1: tuple(range(8))})
    blocks = [event for event in by_benchmark_model(tmp_path, order, program) if isinstance(event, Block)]
    assert {(b.configuration, b.round) for b in blocks} == {(index, number) for index in (0, 1) for number in (10, 11)}


def test_what_benchmark_model_cannot_do_is_said(tmp_path: Path, order: Order, program: Path) -> None:
    with pytest.raises(InputError, match="board: benchmark_model cannot be kept on processors; leave --cpus out"):
        by_benchmark_model(tmp_path, replace(order, cpus=(0,)), program)
    events = by_benchmark_model(tmp_path, replace(order, profile=True), program)
    (profiled,) = (event for event in events if isinstance(event, Profiled))
    assert profiled.missing is not None
    assert profiled.missing.endswith("no profile by operator: benchmark_model is asked for none")
