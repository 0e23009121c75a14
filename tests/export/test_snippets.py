"""The programs that run a file: Python is run, C++ compiled and run on a stand-in for LiteRT, the others are read."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import keras_cnnzoo
from keras_cnnzoo import InputError
from keras_cnnzoo.export import Card, Origin, to_tflite
from keras_cnnzoo.export.cli import app
from keras_cnnzoo.export.interpreter import LiteRT, quantized
from keras_cnnzoo.export.snippets import SUFFIXES, snippet
from keras_cnnzoo.images import read_picture
from keras_cnnzoo.preprocessing import PRESETS

WAYS = {"float32": ("float32", "torch"), "int8": ("int8", "torch"), "uint8": ("uint8", "caffe")}

# what the C++ program uses of LiteRT; Invoke writes the input down and answers with the bytes of another file
STAND_IN = """
#pragma once
#include <cstdint>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>
enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };
namespace tflite {
struct FlatBufferModel {
  static std::unique_ptr<FlatBufferModel> BuildFromFile(const char*) { return std::make_unique<FlatBufferModel>(); }
};
namespace ops::builtin { struct BuiltinOpResolver {}; }
struct Interpreter {
  std::vector<char> input = std::vector<char>(SIZE), output;
  TfLiteStatus AllocateTensors() { return kTfLiteOk; }
  template <typename T> T* typed_input_tensor(int) { return reinterpret_cast<T*>(input.data()); }
  template <typename T> const T* typed_output_tensor(int) const { return reinterpret_cast<const T*>(output.data()); }
  TfLiteStatus Invoke() {
    std::ofstream("input.bin", std::ios::binary).write(input.data(), input.size());
    std::ifstream answers("output.bin", std::ios::binary);
    output.assign(std::istreambuf_iterator<char>(answers), {});
    return kTfLiteOk;
  }
};
struct InterpreterBuilder {
  InterpreterBuilder(const FlatBufferModel&, const ops::builtin::BuiltinOpResolver&) {}
  TfLiteStatus operator()(std::unique_ptr<Interpreter>* made, int) {
    *made = std::make_unique<Interpreter>();
    return kTfLiteOk;
  }
};
}
"""
MAIN = """
#include "classifier.cc"
#include <cstdio>
int main() {
  std::ifstream file("pixels.bin", std::ios::binary);
  std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
  for (auto [index, score] : Classifier("m.tflite").Classify({bytes.begin(), bytes.end()}))
    std::printf("%d %.9g\\n", index, score);
}
"""


@pytest.fixture(scope="module")
def folder(resnet: keras.Model, some_images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of each kind of input, and a picture of another size than theirs."""
    folder = tmp_path_factory.mktemp("snippets")
    pixels = np.clip(128 + 50 * some_images, 0, 255).astype(np.uint8)
    for name, (boundary, preset) in WAYS.items():
        origin, path = Origin(preprocessing=PRESETS[preset]), folder / f"{name}.tflite"
        if name == "float32":
            to_tflite(resnet, path, origin=origin)
        else:
            calibration = PRESETS[preset](pixels)
            kinds = {"inputs": boundary, "outputs": boundary}
            to_tflite(resnet, path, quantize="int8", calibration=calibration, origin=origin, **kinds)
    Image.fromarray(pixels[:6].reshape(96, 64, 3)).save(folder / "picture.png")
    return folder


def best(scores: np.ndarray) -> list[tuple[int, float]]:
    return [(int(i), float(scores[i])) for i in np.argsort(-scores, kind="stable")[:5]]


def printed(text: str) -> list[tuple[int, float]]:
    return [(int(index), float(score)) for index, score in (line.split() for line in text.splitlines())]


def picture(folder: Path, way: str) -> np.ndarray:
    return read_picture(folder / "picture.png", (32, 32, 3), PRESETS[WAYS[way][1]])


@pytest.mark.parametrize("way", WAYS)
def test_the_python_program_answers_as_we_do(folder: Path, way: str) -> None:
    program, path = folder / f"{way}.py", folder / f"{way}.tflite"
    app(["snippet", str(path), "-l", "python", "-o", str(program)], standalone_mode=False)
    done = subprocess.run(
        [sys.executable, program, path, folder / "picture.png"], capture_output=True, text=True, check=True
    )
    inputs = PRESETS[WAYS[way][1]](picture(folder, way)[None])
    expected = best(LiteRT(path.read_bytes())(inputs)[0][0])
    found = printed(done.stdout)
    assert [index for index, _ in found] == [index for index, _ in expected]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], rel=1e-5)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
