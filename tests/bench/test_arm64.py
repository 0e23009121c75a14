"""The same files on arm64, by LiteRT's own wheel for it under qemu-user. Never timed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MakeModel = Callable[..., Path]
ROOT = Path(__file__).parents[2]
FOLDER = os.environ.get("CNNZOO_ARM64")

pytestmark = pytest.mark.skipif(
    not FOLDER or not Path(FOLDER, "ready").exists(),
    reason="no arm64 Python: bash tests/bench/arm64.sh FOLDER, then set CNNZOO_ARM64=FOLDER",
)


@pytest.fixture(scope="module")
def rows(model: Path, make_model: MakeModel, make_int8: MakeModel) -> dict[str, dict]:
    return compared([model, make_model("modulo.tflite", middle="FLOOR_MOD"), make_int8()])


def compared(files: list[Path]) -> dict[str, dict]:
    """What benchmarks/arm64.py says of each file."""
    command = [sys.executable, ROOT / "benchmarks" / "arm64.py", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return {row["file"]: row for row in json.loads(done.stdout)}


def test_float_outputs_differ_by_rounding_only(rows: dict[str, dict]) -> None:
    row = rows["small.tflite"]
    assert (row["unit"], row["agrees"]) == ("absolute", True)
    assert row["difference"] <= 1e-4
    assert row["spread"] > 0.01  # the inputs matter


def test_int8_outputs_differ_by_a_step_at_most(rows: dict[str, dict]) -> None:
    row = rows["relu6.tflite"]
    assert (row["unit"], row["agrees"]) == ("steps", True)
    assert row["difference"] <= 1
    assert row["spread"] > 5


def test_operators_and_delegate_partitions_are_those_of_x86(rows: dict[str, dict]) -> None:
    for row in rows.values():
        assert row["same"] == {"operators": True, "undelegated": True, "partitions": True}, row["file"]
    assert rows["modulo.tflite"]["partitions"] == 2


def test_a_processor_that_is_not_named_is_known_to_be_wrong_in_int8() -> None:
    """The wrapper names one; qemu's default computes int8 wrong without a word, so it must never be used."""
    assert FOLDER is not None
    assert " -cpu cortex-a72 " in Path(FOLDER, "python3").read_text()


@pytest.mark.slow
def test_lowered_networks_have_the_operators_and_the_one_partition_that_they_have_on_x86(tmp_path: Path) -> None:
    """What the passes gain lies in operators and partitions, so it is there on arm64 too; times are not asked here."""
    pytest.importorskip("keras")
    from keras_cnnzoo.by_name import create
    from keras_cnnzoo.export import to_tflite
    from keras_cnnzoo.export.sweep import calibrate, pictures

    files, data = [], pictures(4, (64, 64, 3), seed=0)
    for name, scheme in (("shufflenet_v1", "float32"), ("shufflenet_v1", "int8"), ("mobilenet_v3_small", "int8")):
        model = create(name, classifier_activation=None, input_shape=(64, 64, 3))
        calibrate(model, data)
        files.append(tmp_path / f"{name}_{scheme}.tflite")
        to_tflite(model, files[-1], quantize=scheme, calibration=data)
    for name, row in compared(files).items():
        assert row["same"] == {"operators": True, "undelegated": True, "partitions": True}, name
        assert row["partitions"] == 1, name
