"""LiteRT.js in a real headless Chromium."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from keras_cnnzoo import InputError, litertjs
from keras_cnnzoo.litertjs import FOLDER, find_modules
from keras_cnnzoo.mobile_bench.order import Configuration
from keras_cnnzoo.mobile_bench.runners import Tensor, browser, open_runner
from keras_cnnzoo.mobile_bench.runners.web import WebRunner, scaled
from keras_cnnzoo.mobile_bench.tflite_file import read_graph

MakeModel = Callable[..., Path]


@pytest.fixture(scope="module")
def there() -> None:
    """Skips where the browser or LiteRT.js is absent."""
    try:
        browser.find_chromium()
        find_modules()
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def runner(there: None, model: Path) -> Iterator[WebRunner]:
    opened = WebRunner(model)
    yield opened
    opened.close()


def native(path: Path, inputs: list[np.ndarray]) -> np.ndarray:
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    for detail, value in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def some(seed: int) -> list[np.ndarray]:
    return [np.random.default_rng(seed).standard_normal((1, 16, 16, 8)).astype(np.float32)]


def test_its_outputs_are_bit_equal_to_native_litert_s(runner: WebRunner, model: Path) -> None:
    for seed in (0, 1):
        (output,) = runner.outputs(some(seed))
        assert np.array_equal(output, native(model, some(seed)))
    assert not np.array_equal(output, native(model, some(0)))
    assert output.std() > 0.01


def test_calls_are_timed_in_the_page_on_this_machine_s_clock(runner: WebRunner) -> None:
    before = time.perf_counter_ns()
    starts, durations = runner.time_block(25)
    after = time.perf_counter_ns()
    assert (len(starts), len(durations), starts.dtype) == (25, 25, np.int64)
    assert (durations > 0).all()
    assert (starts[1:] >= starts[:-1] + durations[:-1] - 10_000).all()  # no call begins before the last one is over
    assert before - 5e6 < starts[0] < starts[-1] + durations[-1] < after + 5e6


def test_it_says_what_it_is(runner: WebRunner) -> None:
    description = runner.describe()
    assert description.versions["litertjs"].startswith("2.")
    assert int(description.versions["chromium"].split(".")[0]) > 100
    assert description.flags == {"accelerator": "wasm", "fully_accelerated": "true"}
    assert description.timed


def test_two_threads_give_the_same_answer(there: None, model: Path) -> None:
    opened = open_runner(Configuration(model, "web", threads=2))
    try:
        assert np.array_equal(opened.outputs(some(3))[0], native(model, some(3)))
    finally:
        opened.close()


def test_int8_inputs_and_outputs_work(there: None, make_model: MakeModel, tmp_path: Path) -> None:
    path = tmp_path / "int8.tflite"
    path.write_bytes(as_int8(make_model("float.tflite")))
    inputs = [np.random.default_rng(0).integers(-128, 127, (1, 16, 16, 8), np.int8)]
    opened = WebRunner(path)
    try:
        (output,) = opened.outputs(inputs)
    finally:
        opened.close()
    assert (opened.inputs[0].scale, opened.inputs[0].zero_point) == (np.float32(0.05), 0)
    assert output.dtype == np.int8
    assert output.std() > 5
    assert np.array_equal(output, native(path, inputs))


def test_scales_are_those_of_the_file(make_int8: MakeModel) -> None:
    (told,) = scaled((Tensor("x:0", (1, 12, 12, 8), "int8"),), read_graph(make_int8()).inputs)
    assert told == Tensor("x:0", (1, 12, 12, 8), "int8", float(np.float32(0.05)), 0)


def as_int8(path: Path) -> bytes:
    """The middle of the small network alone, an ADD of the input with itself, in int8."""
    import flatbuffers

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    graph = model.subgraphs[0]
    x, total = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    for tensor, scale in ((x, 0.05), (total, 0.1)):
        tensor.type, tensor.quantization = schema.TensorType.INT8, schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = np.array([scale], np.float32), np.zeros(1, np.int64)
    (middle,) = (node for node in graph.operators if model.operatorCodes[node.opcodeIndex].builtinCode == 0)
    middle.inputs, middle.outputs = np.array([graph.inputs[0]] * 2, np.int32), graph.outputs
    graph.operators = [middle]
    model.operatorCodes[middle.opcodeIndex].version = 2
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def test_webgpu_answers_and_is_not_timed_where_software_renders_it(there: None, model: Path) -> None:
    try:
        opened = WebRunner(model, accelerator="webgpu")
    except RuntimeError as error:
        if "adapter" not in str(error):
            raise
        pytest.skip(f"no WebGPU here: {error}")
    try:
        (output,) = opened.outputs(some(0))
        description = opened.describe()
    finally:
        opened.close()
    np.testing.assert_allclose(output, native(model, some(0)), atol=1e-4)
    if "swiftshader" in description.device:
        assert not description.timed
        assert "no latency" in description.notes[0]


def test_a_file_that_litert_js_refuses_is_said_and_the_browser_is_gone(
    there: None, model: Path, tmp_path: Path
) -> None:
    short = tmp_path / "short.tflite"
    short.write_bytes(model.read_bytes()[:3000])
    before = browsers()
    with pytest.raises(RuntimeError, match=r"LiteRT\.js|Chromium") as caught:
        WebRunner(short)
    assert "\n" not in str(caught.value)
    assert browsers() == before


def test_a_browser_that_dies_is_noticed_at_once(there: None, model: Path) -> None:
    opened, began = WebRunner(model), time.monotonic()
    try:
        os.killpg(opened.browser._process.pid, signal.SIGKILL)
        with pytest.raises(RuntimeError, match="Chromium ended with code"):
            opened.time_block(1000)
    finally:
        opened.close()
    assert time.monotonic() - began < 20


def browsers() -> set[Path]:
    """Profiles of browsers that run."""
    return set(Path("/tmp").glob("cnnzoo-*"))


def test_the_page_is_served_to_nobody_without_its_secret(runner: WebRunner) -> None:
    from urllib.error import HTTPError
    from urllib.request import urlopen

    port, secret = runner.browser._server.server_port, runner.browser.secret
    for path in ("model.tflite", "wrong/model.tflite", f"{secret}/modules/../../../etc/passwd", f"{secret}/input/x"):
        with pytest.raises((HTTPError, OSError)):
            urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5)


def test_absent_software_is_said(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with pytest.raises(InputError, match=r"no LiteRT\.js there .*npm install @litertjs/core@.*--install"):
        WebRunner(model)
    with pytest.raises(InputError, match="accelerator 'gpu': give one of wasm, webgpu"):
        WebRunner(model, accelerator="gpu")
    monkeypatch.setenv(browser.CHROMIUM, "no-such-browser")
    with pytest.raises(InputError, match="no browser: no-such-browser is not on the path; install it"):
        browser.find_chromium()


def test_install_asks_npm_for_the_cache_folder_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def npm(command: list[str], **options: object) -> SimpleNamespace:
        calls.append(command)
        for name in ("core", "wasm-utils"):
            package = tmp_path / "cache" / "node_modules" / "@litertjs" / name
            package.mkdir(parents=True)
            (package / "package.json").write_text("{}")
        return SimpleNamespace(returncode=0)

    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.setattr(litertjs, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(shutil, "which", lambda name: sys.executable)
    monkeypatch.setattr(litertjs.subprocess, "run", npm)
    assert find_modules(install=True) == tmp_path / "cache" / "node_modules"
    assert find_modules(install=True) == tmp_path / "cache" / "node_modules"  # the second time it is there
    assert len(calls) == 1
    assert calls[0][-1].startswith("@litertjs/core@")
    assert str(tmp_path / "cache") in calls[0]