@pytest.mark.parametrize("way", WAYS)
def test_the_cpp_program_feeds_the_file_the_bytes_that_we_do_and_reads_its_scores(
    folder: Path, tmp_path: Path, way: str
) -> None:
    path = folder / f"{way}.tflite"
    (tmp_path / "classifier.cc").write_text(snippet(path, "cpp"))
    (tmp_path / "main.cc").write_text(MAIN)
    file = LiteRT(path.read_bytes())
    inputs = quantized(PRESETS[WAYS[way][1]](picture(folder, way)[None]), file.input)
    for name in ("interpreter", "interpreter_builder", "kernels/register", "model_builder"):
        header = tmp_path / "tensorflow" / "lite" / f"{name}.h"
        header.parent.mkdir(parents=True, exist_ok=True)
        include = '#include "tensorflow/lite/interpreter.h"\n'
        header.write_text(STAND_IN.replace("SIZE", str(inputs.nbytes)) if name == "interpreter" else include)
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-I.", "main.cc", "-o", "classify"]
    compiled = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert compiled.returncode == 0, compiled.stderr
    (tmp_path / "pixels.bin").write_bytes(picture(folder, way).tobytes())
    card = Card.read(folder / f"{way}.tflite.json").outputs[0]
    steps = np.random.default_rng(0).permutation(10).astype(card["dtype"])
    (tmp_path / "output.bin").write_bytes(steps.tobytes())
    done = subprocess.run([tmp_path / "classify"], cwd=tmp_path, capture_output=True, text=True, check=True)
    scores = steps if way == "float32" else (steps.astype(np.float64) - card["zero_point"]) * card["scale"]
    assert [index for index, _ in printed(done.stdout)] == [index for index, _ in best(scores)]
    assert [s for _, s in printed(done.stdout)] == pytest.approx([s for _, s in best(scores)], rel=1e-5)
    fed = np.frombuffer((tmp_path / "input.bin").read_bytes(), inputs.dtype).reshape(inputs.shape)
    if way == "float32":
        np.testing.assert_allclose(fed, inputs, atol=1e-5)
    else:  # a value half way between two steps may go either way
        gaps = np.abs(fed.astype(int) - inputs)
        assert gaps.max() <= 1
        assert np.count_nonzero(gaps) <= 3


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("language", SUFFIXES)
def test_every_program_is_whole_and_has_the_card_s_numbers(folder: Path, way: str, language: str) -> None:
    text = snippet(folder / f"{way}.tflite", language)
    assert "{{" not in text
    assert "{%" not in text
    code = re.sub(r'"""[^"]*"""|"[^"\n]*"|//[^\n]*|/\*.*?\*/|#[^\n]*', "", text)
    code = code.replace("'", "")
    for opening, closing in ("()", "[]", "{}"):
        assert code.count(opening) == code.count(closing), opening
    assert max(map(len, text.splitlines())) <= 140
    card = Card.read(folder / f"{way}.tflite.json")
    numbers = {float(number) for number in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", text)}
    assert card.preprocessing is not None
    assert {*card.preprocessing["mean"], *card.preprocessing["std"], card.preprocessing["scale"]} <= numbers
    for tensor in (*card.inputs, *card.outputs):
        if tensor["scale"] is not None:
            assert {tensor["scale"], tensor["zero_point"]} <= numbers
    assert {32, 10} <= numbers


def test_what_no_snippet_can_run_is_refused(folder: Path, resnet: keras.Model, tmp_path: Path) -> None:
    (tmp_path / "cardless.tflite").write_bytes((folder / "int8.tflite").read_bytes())
    for name, words in (
        ("w.onnx", r"shown to \.tflite files"),
        ("absent.tflite", "not a readable file"),
        ("cardless.tflite", "no card beside it"),
    ):
        with pytest.raises(InputError, match=words):
            snippet(tmp_path / name, "python")
    to_tflite(resnet, tmp_path / "two.tflite", batch=2, origin=Origin(preprocessing=PRESETS["tf"]))
    with pytest.raises(InputError, match="one picture"):
        snippet(tmp_path / "two.tflite", "python")
    wide = {"quantize": "int16", "calibration": np.random.default_rng(0).standard_normal((4, 32, 32, 3))}
    to_tflite(resnet, tmp_path / "wide.tflite", origin=Origin(preprocessing=PRESETS["tf"]), **wide)
    for language in SUFFIXES:
        with pytest.raises(InputError, match="is int16 and a page or a program takes float32, int8, uint8; export it"):
            snippet(tmp_path / "wide.tflite", language)
    to_tflite(resnet, tmp_path / "bare.tflite")
    with pytest.raises(InputError, match="knows no preprocessing"):
        snippet(tmp_path / "bare.tflite", "python")
    with pytest.raises(InputError, match="exists already"):
        app(["snippet", str(folder / "int8.tflite"), "-o", str(folder / "picture.png")], standalone_mode=False)


def test_a_grey_network_s_programs_read_grey_pixels(tmp_path: Path, some_images: np.ndarray) -> None:
    model = keras_cnnzoo.create("resnet20", input_shape=(32, 32, 1), classifier_activation=None)
    to_tflite(model, tmp_path / "g.tflite", origin=Origin(preprocessing=PRESETS["torch"]))
    assert 'convert("L")' in snippet(tmp_path / "g.tflite", "python")
    for language in ("kotlin", "swift"):
        assert "299 *" in snippet(tmp_path / "g.tflite", language)
    assert "kChannels = 1" in snippet(tmp_path / "g.tflite", "cpp")
