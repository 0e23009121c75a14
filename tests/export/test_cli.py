"""cnnzoo-export as it is called from a shell."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import keras_cnnzoo
from keras_cnnzoo import InputError
from keras_cnnzoo.export import Card
from keras_cnnzoo.export.cli import app
from keras_cnnzoo.export.cli.inputs import with_classes
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.sources import load
from keras_cnnzoo.images import Images
from keras_cnnzoo.preprocessing import PRESETS
from keras_cnnzoo.weights.load import Adapted

COMMAND = [sys.executable, "-c", "from keras_cnnzoo.export.cli import main; main()"]


def in_a_shell(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """A process of its own: what the exit code is, and what native libraries print."""
    environment = {name: value for name, value in os.environ.items() if name != "CNNZOO_DEBUG"}
    command = [*COMMAND, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == code, done.stderr
    return done


def export(*arguments: object) -> tuple[str, str]:
    """Standard output and error of a line that succeeds, in this process."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as error:
        app([*map(str, arguments)], standalone_mode=False)
    return out.getvalue(), error.getvalue()


def refusal(*arguments: object) -> str:
    """The sentence of a refusal, in this process: what becomes of an InputError is the same for all."""
    with pytest.raises(InputError) as caught:
        app([*map(str, arguments), "-q"], standalone_mode=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def files(resnet: keras.Model, some_images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights, a model, images as .npz and by class, labels, and things that are none of these."""
    folder = tmp_path_factory.mktemp("files")
    keras_cnnzoo.save_weights(resnet, folder / "weights.safetensors")
    keras_cnnzoo.save_weights(resnet, folder / "knows.safetensors", preprocessing=PRESETS["tf"])
    resnet.save(folder / "model.keras")
    pixels = np.clip(128 + 50 * some_images, 0, 255).astype(np.uint8)
    np.savez(folder / "images.npz", images=pixels, labels=np.arange(60) % 10)
    np.savez(folder / "small.npz", images=pixels[:, :16])
    np.savez(folder / "unlabelled.npz", images=pixels)
    np.savez(folder / "one.npz", images=pixels[:1], labels=[3])
    for index, image in enumerate(pixels[:6]):
        picture = folder / "pictures" / f"class{index % 2}" / f"{index}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(picture)
    (folder / "pictures" / "class0" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (folder / "unreadable").mkdir()
    (folder / "unreadable" / "a.jpg").write_text("no picture")
    (folder / "empty").mkdir()
    (folder / "labels.txt").write_text("\n".join(f"class {i}" for i in range(10)))
    (folder / "three.txt").write_text("a\nb\nc\n")
    (folder / "pairs.txt").write_text("\n".join(["zero", "one", "class1", "class0", *map(str, range(6))]))
    image = keras.Input((None, None, 3))
    keras.Model(image, keras.layers.Conv2D(2, 3)(image), name="any_size").save(folder / "any.keras")
    both = keras.Input((8, 8, 3), name="a"), keras.Input((8, 8, 3), name="b")
    keras.Model(both, keras.layers.Add()(both), name="two").save(folder / "two.keras")
    content = (folder / "weights.safetensors").read_bytes()
    (folder / "truncated.safetensors").write_bytes(content[: len(content) // 2])
    (folder / "foreign.safetensors").write_text("a shopping list")
    return folder


def test_help_shows_an_example() -> None:
    assert "cnnzoo-export resnet20 --weights w.safetensors" in in_a_shell("--help").stdout


def test_the_documented_line_writes_a_verified_int8_file(files: Path, tmp_path: Path) -> None:
    out, error = export(
        *("resnet20", "--weights", files / "weights.safetensors", "--preprocess", "torch", "--quantize", "int8"),
        *("--calibration", files / "images.npz", "--count", 40, "--verify", files / "images.npz"),
        *("--labels", files / "labels.txt", "-o", tmp_path / "out", "--json"),
    )
    card = json.loads(out)
    assert card == json.loads((tmp_path / "out" / "resnet20_int8.tflite.json").read_text())
    assert Card.read(tmp_path / "out" / "resnet20_int8.tflite.json").verification == card["verification"]
    assert card["model"]["weights"] == "trained"
    assert card["quantization"]["calibration"] == {"source": "images.npz", "count": 40, "random": False}
    assert card["preprocessing"]["mean"] == [0.485, 0.456, 0.406]
    assert card["verification"]["images"] == 60
    assert card["verification"]["agreement"] > 0.8
    assert card["model"]["options"] == {"classifier_activation": None}
    assert "calibrate" in error  # a progress bar per phase


def test_a_folder_by_class_calibrates_and_unreadable_pictures_are_counted(files: Path, tmp_path: Path) -> None:
    _, error = export(
        *("resnet20", "--weights", files / "knows.safetensors", "--quantize", "int8", "--outputs", "float32"),
        *("--calibration", files / "pictures", "--inputs", "uint8", "-o", tmp_path / "m.tflite"),
    )
    assert "1 pictures could not be read" in error
    card = Card.read(tmp_path / "m.tflite.json")
    assert card.quantization["calibration"]["count"] == 6
    assert card.preprocessing == PRESETS["tf"].to_dict()  # the weights know it
    assert (card.inputs[0]["dtype"], card.outputs[0]["dtype"]) == ("uint8", "float32")


def test_random_weights_and_noise_say_so_in_the_card_and_on_the_terminal(tmp_path: Path) -> None:
    done = in_a_shell(
        *("resnet20", "--weights", "random", "--quantize", "int8", "--calibration", "random:4"),
        *("--set", "input_shape=16,16,3", "--set", "classes=5", "--set", "classifier_activation=softmax"),
        *("-o", tmp_path, "-q"),
    )
    card = Card.read(tmp_path / "resnet20_int8.tflite.json")
    assert card.model["weights"] == "random"
    assert card.quantization["calibration"]["random"] is True
    assert card.operators["SOFTMAX"] == 1
    assert card.outputs[0]["shape"] == [1, 5]
    assert "its answers mean nothing" in done.stdout
    assert done.stderr == ""


def test_a_model_file_is_exported_as_it_is(files: Path, resnet: keras.Model, some_images, tmp_path: Path) -> None:
    export(files / "model.keras", "--preprocess", "none", "-o", tmp_path / "m.tflite", "-q")
    answers = LiteRT((tmp_path / "m.tflite").read_bytes())(some_images[:4])[0]
    np.testing.assert_allclose(answers, np.asarray(resnet(some_images[:4])), atol=1e-3)
    assert Card.read(tmp_path / "m.tflite.json").model["weights"] == "unknown"


@pytest.mark.slow
def test_a_keras_h5_file_and_a_network_of_keras_applications_are_exported(resnet: keras.Model, tmp_path: Path) -> None:
    image = keras.Input((16, 16, 3))
    keras.Model(image, keras.layers.Conv2D(2, 3)(image)).save(tmp_path / "old.h5")
    export(tmp_path / "old.h5", "--preprocess", "none", "-o", tmp_path / "old.tflite")
    export(
        *(
            "keras.applications.MobileNetV2",
            "--weights",
            "random",
            "--set",
            "input_shape=96,96,3",
            "--set",
            "alpha=0.35",
        ),
        *("--quantize", "dynamic", "-o", tmp_path),
    )
    card = Card.read(tmp_path / "mobilenetv2_dynamic.tflite.json")
    assert (card.conversion["by"], card.preprocessing) == ("emitter", PRESETS["tf"].to_dict())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("resnet21 --weights random -o out", "'resnet21' is no network of the zoo; did you mean"),
        ("resnet20 -o out", "give --weights FILE, or --weights random if you mean it"),
        ("resnet20 --weights absent.safetensors --preprocess torch -o out", "absent.safetensors: no such file"),
        ("resnet20 --weights {}/weights.safetensors -o out", "give --preprocess torch, tf, caffe, none"),
        ("resnet20 --weights {}/truncated.safetensors --preprocess torch -o out", "truncated"),
        ("resnet20 --weights {}/foreign.safetensors --preprocess torch -o out", "no .safetensors file"),
        ("resnet32 --weights {}/weights.safetensors --preprocess torch -o out", "does not fit the model: 60 missing"),
        ("resnet20 --weights random --preprocess sepia -o out", "'sepia': give torch, tf, caffe, none"),
        ("resnet20 --weights random --quantize int8 -o out", "int8 needs calibration images"),
        ("resnet20 --weights random --quantize int8 --calibration {}/empty -o out", "no pictures in it"),
        ("resnet20 --weights random --quantize int8 --calibration {}/unreadable -o out", "none of its 1 pictures"),
        (
            "resnet20 --weights random --quantize int8 --calibration {}/small.npz -o out",
            "16x32x3 but the network reads 32",
        ),
        ("resnet20 --weights random --quantize int8 --calibration random:none -o out", "write random:N"),
        ("resnet20 --weights random --quantize int8 --calibration random:² -o out", "random:²: write random:N"),
        ("resnet20 --weights random --quantize int8 --calibration absent -o out", "absent: expected a folder"),
        ("resnet20 --weights random --set dept=3 -o out", "no option 'dept'; did you mean 'depth'?"),
        ("resnet20 --weights random --set depth=3 -o out", "depth=3: expected 6n + 2"),
        ("resnet20 --weights random --set classes=ten -o out", "'classes=ten': expected int"),
        ("resnet20 --weights random --set input_shape=4,4,3 -o out", "at least 8"),
        ("resnet20 --weights random --set input_shape=none,none,3 -o out", "input_shape of numbers"),
        ("resnet20 --weights random -o {}/labels.txt/out", "cannot be written"),
        ("resnet20 --weights random --labels absent.txt -o out", "absent.txt: not a readable list"),
        ("keras.applications.ResNet51 --weights random -o out", "no function 'ResNet51'"),
        ("absent.keras -o out", "absent.keras: no such file"),
        ("{}/labels.keras -o out", "truncated, or not a Keras model"),
        ("{}/model.keras --weights random -o out", "exported as it is"),
        ("resnet20 --weights random --verify absent.npz -o out", "absent.npz: expected a folder"),
        ("resnet20 --weights random --opset 17 -o out", "--opset 17 is of ONNX files"),
        ("resnet20 --weights random --layout NHWC -o out", "--layout NHWC is of ONNX files"),
        ("resnet20 --weights random --io float16 -o out", "--io float16 is of ONNX files"),
        ("resnet20 --weights random --install -o out", "--install is of pages; drop it, or give --to web"),
        ("ready.tflite --quantize int8 -o out", "--quantize int8 is of networks; ready.tflite is ready as it is"),
        ("ready.tflite --set classes=3 -o out", "--set classes=3 is of networks"),
        ("resnet20 --weights random --to onnx --lower none -o out", "--lower none is of .tflite files"),
        ("resnet20 --weights random --to onnx --costs-of this -o out", "--costs-of this is of .tflite files"),
        ("resnet20 --weights random --preprocess tf --lower fast -o out", "--lower fast: choose auto, none, or of"),
        (
            "resnet20 --weights random --preprocess tf --costs-of abacus -o out",
            "--costs-of abacus: no costs",
        ),
        ("resnet20 --weights random --to onnx --target gpu -o out", "--target gpu is of .tflite files"),
        (
            "resnet20 --weights random --to onnx --per-tensor --quantize int8 --calibration random:4 -o out",
            "per_tensor",
        ),
        ("resnet20 --weights random --to onnx --quantize int4 --auto-mixed 2 -o out", "look at calibration images"),
        ("resnet20 --weights random --labels {}/three.txt -o out", "3 names, but resnet20 answers 10 classes"),
        ("resnet20 --weights random --verify {}/pictures -o out", "holds 2 classes but resnet20 answers 10"),
        (
            "resnet20 --weights random --quantize int8 --calibration random:4 --verify {}/pictures --max-drop 1 -o out",
            "holds 2 classes but resnet20 answers 10",
        ),
        (
            "absent.keras --quantize int8 --calibration random:4 --max-drop 1 -o out",
            "give --quantize int8 and --verify",
        ),
        (
            "resnet20 --weights random --quantize int8 --calibration random:4 --verify {}/unlabelled.npz --max-drop 1 "
            "-o out",
            "unlabelled.npz: --max-drop needs labels",
        ),
        ("absent.keras --labels absent.txt -o out", "absent.txt: not a readable list"),
        ("resnet20 --weights random --quantize float16 --inputs int8 -o out", "a file of float16 takes float32"),
        (
            "resnet20 --weights random --estimator mse -o out",
            "float32 takes no keep, auto_mixed, corrections or estimator",
        ),
        (
            "resnet20 --weights random --quantize int8 --calibration random:4 --keep-in int16 -o out",
            "give keep or auto_mixed",
        ),
        (
            "{}/any.keras --preprocess tf --quantize int8 --calibration random:4 -o out",
            "any_size reads (None, None, 3); pictures have a height",
        ),
        (
            "{}/any.keras --preprocess tf --quantize int8 --calibration {}/pictures -o out",
            "any_size reads (None, None, 3); pictures have a height",
        ),
        ("sensitivity {}/any.keras --preprocess tf --data {}/pictures", "any_size reads (None, None, 3)"),
        ("{}/two.keras --preprocess tf --pixels -o out", "two has 2 inputs; --pixels is for networks of one picture"),
        ("{}/two.keras --preprocess tf --quantize int8 --calibration random:4 -o out", "two has 2 inputs"),
        ("sensitivity {}/model.keras --preprocess tf --data {}/pictures", "holds 2 classes but"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, words: str
) -> None:
    (files / "labels.keras").write_text("a shopping list")
    monkeypatch.chdir(tmp_path)
    assert words in refusal(*arguments.format(*[files] * arguments.count("{}")).split())
    assert list(tmp_path.iterdir()) == []


def test_folders_of_an_export_s_verification_are_the_classes_of_their_names(
    files: Path, resnet: keras.Model, tmp_path: Path
) -> None:
    line = [
        files / "model.keras",
        "--preprocess",
        "tf",
        "--labels",
        files / "pairs.txt",
        "--verify",
        files / "pictures",
    ]
    export(*line, "-o", tmp_path / "m.tflite", "-q")
    card = Card.read(tmp_path / "m.tflite.json")
    paths = sorted((files / "pictures").glob("*/[0-9].png"))
    pixels = np.stack([np.asarray(Image.open(path)) for path in paths])
    found = np.asarray(resnet(PRESETS["tf"](pixels))).argmax(1)
    expected = [{"class0": 3, "class1": 2}[path.parent.name] for path in paths]
    assert card.verification is not None
    assert card.verification["top1_model"] == pytest.approx((found == expected).mean())


def test_one_picture_verifies_and_a_name_in_brackets_stays_a_name(files: Path, tmp_path: Path) -> None:
    path = tmp_path / "out[" / "x]" / "m[final].tflite"
    line = [files / "model.keras", "--preprocess", "tf", "--verify", files / "one.npz", "-o", path, "-q"]
    out, _ = export(*line)
    assert "out[/x]/m[final].tflite" in "".join(out.split())  # a title is broken where the table ends
    assert "top-1" in out
    assert "95 % interval" not in out
    line = ["verify", path, "--against", path, "--data", files / "one.npz", "--no-card", "-q"]
    assert "out[/x]/m[final].tfliteover1images" in "".join(export(*line)[0].split())


@pytest.mark.parametrize("offset", [-1, 1, 300])
def test_an_offset_takes_labels_beyond_their_own_type(offset: int) -> None:
    images = Images(np.zeros((2, 4, 4, 3), np.uint8), np.array([0, 255], np.uint8), None, 0, "test")
    found = with_classes(images, None, None, "net", offset).labels
    assert found is not None
    assert found.tolist() == [offset, 255 + offset]


def test_a_card_says_what_is_known_of_weights_and_preprocessing(files: Path) -> None:
    with pytest.warns(Adapted, match="keeps its random initialisation"):
        _, origin = load("resnet20", str(files / "knows.safetensors"), ["classes=7"])
    assert (origin.weights, origin.preprocessing) == ("partly untrained", PRESETS["tf"])
    assert load("resnet20", str(files / "knows.safetensors"), [])[1].weights == "trained"
    options = ["input_shape=32,32,3", "alpha=0.75"]
    source = "keras.applications.MobileNetV3Small"
    assert load(source, "random", options)[1].preprocessing == PRESETS["none"]
    assert load(source, "random", [*options, "include_preprocessing=false"])[1].preprocessing is None


def test_files_are_replaced_only_by_force(tmp_path: Path) -> None:
    (tmp_path / "resnet20_float32.tflite").write_text("mine")
    line = ("resnet20", "--weights", "random", "-o", tmp_path)
    assert "exists already; give --force" in refusal(*line)
    assert (tmp_path / "resnet20_float32.tflite").read_text() == "mine"
    export(*line, "--force", "-q")
    assert (tmp_path / "resnet20_float32.tflite").read_bytes()[4:8] == b"TFL3"


def test_a_refusal_is_a_sentence_on_standard_error_and_exit_code_2(tmp_path: Path) -> None:
    done = in_a_shell("resnet21", "--weights", "random", "-o", tmp_path, code=2)
    assert done.stdout == ""
    assert "error: 'resnet21' is no network" in done.stderr
    done = in_a_shell("resnet20", "--weights", "random", "--quantize", "int7", "-o", tmp_path, code=2)
    assert "'int7' is not one of" in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback() -> None:
    done = in_a_shell("resnet21", "--weights", "random", "-o", "out", "--debug", code=1)
    assert "Traceback" in done.stderr
