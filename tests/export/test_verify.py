"""Files compared with the networks they were made of."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from PIL import Image

from keras_cnnzoo import InputError, save_weights
from keras_cnnzoo.export import Card, Origin, to_tflite, verify
from keras_cnnzoo.export.cli import app
from keras_cnnzoo.export.cli.verify import _gates
from keras_cnnzoo.export.contents import parse
from keras_cnnzoo.export.divergence import first_below, layers
from keras_cnnzoo.export.emit import emit
from keras_cnnzoo.export.emit.writer import pack
from keras_cnnzoo.export.graph import from_keras
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.lowering import lower
from keras_cnnzoo.export.runners import KerasRunner
from keras_cnnzoo.export.verify import compare, correct, wilson
from keras_cnnzoo.images import Encoded, Images
from keras_cnnzoo.preprocessing import PRESETS

CLASSES = [f"class {i}" for i in range(10)]


def test_wilson_s_interval_is_the_published_one() -> None:
    """Newcombe 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    for right, count, interval in ((81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0, 0.1611))):
        assert wilson(right / count, count) == pytest.approx(interval, abs=5e-5)
    assert wilson(1.0, 20)[1] == 1


def test_top5_scores_ties_by_lot() -> None:
    outputs = np.array([[9, 8, 7, 6, 5, 5, 5, 0]], float)
    scores = [correct(outputs, np.array([label]), 5)[0] for label in range(8)]
    assert scores == pytest.approx([1, 1, 1, 1, 1 / 3, 1 / 3, 1 / 3, 0])
    assert sum(scores) == pytest.approx(5)
    assert correct(np.array([[1.0, 1, 0]]), np.array([0])) == 0.5


def test_distances_are_those_of_their_definitions() -> None:
    a = np.array([[3.0, 0, 0, 0, 0, 0], [0, 4, 0, 0, 0, 0]])
    found = compare(a, a + np.array([[0, 0.3, 0, 0, 0, 0], [0.4, 0, 0, 0, 0, 0]]), np.array([0, 2]))
    assert (found.agreement, found.top1_model, found.top5_model) == (1, 0.5, pytest.approx(0.5 + 0.5 * 4 / 5))
    assert found.largest_difference == pytest.approx(0.4)
    assert found.mean_difference == pytest.approx(0.7 / 12)
    assert found.sqnr_db == pytest.approx(20)
    assert found.cosine == pytest.approx(25 / (5 * np.sqrt(25 + 0.25)))
    assert found.shares["agreement"] == wilson(1.0, 2)
    assert compare(a, -a).cosine == pytest.approx(-1)
    assert compare(a, a).sqnr_db is None


