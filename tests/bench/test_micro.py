"""TFLite-Micro: kernels, arena, flash, and answers equal to those of LiteRT's reference kernels."""

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from keras_cnnzoo import InputError
from keras_cnnzoo.mobile_bench import micro
from keras_cnnzoo.mobile_bench.child import CrashError
from keras_cnnzoo.mobile_bench.cli.micro import _as_object
from keras_cnnzoo.mobile_bench.micro import MicroReport, check_micro, reference_outputs, write_inside
from keras_cnnzoo.mobile_bench.runners.micro import MicroRunner, RefusalError, run, run_in
from keras_cnnzoo.mobile_bench.tflite_file import pack, read_graph, unpack

MakeModel = Callable[..., Path]
pytest.importorskip("tflite_micro", reason="no TFLite-Micro here: pip install 'keras-cnnzoo[micro]'")


@pytest.fixture(scope="module")
def sound(make_int8: MakeModel) -> Path:
    return make_int8()


@pytest.fixture(scope="module")
def report(sound: Path) -> MicroReport:
    return check_micro(sound, arena=256 << 10, flash=1 << 20)


def test_a_sound_int8_model_fits_and_answers_as_the_reference_kernels(report: MicroReport) -> None:
    assert (report.missing, report.wrong, report.refused) == ((), (), None)
    assert (report.largest_difference, report.compared) == (0.0, 4)
    assert report.problems() == []


def test_the_comparison_is_of_outputs_that_vary(sound: Path) -> None:
    rng = np.random.default_rng(1)
    inputs = [rng.integers(-128, 127, (4, 1, 12, 12, 8), np.int8, endpoint=True)]
    outputs = run(sound, inputs, read_graph(sound)).outputs
    assert outputs[0].std() > 5
    assert np.array_equal(outputs[0], reference_outputs(sound, inputs)[0])
    assert not np.array_equal(outputs[0][0], outputs[0][1])


def test_the_arena_it_reports_is_the_smallest_that_will_do(sound: Path, report: MicroReport) -> None:
    inputs = [np.zeros((1, 1, 12, 12, 8), np.int8)]
    assert report.arena_bytes is not None
    assert run_in(sound, inputs, report.arena_bytes, 1).arena_bytes == report.arena_bytes
    with pytest.raises(RefusalError, match="too small"):
        run_in(sound, inputs, report.arena_bytes - 16, 1)
    assert report.activation_bytes is not None
    assert report.activation_bytes >= 2 * 12 * 12 * 8  # a layer's input and output at once


def test_an_arena_that_crashes_it_is_a_refusal(sound: Path) -> None:
    with pytest.raises(RefusalError, match="arena of 64 bytes"):
        run_in(sound, [np.zeros((1, 1, 12, 12, 8), np.int8)], 64, 1)


def test_what_does_not_fit_is_said(sound: Path) -> None:
    problems = check_micro(sound, arena=1 << 10, flash=1 << 10).problems()
    assert [problem.split(" bytes")[0].rsplit(" ", 1)[0] for problem in problems] == [
        "it needs an arena of",
        "the file has",
    ]


def test_a_relu6_of_its_own_that_changes_scale_is_found_in_the_file_and_is_wrong(make_int8: MakeModel) -> None:
    path = make_int8(6 / 255)
    report = check_micro(path)
    assert report.wrong == ("result",)
    assert report.largest_difference is not None
    assert report.largest_difference > 10  # steps of 6/255
    assert any("RELU6 of its own" in problem for problem in report.problems())
    assert "result: a RELU6" in " ".join(MicroRunner(path).describe().notes)


def test_a_relu_that_changes_scale_is_right_but_for_rounding(make_int8: MakeModel) -> None:
    report = check_micro(make_int8(6 / 255, "RELU"))
    assert (report.wrong, report.largest_difference, report.problems()) == ((), 1.0, [])


def with_data_behind(path: Path, target: Path) -> Path:
    """The same model as litert-quantizer writes large ones: the kernels stand behind the flatbuffer."""
    model = unpack(path)
    moved = [
        (buffer, bytes(buffer.data)) for buffer in model.buffers if buffer.data is not None and len(buffer.data) > 64
    ]
    for buffer, data in moved:
        buffer.data, buffer.offset, buffer.size = None, 2, len(data)
    start = len(pack(model))
    for buffer, data in moved:
        buffer.offset = start
        start += len(data)
    target.write_bytes(pack(model) + b"".join(data for _, data in moved))
    return target


def test_weights_behind_the_flatbuffer_are_found_and_can_be_written_inside(sound: Path, tmp_path: Path) -> None:
    behind = with_data_behind(sound, tmp_path / "behind.tflite")
    inputs = [np.random.default_rng(0).integers(-128, 127, (1, 1, 12, 12, 8), np.int8)]
    expected = reference_outputs(sound, inputs)[0]
    assert np.array_equal(reference_outputs(behind, inputs)[0], expected)  # LiteRT finds them
    assert not np.array_equal(run(behind, inputs, read_graph(behind)).outputs[0], expected)  # TFLite-Micro does not
    report = check_micro(behind)
    assert (report.behind, report.largest_difference) == (True, 0.0)
    assert "behind the flatbuffer" in report.problems()[0]
    with pytest.raises(InputError, match="behind the flatbuffer"):
        MicroRunner(behind)
    inside = write_inside(behind, tmp_path / "inside.tflite")
    assert np.array_equal(run(inside, inputs, read_graph(inside)).outputs[0], expected)
    assert check_micro(inside).problems() == []


