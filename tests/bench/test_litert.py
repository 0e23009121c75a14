"""The runner, and the probe that runs it in a process of its own."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from keras_cnnzoo import InputError
from keras_cnnzoo.mobile_bench import probe as probe_module
from keras_cnnzoo.mobile_bench.probe import probe
from keras_cnnzoo.mobile_bench.runners.litert import LiteRTRunner, random_input

MakeModel = Callable[..., Path]


def test_a_runner_has_its_input_set_by_the_seed(model: Path) -> None:
    def output(seed: int) -> np.ndarray:
        runner = LiteRTRunner(model, seed=seed)
        runner.invoke()
        return runner.interpreter.get_tensor(runner.interpreter.get_output_details()[0]["index"])

    np.testing.assert_array_equal(output(0), output(0))
    assert not np.array_equal(output(0), output(1))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.uint8, np.int16, np.int32, np.int64, np.bool_])
def test_an_input_has_the_shape_and_dtype_of_the_model(dtype: type) -> None:
    value = random_input(np.array([1, 50, 3], np.int32), dtype, np.random.default_rng(0))
    assert (value.shape, value.dtype) == ((1, 50, 3), np.dtype(dtype))
    assert len(np.unique(value)) > 1


def test_8_bit_inputs_use_their_whole_range() -> None:
    value = random_input(np.array([10_000]), np.int8, np.random.default_rng(0))
    assert (value.min(), value.max()) == (-128, 127)


def test_an_input_of_strings_is_refused() -> None:
    with pytest.raises(ValueError, match="only numbers"):
        random_input(np.array([1]), np.bytes_, np.random.default_rng(0))


def test_a_probe_counts_operators_and_what_the_delegate_took(model: Path) -> None:
    cost = probe(model)
    assert cost.operators == {"CONV_2D": 2, "ADD": 1}
    assert (cost.undelegated, cost.partitions) == ({}, 1)


def test_operators_outside_the_delegate_are_named_and_split_it(make_model: MakeModel) -> None:
    assert LiteRTRunner(make_model("modulo.tflite", middle="FLOOR_MOD")).operators() == {
        "operators": {"CONV_2D": 2, "FLOOR_MOD": 1},
        "undelegated": {"FLOOR_MOD": 1},
        "partitions": 2,
    }


def test_a_probe_measures_memory_and_times_of_a_fresh_process(model: Path, larger_model: Path) -> None:
    small, large = probe(model), probe(larger_model, threads=2)
    for cost in (small, large):
        assert cost.peak_bytes is not None
        assert min(cost.peak_bytes, cost.load_ns, cost.first_ns) > 0


def test_the_probe_s_program_needs_nothing_of_this_package(model: Path) -> None:
    code = f"import sys, runpy; sys.argv[1:] = [{str(model)!r}, '1', '0']; "
    code += f"runpy.run_path({str(probe_module.PROGRAM)!r}, run_name='__main__'); "
    code += "assert not any(name.startswith('keras') or name == 'tensorflow' for name in sys.modules)"
    subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True)


def test_a_file_that_crashes_litert_takes_only_the_probe_with_it(make_model: MakeModel) -> None:
    with pytest.raises(InputError, match=r"crash\.tflite: LiteRT crashed while loading it; the file is corrupt"):
        probe(make_model("crash.tflite", middle="SPLIT"))


def test_a_file_that_litert_refuses_is_named_in_one_line(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.tflite"
    path.write_bytes(model.read_bytes()[:3000])
    with pytest.raises(InputError, match="LiteRT refuses it") as caught:
        probe(path)
    assert "\n" not in str(caught.value)


def test_a_probe_that_does_not_come_back_is_given_up(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "TIMEOUT_SECONDS", 0.01)
    with pytest.raises(InputError, match=r"did not load and run it within 0\.01 s"):
        probe(model)
