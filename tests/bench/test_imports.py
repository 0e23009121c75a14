"""The bench stands beside the zoo: it needs neither the zoo nor what the zoo is built on."""

import importlib
import subprocess
import sys

import pytest

HEAVY = {"tensorflow", "keras", "jax", "torch"}
ZOO = {"keras_cnnzoo.kit", "keras_cnnzoo.model", "keras_cnnzoo.registry", "keras_cnnzoo.export"}


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import keras_cnnzoo.mobile_bench",
        "import keras_cnnzoo.mobile_bench.cli",
        "from keras_cnnzoo.mobile_bench import benchmark, as_csv, as_json, tables, compare, summarise, verdict",
    ],
)
def test_importing_the_bench_loads_neither_zoo_nor_framework(statement: str) -> None:
    assert not loaded_by(statement) & (HEAVY | ZOO)


def test_importing_the_command_line_loads_neither_numpy_nor_litert() -> None:
    assert not loaded_by("import keras_cnnzoo.mobile_bench.cli") & {"numpy", "ai_edge_litert"}


def test_statistics_need_numpy_alone() -> None:
    loaded = loaded_by("import keras_cnnzoo.mobile_bench.statistics")
    assert not loaded & {"rich", "typer", "ai_edge_litert"}


def test_every_public_name_can_be_had() -> None:
    bench = importlib.import_module("keras_cnnzoo.mobile_bench")
    for name in bench.__all__:
        assert getattr(bench, name) is not None