def test_8_bit_activations_without_a_sign_are_refused_by_name(make_int8: MakeModel, tmp_path: Path) -> None:
    model, path = unpack(make_int8()), tmp_path / "uint8.tflite"
    for tensor in model.subgraphs[0].tensors:
        tensor.type = schema.TensorType.UINT8 if tensor.type == schema.TensorType.INT8 else tensor.type
    path.write_bytes(pack(model))
    assert "not supported" in (check_micro(path).refused or "")


def test_every_operator_without_a_kernel_is_named(make_model: MakeModel, tmp_path: Path) -> None:
    assert check_micro(make_model("tile.tflite", middle="TILE")).missing == ("TILE",)
    path = tmp_path / "two.tflite"
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(make_model("gelu.tflite", middle="GELU").read_bytes(), 0))
    model.operatorCodes[2].builtinCode = schema.BuiltinOperator.CONV_3D
    model.operatorCodes[2].deprecatedBuiltinCode = 127
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    report = check_micro(path)
    assert set(report.missing) == {"GELU", "CONV_3D"}
    assert len(report.problems()) == 2


def test_a_float_model_is_equal_too(model: Path) -> None:
    report = check_micro(model)
    assert (report.largest_difference, report.problems()) == (0.0, [])
    assert report.operators == {"CONV_2D": 2, "ADD": 1}


def test_inputs_that_cannot_be_made_up_are_a_refusal(model: Path, tmp_path: Path) -> None:
    network = unpack(model)
    network.subgraphs[0].tensors[network.subgraphs[0].inputs[0]].type = schema.TensorType.STRING
    path = tmp_path / "words.tflite"
    path.write_bytes(pack(network))
    assert "an input of type string, only numbers can be made up" in (check_micro(path).refused or "")


def test_a_file_that_the_reference_kernels_refuse_or_die_of_is_a_refusal(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*question: object, seconds: float) -> None:
        raise CrashError("Segmentation fault", 11)

    asked = make_model("crash.tflite", middle="SPLIT"), [np.zeros((1, 1, 16, 16, 8), np.float32)]
    with pytest.raises(RefusalError, match="LiteRT's reference kernels refuse it"):
        reference_outputs(*asked)
    monkeypatch.setattr(micro, "ask", die)
    with pytest.raises(RefusalError, match="LiteRT's reference kernels did not survive it"):
        reference_outputs(*asked)


def test_a_difference_without_end_is_json_all_the_same(report: MicroReport) -> None:
    endless = _as_object(dataclasses.replace(report, largest_difference=float("inf")))
    assert endless["largest_difference"] is None
    assert "differ from LiteRT's reference kernels by up to inf" in str(endless["problems"])
    json.dumps(endless, allow_nan=False)


def test_the_runner_answers_and_its_time_is_no_latency(sound: Path) -> None:
    runner = MicroRunner(sound)
    inputs = [np.full((1, 12, 12, 8), 50, np.int8)]
    assert np.array_equal(runner.outputs(inputs)[0], reference_outputs(sound, [inputs[0][None]])[0][0])
    description = runner.describe()
    assert (description.timed, description.operators) == (False, {"CONV_2D": 1, "RELU6": 1})
    assert "no latency" in description.notes[0]
    with pytest.raises(RuntimeError, match="no latency"):
        runner.time_block(5)
    with pytest.raises(InputError, match="TFLite-Micro has one"):
        MicroRunner(sound, threads=2)


def test_absent_software_and_broken_files_are_said(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = tmp_path / "short.tflite"
    short.write_bytes(sound.read_bytes()[:300])
    with pytest.raises(InputError, match=r"cannot be read as a \.tflite model"):
        read_graph(short)
    with pytest.raises(InputError, match="--arena 0: give at least 1 byte"):
        check_micro(sound, arena=0)
    monkeypatch.setattr(micro, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="TFLite-Micro is not installed; pip install"):
        check_micro(sound)


def bench(*arguments: object) -> subprocess.CompletedProcess[str]:
    code = "from keras_cnnzoo.mobile_bench.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_the_command_writes_the_weights_inside_and_ends_with_3_where_they_are_not(sound: Path, tmp_path: Path) -> None:
    behind, inside = with_data_behind(sound, tmp_path / "behind.tflite"), tmp_path / "inside.tflite"
    found = bench("micro", behind, "--arena", "256K", "--flash", "1M", "--json")
    assert found.returncode == 3, found.stderr
    (report,) = json.loads(found.stdout)
    assert report["behind"]
    assert "--inside" in report["problems"][0]
    done = bench("micro", behind, "--inside", inside)
    assert done.returncode == 0, done.stderr
    again = bench("micro", behind, "--inside", inside)
    assert again.returncode == 2
    assert "exists already; give --force" in again.stderr
    assert "there is no such file" in bench("micro", tmp_path / "no.tflite", "--inside", tmp_path / "x").stderr


def test_a_measurement_by_it_shows_no_time_at_all(sound: Path, tmp_path: Path) -> None:
    done = bench(sound, "--runner", "micro", "--runs", 10, "--json", tmp_path / "r.json")
    assert done.returncode == 0, done.stderr
    assert "no latency" in done.stdout
    assert not re.search(r'"(load|first)_ns": \d', (tmp_path / "r.json").read_text())