@pytest.fixture(scope="module")
def folder(resnet: keras.Model, some_images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network, its float32, int8 and a spoiled int8 file, and images that the network answers 90 % right."""
    folder = tmp_path_factory.mktemp("verify")
    pixels = np.clip(128 + 50 * some_images, 0, 255).astype(np.uint8)
    inputs = PRESETS["torch"](pixels)
    labels = resnet.predict(inputs, verbose=0).argmax(1)
    labels[::10] = (labels[::10] + 1) % 10
    np.savez(folder / "test.npz", images=pixels, labels=labels)
    np.savez(folder / "unlabelled.npz", images=pixels)
    np.savez(folder / "floats.npz", images=inputs - inputs.min(), labels=labels)
    np.savez(folder / "unit.npz", images=pixels / 255.0, labels=labels)
    np.savez(folder / "beyond.npz", images=pixels, labels=labels + 9)
    resnet.save(folder / "model.keras")
    save_weights(resnet, folder / "w.safetensors")
    origin = Origin(preprocessing=PRESETS["torch"], labels=CLASSES)
    to_tflite(resnet, folder / "float.tflite", origin=origin)
    to_tflite(resnet, folder / "int8.tflite", quantize="int8", calibration=inputs, origin=origin)
    to_tflite(resnet, folder / "narrow.tflite", quantize="int8", calibration=inputs * 0.05, origin=origin)
    to_tflite(resnet, folder / "batch.tflite", batch=7, origin=origin)
    for index, label in enumerate(labels[:20]):
        picture = folder / "pictures" / CLASSES[label] / f"{index}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[index]).save(picture)
    image = keras.Input((8, 8, 3))
    keras.Model(image, keras.ops.cumsum(image, 1), name="odd").save(folder / "odd.keras")
    shutil.copytree(folder / "pictures", folder / "renamed")
    for index, path in enumerate(sorted((folder / "renamed").iterdir())):
        path.rename(path.with_name(f"animal {index}"))
    (folder / "cut.tflite").write_bytes((folder / "int8.tflite").read_bytes()[:5000])
    (folder / "list.tflite").write_text("a shopping list")
    shutil.copy(folder / "int8.tflite", folder / "bare.tflite")
    shutil.copy(folder / "int8.tflite", folder / "wrong.tflite")
    shutil.copy(folder / "float.tflite.json", folder / "wrong.tflite.json")
    return folder


def run(folder: Path, line: str, capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    """What `cnnzoo-export verify` prints; {} stands for the folder."""
    arguments = [part.replace("{}", str(folder)) for part in line.split()]
    assert (app(["verify", *arguments, "-q"], standalone_mode=False) or 0) == code
    return capsys.readouterr().out


def test_every_figure_is_printed_and_stands_in_the_card(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "{}/int8.tflite --against {}/model.keras --data {}/test.npz"
    printed = json.loads(run(folder, f"{line} --json", capsys))
    assert printed["top1_model"] == pytest.approx(0.9)
    assert printed["top1_difference"] == pytest.approx(100 * (printed["top1_file"] - printed["top1_model"]))
    assert printed["agreement"] > 0.85
    assert printed["sqnr_db"] > 20
    assert printed["shares"]["top1_model"] == pytest.approx(wilson(0.9, 60))
    assert Card.read(folder / "int8.tflite.json").verification == printed
    before = (folder / "int8.tflite.json").read_bytes()
    words = " ".join(run(folder, f"{line} --no-card --count 20 --seed 1", capsys).split())
    assert "int8.tflite over 20 images of test.npz" in words
    assert "points of top-1" in words
    assert (folder / "int8.tflite.json").read_bytes() == before


def test_against_a_network_by_name_a_file_and_whatever_the_batch(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for line in (
        "{}/float.tflite --against resnet20 --weights {}/w.safetensors --data {}/test.npz --json",
        "{}/float.tflite --against {}/batch.tflite --data {}/test.npz --json",
        "{}/batch.tflite --against {}/float.tflite --data {}/test.npz --json",
    ):
        found = json.loads(run(folder, line, capsys))
        assert found["images"] == 60  # no multiple of 7
        assert found["agreement"] == 1
        assert found["largest_difference"] < 1e-4 * found["largest_output"]


def test_a_gate_fails_only_when_the_whole_interval_lies_beyond(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "--against {}/float.tflite --data {}/test.npz --no-card"
    assert "max-drop 1: passed" in run(folder, f"{{}}/int8.tflite {line} --max-drop 1 --min-agreement 80", capsys)
    words = run(folder, f"{{}}/narrow.tflite {line} --max-drop 1 --min-agreement 99.5", capsys, code=3)
    assert "max-drop 1: FAILED" in words
    assert "min-agreement 99.5: FAILED" in words
    gates = json.loads(run(folder, f"{{}}/narrow.tflite {line} --max-drop 100 --json", capsys))["gates"]
    assert gates[0]["passed"] is True
    assert gates[0]["interval"][1] < -1  # it does drop


@pytest.mark.parametrize(("high", "passed"), [(-0.5, True), (-1.0, True), (-1.1, False)])
def test_the_upper_end_of_the_interval_decides_a_gate(high: float, passed: bool) -> None:
    found = dataclasses.replace(compare(np.eye(3), np.eye(3), np.arange(3)), interval=(-3.0, high))
    (gate,) = _gates(found, 1, None)
    assert gate == {"gate": "max-drop", "limit": 1, "interval": [-3.0, high], "passed": passed}


def test_a_folder_is_decoded_some_pictures_at_a_time_and_what_cannot_be_read_is_counted(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = f"{folder}/int8.tflite --against {folder}/model.keras --no-card --json --data"
    whole = json.loads(run(folder, f"{line} {folder}/pictures", capsys))
    shutil.copytree(folder / "pictures", tmp_path / "pictures")
    for place in sorted((tmp_path / "pictures").iterdir())[:2]:
        (place / "broken.png").write_bytes(b"no picture")
    sizes, read = [], Encoded.read

    def counted(self: Encoded, count: int | None = None) -> Images:
        sizes.append(len(self))
        return read(self, count)

    monkeypatch.setattr(Encoded, "read", counted)
    monkeypatch.setattr(sys.modules[verify.__module__], "BATCH", 5)
    found = json.loads(run(folder, f"{line} {tmp_path}/pictures", capsys))
    assert sum(sizes) == 22
    assert max(sizes) == 5
    assert found.pop("skipped") == 2
    assert whole.pop("skipped") == 0
    figures = {key: value for key, value in whole.items() if isinstance(value, float)}
    assert len(figures) > 8
    assert {key: found[key] for key in figures} == pytest.approx(figures, rel=1e-4)


def test_pictures_of_which_some_have_no_label_are_compared_without_accuracy(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in folder.glob("pictures/*/*.png"):
        shutil.copy(path, tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    (tmp_path / "labels.json").write_text(json.dumps(dict.fromkeys(names[:10], 0)))
    line = f"{folder}/int8.tflite --against {folder}/model.keras --no-card --json --data {tmp_path}"
    found = json.loads(run(folder, line, capsys))
    assert found["images"] == 20
    assert found["top1_model"] is None


def test_a_file_that_crashes_litert_is_refused_and_takes_no_one_with_it(folder: Path, tmp_path: Path) -> None:
    model = parse((folder / "float.tflite").read_bytes())
    for code in model.operatorCodes:
        if code.builtinCode == schema.BuiltinOperator.ADD:
            code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.SPLIT
    (tmp_path / "crash.tflite").write_bytes(pack(model))
    line = ["--against", str(folder / "model.keras"), "--data", str(folder / "test.npz"), "--preprocess", "torch"]
    for arguments in (
        [str(tmp_path / "crash.tflite"), *line],
        [str(folder / "float.tflite"), *line[2:], "--against", str(tmp_path / "crash.tflite")],
    ):
        with pytest.raises(InputError, match=r"crash\.tflite: LiteRT crashed on it, in a process of its own \(SIG"):
            app(["verify", *arguments, "-q"], standalone_mode=False)


def test_a_trial_runs_no_module_of_the_folder_that_it_is_started_in(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("open('ran', 'w').close()")
    program = "from keras_cnnzoo.export.trial import survive; survive('absent.tflite')"
    subprocess.run([sys.executable, "-P", "-c", program], cwd=tmp_path, check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["numpy.py"]


def test_a_card_that_cannot_be_written_is_refused_before_the_comparison(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = f"verify {folder}/int8.tflite --against absent.keras --data absent.npz -q"
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(InputError, match=r"int8\.tflite\.json: cannot be replaced; give --no-card, or move the file"):
        app(line.split(), standalone_mode=False)
    with pytest.raises(InputError, match=r"absent\.keras: no such file"):
        app([*line.split(), "--no-card"], standalone_mode=False)


def test_layers_are_compared_in_order_and_the_first_spoiled_one_is_named(
    resnet: keras.Model, folder: Path, some_images: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = lower(from_keras(resnet))
    reference = emit(graph)
    names = [layer.name for layer in layers(reference, reference, some_images[:2])]
    assert names[:2] == ["conv1", "layer1_0_conv1"]
    assert names[-1] == "linear"
    assert {layer.sqnr_db for layer in layers(reference, reference, some_images[:2])} == {200}
    victim = graph.nodes["layer2_1_conv1"]
    kernel, bias = victim.weights
    spoiled = emit(graph.update(dataclasses.replace(victim, weights=(kernel[::-1], bias))))
    found = layers(spoiled, reference, some_images[:2])
    worst = first_below(found, 30)
    assert worst is not None
    assert worst.name == "layer2_1_conv1"
    assert all(layer.sqnr_db == 200 for layer in found[: found.index(worst)])
    words = run(folder, "{}/int8.tflite --against {}/model.keras --data {}/test.npz --layers --no-card", capsys)
    assert "no tensor is below 10 dB" in words
    assert "int8" in words
    words = run(folder, "{}/narrow.tflite --against {}/float.tflite --data {}/test.npz --layers --no-card", capsys)
    assert "first tensor below 10 dB: conv1" in words


def test_several_outputs_are_compared_by_name(some_images: np.ndarray, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, 4, activation="relu", name="conv")(image)
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = [keras.layers.Dense(n, name=name)(pooled) for n, name in ((10, "main"), (10, "aux"), (4, "box"))]
    model = keras.Model(image, [*outputs, x])
    to_tflite(model, tmp_path / "m.tflite")
    labels = np.argmax(model.predict(some_images, verbose=0)[1], 1)
    labels[labels > 3] = 3
    found = verify((tmp_path / "m.tflite").read_bytes(), model, some_images, labels)
    assert list(found.others) == ["aux", "box", "conv"]
    assert found.largest_difference < 1e-4
    assert all(other.largest_difference < 1e-4 for other in found.others.values())
    assert found.others["conv"].top1_model is None

    class Swapped(KerasRunner):
        def __call__(self, inputs: np.ndarray, /) -> list[np.ndarray]:
            main, aux, *rest = super().__call__(inputs)
            return [aux, main, *rest]

    swapped = Swapped(model)
    assert verify(swapped, model, some_images).agreement < 0.9
    swapped.names = ["aux", "main", "box", "conv"]
    assert verify(swapped, model, some_images).largest_difference == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{}/absent.tflite --against {}/float.tflite --data {}/test.npz", "absent.tflite: not a readable file"),
        ("{}/w.safetensors --against {}/float.tflite --data {}/test.npz", "name ends in .tflite or .onnx"),
        ("{}/cut.tflite --against {}/float.tflite --data {}/test.npz", "cut.tflite: LiteRT cannot read the file"),
        ("{}/list.tflite --against {}/float.tflite --data {}/test.npz", "list.tflite: LiteRT cannot read the file"),
        ("{}/wrong.tflite --against {}/float.tflite --data {}/test.npz", "the card of another file"),
        ("{}/bare.tflite --against {}/bare.tflite --data {}/test.npz", "give --preprocess torch"),
        ("{}/int8.tflite --against {}/absent.keras --data {}/test.npz", "absent.keras: no such file"),
        ("{}/int8.tflite --against resnet20 --data {}/test.npz", "give --weights FILE"),
        ("{}/int8.tflite --against {}/float.tflite --weights {}/w.safetensors --data {}/test.npz", "drop --weights"),
        (
            "{}/int8.tflite --against resnet20 --weights random --set classes=5 --data {}/test.npz",
            "answers (5,) but the",
        ),
        (
            "{}/int8.tflite --against resnet20 --weights random --set input_shape=64,64,3 --data {}/test.npz",
            "reads (32, 32, 3) but resnet20 reads (64, 64, 3)",
        ),
        ("{}/int8.tflite --against {}/float.tflite --data {}/absent", "absent: expected a folder"),
        ("{}/int8.tflite --against {}/float.tflite --data {}/unit.npz", "in 0..1 (multiply by 255"),
        (
            "{}/int8.tflite --against {}/float.tflite --data {}/floats.npz",
            "`images` of float32 (60, 32, 32, 3) from 0 to",
        ),
        ("{}/int8.tflite --against {}/float.tflite --data {}/beyond.npz", "but the network has 10 outputs; number"),
        ("{}/int8.tflite --against {}/float.tflite --data {}/test.npz --label-offset 9", "labels run from"),
        ("{}/int8.tflite --against {}/float.tflite --data {}/unlabelled.npz --max-drop 1", "--max-drop needs labels"),
        (
            "{}/int8.tflite --against {}/odd.keras --data {}/test.npz --layers",
            "--layers needs a rule for keras.src.ops",
        ),
        ("{}/int8.tflite --against {}/float.tflite --data {}/renamed", "classes but int8.tflite answers 10"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_the_card(folder: Path, line: str, words: str) -> None:
    before = {path: path.read_bytes() for path in folder.glob("*.json")}
    with pytest.raises(InputError) as caught:
        app(["verify", *(part.replace("{}", str(folder)) for part in line.split()), "-q"], standalone_mode=False)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in folder.glob("*.json")} == before


def test_folders_named_as_the_card_s_labels_are_those_classes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Eight or so of the ten classes have pictures, so a folder's place is not its class."""
    assert len(list((folder / "pictures").iterdir())) < 10
    line = "{}/float.tflite --against {}/float.tflite --data {}/pictures --json --no-card"
    assert json.loads(run(folder, line, capsys))["top1_model"] == pytest.approx(0.9)


def test_the_card_of_another_file_is_refused_wherever_a_card_is_read(folder: Path) -> None:
    from keras_cnnzoo.export.classifier import read_classifier
    from keras_cnnzoo.export.runners import read_artifact

    for read in (read_artifact, read_classifier):
        with pytest.raises(InputError, match="the card of another file"):
            read(folder / "wrong.tflite")


def test_another_process_is_told_where_files_stand(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Dask worker has a working directory of its own."""
    from concurrent.futures import ThreadPoolExecutor
    from contextlib import contextmanager

    seen: list[Path] = []

    class Elsewhere(ThreadPoolExecutor):
        def map(self, job: Any, parts: Any) -> Any:  # type: ignore[override]
            seen.extend([Path(job.file), Path(job.against), Path(job.weights)])
            seen.extend(path for part in parts for path, _ in part.files)
            return map(job, parts)

    @contextmanager
    def executor(jobs: int, scheduler: str | None) -> Any:
        yield Elsewhere(1)

    monkeypatch.setattr("keras_cnnzoo.export.executors.executor", executor)
    monkeypatch.chdir(folder)
    line = "float.tflite --against resnet20 --weights w.safetensors --data pictures --jobs 2 --no-card --json"
    assert json.loads(run(folder, line, capsys))["top1_model"] == pytest.approx(0.9)
    assert [str(path) for path in seen if not path.is_absolute()] == ["resnet20"]


def test_one_image_and_a_silent_model_make_valid_json() -> None:
    found = compare(np.array([[1.0, 0]]), np.array([[0.0, 1]]), np.array([0]))
    assert (found.top1_difference, found.interval) == (-100, None)
    assert compare(np.zeros((2, 3)), np.ones((2, 3))).sqnr_db is None
    json.dumps(found.to_dict(), allow_nan=False)


def test_integers_without_a_scale_are_refused() -> None:
    from keras_cnnzoo.export.interpreter import quantized

    with pytest.raises(InputError, match="the input 'image' is uint8 without a scale"):
        quantized(np.ones((1, 2)), {"name": "image", "dtype": np.uint8, "quantization": (0.0, 0)})


def test_what_a_file_reads_is_no_fault_of_its_running(resnet: keras.Model, folder: Path) -> None:
    file = LiteRT((folder / "int8.tflite").read_bytes())
    file.input["quantization"] = (0.0, 0)
    with pytest.raises(InputError, match=r"^the input 'image' is int8 without a scale; quantize the file statically$"):
        file(np.zeros((1, 32, 32, 3), np.float32))


def test_answers_of_nan_are_refused(resnet: keras.Model, some_images: np.ndarray) -> None:
    class Broken(KerasRunner):
        def __call__(self, inputs: np.ndarray, /) -> list[np.ndarray]:
            return [np.full((len(inputs), 10), np.nan, np.float32)]

    with pytest.raises(InputError, match="answers NaN or infinity"):
        verify(Broken(resnet), resnet, some_images[:4])
