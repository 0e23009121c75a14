"""The runner, and the probe that runs it in a process of its own."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from keras_cnnzoo import InputError
from keras_cnnzoo.mobile_bench.order import Configuration
from keras_cnnzoo.mobile_bench.probe import probe
from keras_cnnzoo.mobile_bench.runners import RUNNERS, import_software, random_input, random_inputs
from keras_cnnzoo.mobile_bench.runners.litert import LiteRTRunner

MakeModel = Callable[..., Path]


def under_litert(path: Path, threads: int = 1) -> Configuration:
    return Configuration(path, "litert", threads)


def test_a_runner_has_its_input_set_by_the_seed(model: Path) -> None:
    def output(seed: int) -> np.ndarray:
        runner = LiteRTRunner(model)
        return runner.outputs(random_inputs(runner.inputs, seed))[0]

    np.testing.assert_array_equal(output(0), output(0))
    assert not np.array_equal(output(0), output(1))


def test_a_runner_has_as_many_threads_as_asked(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def opened(**options: object) -> Interpreter:
        asked.append(options["num_threads"])
        return Interpreter(**options)

    monkeypatch.setattr("ai_edge_litert.interpreter.Interpreter", opened)
    LiteRTRunner(model, threads=3)
    assert asked == [3]


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
    _, told = probe(under_litert(model))
    assert told["operators"] == {"CONV_2D": 2, "ADD": 1}
    assert (told["undelegated"], told["partitions"]) == ({}, 1)
    assert told["flags"] == {"XNNPACK": "on", "delegate": "none"}


def test_the_arena_holds_what_lives_at_the_same_time(model: Path) -> None:
    """Three of the four tensors of 1 x 16 x 16 x 8 floats: the first is free when the last is made."""
    assert LiteRTRunner(model).describe().arena_bytes == 3 * 16 * 16 * 8 * 4


def test_operators_outside_the_delegate_are_named_and_split_it(make_model: MakeModel) -> None:
    told = LiteRTRunner(make_model("modulo.tflite", middle="FLOOR_MOD")).describe()
    assert told.operators == {"CONV_2D": 2, "FLOOR_MOD": 1}
    assert (told.undelegated, told.partitions) == ({"FLOOR_MOD": 1}, 2)


def test_without_the_delegate_all_operators_are_outside_and_answers_are_the_same(model: Path) -> None:
    plain, default = LiteRTRunner(model, xnnpack=False), LiteRTRunner(model)
    told = plain.describe()
    assert (told.undelegated, told.partitions) == ({"CONV_2D": 2, "ADD": 1}, 0)
    value = random_inputs(plain.inputs, 1)
    expected = default.outputs(value)[0]
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(plain.outputs(value)[0], expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # LiteRT's own destructor
def test_a_delegate_that_is_none_is_named(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--delegate .*libnone\.so: there is no such file"):
        LiteRTRunner(model, delegate=str(tmp_path / "libnone.so"))
    with pytest.raises(InputError, match=r"--delegate libm\.so\.6: it is not a LiteRT delegate"):
        LiteRTRunner(model, delegate="libm.so.6")


def test_a_probe_measures_memory_and_times_of_a_fresh_process(model: Path, larger_model: Path) -> None:
    for path, threads in ((model, 1), (larger_model, 2)):
        cost, _ = probe(under_litert(path, threads))
        assert set(cost) == {"peak_bytes", "load_ns", "first_ns"}
        assert all(isinstance(value, int) and value > 0 for value in cost.values())


def test_a_file_that_crashes_litert_takes_only_the_probe_with_it(make_model: MakeModel) -> None:
    with pytest.raises(InputError, match=r"crash\.tflite: litert crashed while loading it; the file is corrupt"):
        probe(under_litert(make_model("crash.tflite", middle="SPLIT")))


def test_a_file_that_litert_refuses_is_named_in_one_line(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.tflite"
    path.write_bytes(model.read_bytes()[:3000])
    with pytest.raises(InputError, match="litert refuses it") as caught:
        probe(under_litert(path))
    assert "\n" not in str(caught.value)


def test_a_probe_that_does_not_come_back_is_given_up(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RUNNERS, "litert", dataclasses.replace(RUNNERS["litert"], patience=0.01))
    with pytest.raises(InputError, match=r"did not load and run it within 0\.01 s"):
        probe(under_litert(model))


def test_software_that_cannot_be_loaded_is_not_taken_for_a_corrupt_file(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = dataclasses.replace(RUNNERS["litert"], package="keras_cnnzoo.absent")
    monkeypatch.setitem(RUNNERS, "litert", broken)
    with pytest.raises(
        InputError, match=r"keras_cnnzoo\.absent cannot be loaded here .*; install it anew: pip install"
    ):
        import_software("litert")


@pytest.mark.parametrize("dtype", ["string", "bfloat16"])
def test_inputs_that_cannot_be_made_up_are_named(dtype: str) -> None:
    with pytest.raises(ValueError, match=f"an input of type {dtype}, only numbers"):
        random_input((1,), dtype, np.random.default_rng(0))
