"""Two processes on the loopback train as one with the whole batch, and go on after one of them was killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

PROCESS = """
    import json, sys
    out, port, number, seed = sys.argv[1], *map(int, sys.argv[2:])
    from keras_cnnzoo.training import Data, Recipe, loop, train
    from keras_cnnzoo.training.hosts import join, part
    if port:
        join(2, f"127.0.0.1:{port}", number)
    from small import coloured, small_network
    loop.LOST = loop.WORTH = 0.0
    data = Data(coloured(100, 0), coloured(31, 1), ("red", "green", "blue"), (12, 12, 3), "coloured noise")
    recipe = Recipe(epochs=4, batch=20, learning_rate=0.05, warmup=1, shift=0.1, area=0.5, ema=0.5)
    run = train(small_network(seed=seed), data, recipe, out=out, seed=3)
    print(json.dumps(part()))
    print(json.dumps([(row.loss, row.accuracy, row.test_loss, row.test_accuracy) for row in run.history]))
"""


def start(folder: Path, out: str, port: int, number: int, seed: int = 0) -> subprocess.Popen[str]:
    (folder / "small.py").write_text((Path(__file__).parent / "conftest.py").read_text())
    words = [out, str(port), str(number), str(seed)]
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROCESS), *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def curves(processes: list[subprocess.Popen[str]]) -> np.ndarray:
    """(processes, epochs, 4): losses and accuracies of processes that each did their part."""
    found = []
    try:
        for number, process in enumerate(processes):
            stdout, stderr = process.communicate(timeout=300)
            assert process.returncode == 0, stderr[-3000:]
            *_, part, curve = stdout.splitlines()
            assert json.loads(part) == [number, len(processes)]
            found.append(json.loads(curve))
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    return np.array(found)


def pair(folder: Path, out: str, seed: int = 0) -> list[subprocess.Popen[str]]:
    port = free_port()
    return [start(folder, out, port, number, seed) for number in (0, 1)]


@pytest.mark.slow
def test_two_processes_have_the_curve_of_one_and_survive_a_kill(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    (alone,) = curves([start(tmp_path, "alone", 0, 0)])
    both = pair(tmp_path, "both")
    try:
        while not (tmp_path / "both" / "checkpoint.safetensors").exists():
            assert all(process.poll() is None for process in both), "it ended before its first checkpoint"
            time.sleep(0.01)
        both[1].send_signal(signal.SIGKILL)
    finally:
        for process in reversed(both):
            process.kill()  # as a scheduler does once one is lost
            process.communicate()
    left = json.loads(_progress(tmp_path / "both" / "checkpoint.safetensors"))
    assert left["step"] > 0
    first, second = curves(pair(tmp_path, "both", seed=9))  # starting anew would show
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, alone, rtol=1e-4)
    assert alone[-1, 0] < alone[0, 0]
    assert [path.name for path in (tmp_path / "both").glob("*.keras")] == ["model.keras"]


def _progress(path: Path) -> str:
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        return file.metadata()["progress"]


BACKEND = """
    import os
    from pathlib import Path
    os.environ.pop("KERAS_BACKEND", None)
    from keras_cnnzoo.training import cli

    def told(*arguments):
        import keras
        raise SystemExit("backend " + keras.backend.backend())

    cli._first_of = told
    cli.train("resnet20", "x.npz", Path("run"), hosts=2, quiet=True)
"""


@pytest.mark.slow
def test_the_command_chooses_jax_before_keras_is_loaded(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    np.savez(tmp_path / "x.npz", images=np.zeros((10, 32, 32, 3), np.uint8), labels=np.arange(10) % 2)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(BACKEND)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1] == "backend jax"
