"""Runners other than LiteRT: ONNX Runtime, Keras in a worker process, TensorRT by a stand-in for trtexec."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from keras_cnnzoo import InputError
from keras_cnnzoo.mobile_bench import benchmark, probe, profile
from keras_cnnzoo.mobile_bench.order import Configuration, Order
from keras_cnnzoo.mobile_bench.runners import (
    RUNNERS,
    browser,
    check,
    micro,
    open_runner,
    random_inputs,
    tensorrt,
    web,
)
from keras_cnnzoo.mobile_bench.runners.keras import KerasRunner
from keras_cnnzoo.mobile_bench.runners.onnxruntime import node_times


@pytest.fixture(scope="module")
def onnx_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolution and a ReLU; its batch is open."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    kernel = np.random.default_rng(0).standard_normal((8, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"], name="conv", pads=[1] * 4),
        helper.make_node("Relu", ["y"], ["z"], name="relu"),
    ]
    tensors = [helper.make_tensor_value_info(n, kind, ["n", c, 16, 16]) for n, c in (("x", 3), ("z", 8))]
    graph = helper.make_graph(nodes, "small", tensors[:1], tensors[1:], [onnx.numpy_helper.from_array(kernel, "w")])
    path = tmp_path_factory.mktemp("onnx") / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_onnx_runtime_computes_what_the_model_says_and_says_what_it_is(onnx_model: Path) -> None:
    runner = open_runner(Configuration(onnx_model, "onnxruntime", 3, {"batch": 2}))
    assert runner.session.get_session_options().intra_op_num_threads == 3  # type: ignore[attr-defined]
    (value,) = random_inputs(runner.inputs, 3)
    (found,) = runner.outputs([value])
    kernel = np.random.default_rng(0).standard_normal((8, 3, 3, 3)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(value, ((0, 0), (0, 0), (1, 1), (1, 1))), (3, 3), (2, 3))
    expected = np.maximum(np.einsum("nchwij,ocij->nohw", windows, kernel), 0)
    assert expected.max() > 1
    np.testing.assert_allclose(found, expected, atol=1e-4)
    told = runner.describe()
    assert told.operators == {"Conv": 1, "Relu": 1}
    assert told.flags == {"providers": "CPUExecutionProvider", "batch": "2"}
    assert "onnxruntime" in told.versions


def test_an_onnx_file_stands_beside_a_tflite_file(onnx_model: Path, model: Path) -> None:
    first, second = benchmark([model, onnx_model], runs=24, profile=True).measurements
    assert (first.runner, second.runner) == ("litert", "onnxruntime")
    assert second.ratio is not None
    assert {"Conv"} <= {layer.type for layer in second.layers} <= {"Conv", "Relu", "ReorderInput", "ReorderOutput"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"provider": "cuda9"}, "--provider cuda9: this ONNX Runtime has .*CPUExecutionProvider"),
        ({"colour": 1}, "colour"),
        ({"batch": 0}, "--batch 0: give at least 1"),
    ],
)
def test_options_that_onnx_runtime_has_not_are_named(onnx_model: Path, options: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        open_runner(Configuration(onnx_model, "onnxruntime", 1, options))


def test_a_provider_that_does_not_start_is_named_not_replaced(
    onnx_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    sentence = "--provider CUDAExecutionProvider: it cannot be started here, ONNX Runtime would take CPU"
    with pytest.warns(UserWarning, match="CUDA"), pytest.raises(InputError, match=sentence):
        open_runner(Configuration(onnx_model, "onnxruntime", 1, {"provider": "cuda"}))


def test_a_corrupt_onnx_file_is_named(onnx_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.onnx"
    path.write_bytes(onnx_model.read_bytes()[:200])
    with pytest.raises(InputError, match=r"short\.onnx: onnxruntime refuses it") as caught:
        benchmark([path], runs=5)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def flattening(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Reshape to the values of one picture, though its batch is open: it runs for a batch of one alone."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    tensors = [helper.make_tensor_value_info(n, kind, ["n", size]) for n, size in (("x", 4), ("y", 4))]
    shape = onnx.numpy_helper.from_array(np.array([1, 4]), "shape")
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    graph = helper.make_graph(nodes, "flattening", tensors[:1], tensors[1:], [shape])
    path = tmp_path_factory.mktemp("onnx") / "flattening.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_what_onnx_runtime_says_while_it_runs_is_a_sentence(flattening: Path) -> None:
    runner = open_runner(Configuration(flattening, "onnxruntime", 1, {"batch": 8}))
    for call in (runner.invoke, lambda: runner.time_block(2), lambda: runner.outputs([np.zeros((8, 4), np.float32)])):
        with pytest.raises(RuntimeError, match="Reshape"):
            call()
    with pytest.raises(InputError, match=r"flattening\.onnx: onnxruntime refuses it .*Reshape"):
        benchmark([flattening], runs=5, options={"batch": [8]})


def test_a_trace_of_onnx_runtime_gives_the_median_of_each_node() -> None:
    def event(name: str, kind: str, microseconds: int) -> dict:
        return {"cat": "Node", "name": f"{name}_kernel_time", "dur": microseconds, "args": {"op_name": kind}}

    events = [event("a", "Conv", t) for t in (5, 9, 100)] + [event("b", "Relu", 2), {"cat": "Session", "name": "run"}]
    assert [(layer.type, layer.name, layer.microseconds) for layer in node_times(events)] == [
        ("Conv", "a", 9.0), ("Relu", "b", 2.0),
    ]  # fmt: skip


def test_software_that_is_absent_is_named_in_a_sentence(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras_cnnzoo.mobile_bench.runners.find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs ai_edge_litert, which is not there; pip install ai-edge-litert"):
        check(Configuration(model, "litert"))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_keras_computes_in_half_precision_in_a_process_of_its_own(tmp_path: Path, backend: str) -> None:
    keras = pytest.importorskip("keras")
    pytest.importorskip(backend)
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(8, 3, activation="relu")(inputs)
    network = keras.Model(inputs, keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(x)))
    rng, path = np.random.default_rng(1), tmp_path / "small.keras"
    network.set_weights([w + rng.normal(0, 0.1, w.shape) for w in network.get_weights()])  # biases too
    network.save(path)
    value = np.random.default_rng(0).standard_normal((2, 8, 8, 3)).astype(np.float32)
    expected = np.asarray(network.predict_on_batch(value))
    for precision, tolerance in (("fp32", 1e-5), ("bf16", 0.05)) if backend == "tensorflow" else (("fp32", 1e-5),):
        mode = "eager" if backend == "torch" else "compiled"  # torch.compile asks for a C++ compiler
        options = {"batch": 2, "precision": precision, "backend": backend, "mode": mode}
        runner = open_runner(Configuration(path, "keras", 1, options))
        try:
            (found,) = runner.outputs([value])
            assert np.abs(found - expected).max() < tolerance * np.abs(expected).max()
            assert (np.abs(found - expected).max() > 1e-4 * np.abs(expected).max()) == (precision == "bf16")
            starts, durations = runner.time_block(3)
            assert (durations > 0).all()
            assert (np.diff(starts) >= durations[:-1]).all()
            assert runner.describe().flags["precision"] == precision
            assert np.dtype(runner.inputs[0].dtype) == np.float32
        finally:
            runner.close()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"backend": "mxnet"}, "--backend mxnet: give tensorflow, jax, torch"),
        ({"mode": "fast"}, "--mode fast: give compiled, eager"),
        ({"precision": "fp8"}, "--precision fp8: give fp32, fp16, bf16"),
        ({"batch": 0}, "--batch 0: give at least 1"),
    ],
)
def test_options_that_keras_has_not_are_named_before_a_process_starts(options: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        open_runner(Configuration(Path("a.keras"), "keras", 1, options))


def test_a_worker_that_died_between_two_questions_is_told_by_its_code() -> None:
    runner = KerasRunner.__new__(KerasRunner)
    pipe = subprocess.PIPE
    runner.worker = subprocess.Popen([sys.executable, "-c", "exit(7)"], stdin=pipe, stdout=pipe, text=True)
    runner.worker.wait()
    with pytest.raises(RuntimeError, match="the worker process ended with code 7"):
        runner.invoke()


TRTEXEC = """#!{python}
import json, sys
options = dict(o.lstrip("-").partition("=")[::2] for o in sys.argv[1:])
if "saveEngine" in options:
    if "bad" in options["onnx"]:
        print("[E] Error[4]: no such layer"); sys.exit(1)
    open(options["saveEngine"], "w").write("engine")
    print("[I] Selected Device: NVIDIA Stand-in\\n[I] TensorRT version: 11.0.0")
else:
    assert open(options["loadEngine"]).read() == "engine"
    rows = [dict(startH2dMs=5.0 + i, latencyMs=0.25 + i / 100) for i in range(int(options["iterations"]))]
    json.dump(rows, open(options["exportTimes"], "w"))
"""


@pytest.fixture
def trtexec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "trtexec"
    program.write_text(TRTEXEC.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")


@pytest.mark.usefixtures("trtexec")
def test_trtexec_builds_an_engine_and_its_times_are_read(tmp_path: Path) -> None:
    runner = open_runner(Configuration(tmp_path / "a.onnx", "tensorrt"))
    starts, durations = runner.time_block(4)
    assert durations.tolist() == [250_000, 260_000, 270_000, 280_000]
    assert np.diff(starts).tolist() == [1_000_000] * 3
    told = runner.describe()
    assert (told.versions, told.device) == ({"TensorRT": "11.0.0"}, "NVIDIA Stand-in")
    json.dumps(told.notes)
    runner.close()


@pytest.mark.usefixtures("trtexec")
@pytest.mark.parametrize("times", ["", "[]", "{}", '[{"startH2dMs": 1}]', '[{"startH2dMs": null, "latencyMs": 1}]'])
def test_times_of_another_trtexec_are_named(tmp_path: Path, times: str) -> None:
    runner = open_runner(Configuration(tmp_path / "a.onnx", "tensorrt"))
    program = tmp_path / "trtexec"
    program.write_text(
        program.read_text().partition("    rows =")[0] + f"    open(options['exportTimes'], 'w').write({times!r})\n"
    )
    with pytest.raises(RuntimeError, match="trtexec's file of times is not understood"):
        runner.time_block(4)
    runner.close()


@pytest.mark.usefixtures("trtexec")
def test_an_engine_that_cannot_be_built_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no such layer"):
        open_runner(Configuration(tmp_path / "bad.onnx", "tensorrt"))


def test_without_tensorrt_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("keras_cnnzoo.mobile_bench.runners.tensorrt.find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs trtexec on the PATH, or Python's tensorrt and cuda"):
        open_runner(Configuration(tmp_path / "a.onnx", "tensorrt"))


def test_a_profiler_s_runner_is_closed_though_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    runner = SimpleNamespace(close=lambda: closed.append(True))
    monkeypatch.setattr("keras_cnnzoo.mobile_bench.runners.open_runner", lambda configuration: runner)
    order = json.loads(Order((Configuration(Path("a.tflite"), "web"),)).to_json())
    with pytest.raises(InputError, match="the runner web has no profiler"):
        profile.layers(order)
    assert closed == [True]


def test_a_probed_runner_is_closed_though_its_call_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    def fail() -> None:
        raise RuntimeError("the page died")

    runner = SimpleNamespace(close=lambda: closed.append(True), invoke=fail)
    monkeypatch.setattr("keras_cnnzoo.mobile_bench.runners.open_runner", lambda configuration, seed: runner)
    with pytest.raises(RuntimeError, match="the page died"):
        probe.cost(json.loads(Order((Configuration(Path("a.tflite"), "web"),)).to_json()))
    assert closed == [True]


def test_a_process_waits_longer_for_a_runner_than_the_runner_waits_itself() -> None:
    assert RUNNERS["tensorrt"].patience > tensorrt.BUILD_SECONDS + tensorrt.RUN_SECONDS
    assert RUNNERS["web"].patience > browser.START_SECONDS + web.CALL_SECONDS
    assert RUNNERS["micro"].patience > micro.TIMEOUT_SECONDS
