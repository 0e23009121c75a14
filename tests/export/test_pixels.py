"""Files that normalise pixels themselves, and MediaPipe, which needs them."""

import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_cnnzoo import InputError
from keras_cnnzoo.export import Calibration, Card, Origin, to_tflite, verify
from keras_cnnzoo.export.cli import app
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.pixels import reads_pixels, spanning
from keras_cnnzoo.export.runners import OnnxRunner
from keras_cnnzoo.preprocessing import PRESETS

LABELS = [f"class {i}" for i in range(10)]


@pytest.fixture(scope="module")
def pixels(some_images: np.ndarray) -> np.ndarray:
    return np.clip(128 + 50 * some_images, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("preset", ["torch", "caffe"])
def test_the_network_behind_its_normalisation_answers_pixels_as_it_answers_normalised_ones(
    resnet: keras.Model, pixels: np.ndarray, preset: str
) -> None:
    whole, left = reads_pixels(resnet, PRESETS[preset])
    expected = np.asarray(resnet(PRESETS[preset](pixels)))
    assert np.ptp(expected, 0).max() > 0.1 * np.abs(expected).max()
    found = np.asarray(whole(pixels.astype(np.float32)))
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    np.testing.assert_array_equal(left(pixels), pixels)
    assert left.crop == PRESETS[preset].crop


def test_a_grey_network_reads_pixels_by_the_averages_of_three_channels() -> None:
    image = keras.Input((8, 8, 1))
    grey = keras.Model(image, keras.layers.Conv2D(4, 3, name="conv")(image))
    pixels = np.arange(2 * 64, dtype=np.uint8).reshape(2, 8, 8, 1)
    whole, left = reads_pixels(grey, PRESETS["torch"])
    expected = np.asarray(grey(PRESETS["torch"](pixels)))
    np.testing.assert_allclose(np.asarray(whole(pixels.astype(np.float32))), expected, rtol=0, atol=1e-4)
    assert left.mean == (0.0,)


def test_a_sequential_network_reads_pixels_too_once_its_input_is_known(pixels: np.ndarray) -> None:
    conv = keras.layers.Conv2D(4, 3, 4)
    chain = keras.Sequential([conv, keras.layers.GlobalAveragePooling2D()], name="chain")
    with pytest.raises(InputError, match="chain: its input is not known; begin it with"):
        reads_pixels(chain, PRESETS["torch"])
    expected = np.asarray(chain(PRESETS["torch"](pixels)))
    whole, _ = reads_pixels(chain, PRESETS["torch"])
    np.testing.assert_allclose(np.asarray(whole(pixels.astype(np.float32))), expected, rtol=0, atol=1e-4)


def exported(model: keras.Model, path: Path, pixels: np.ndarray, boundary: str) -> Path:
    """The int8 file of the torch preset behind its normalisation."""
    whole, left = reads_pixels(model, PRESETS["torch"])
    data = spanning(Calibration(left(pixels), "pixels"))
    kinds = {"inputs": boundary, "outputs": boundary}
    to_tflite(whole, path, quantize="int8", calibration=data, origin=Origin(preprocessing=left, labels=LABELS), **kinds)
    return path


def test_a_uint8_file_s_steps_are_the_pixels(resnet: keras.Model, pixels: np.ndarray, tmp_path: Path) -> None:
    dull = np.clip(pixels, 30, 200)
    file = exported(resnet, tmp_path / "m.tflite", dull, "uint8")
    assert LiteRT(file.read_bytes()).input["quantization"] == (1.0, 0)
    found = verify(file.read_bytes(), resnet, dull, prepare_model=PRESETS["torch"])
    assert found.sqnr_db is not None
    assert found.sqnr_db > 20


def test_metadata_is_written_where_a_reader_of_it_would_feed_the_file_right(
    resnet: keras.Model, pixels: np.ndarray, tmp_path: Path
) -> None:
    """Into a uint8 input they write pixels as they are, whatever the normalisation says."""
    for name, preset, boundary, written in (
        ("a", "torch", "uint8", False),
        ("b", "torch", "float32", True),
        ("c", "tf", "uint8", True),
        ("d", "caffe", "float32", False),
    ):
        path, origin = tmp_path / f"{name}.tflite", Origin(preprocessing=PRESETS[preset], labels=LABELS)
        data = PRESETS[preset](pixels)
        to_tflite(resnet, path, quantize="int8", calibration=data, inputs=boundary, origin=origin)
        assert zipfile.is_zipfile(path) is written, (preset, boundary)
    assert zipfile.is_zipfile(exported(resnet, tmp_path / "e.tflite", pixels, "uint8"))


def test_mediapipe_answers_as_we_do_from_the_file_alone(
    resnet: keras.Model, pixels: np.ndarray, tmp_path: Path
) -> None:
    mediapipe = pytest.importorskip("mediapipe", reason="mediapipe is absent: install keras-cnnzoo[mediapipe]")
    from mediapipe.tasks.python import BaseOptions, vision

    for boundary in ("uint8", "float32"):
        content = exported(resnet, tmp_path / f"{boundary}.tflite", pixels, boundary).read_bytes()
        options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_buffer=content), max_results=5)
        scores = LiteRT(content)(pixels[:20].astype(np.float32))[0]
        with vision.ImageClassifier.create_from_options(options) as classifier:
            for own, image in zip(scores, pixels[:20], strict=True):
                picture = mediapipe.Image(mediapipe.ImageFormat.SRGB, np.ascontiguousarray(image))
                five = classifier.classify(picture).classifications[0].categories
                assert [c.score for c in five] == pytest.approx(np.sort(own)[::-1][:5], abs=1e-4)
                assert [own[c.index] for c in five] == pytest.approx([c.score for c in five], abs=1e-4)
                assert [c.category_name for c in five] == [LABELS[c.index] for c in five]


def test_the_command_exports_and_verifies_a_file_of_pixels(
    resnet: keras.Model, pixels: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resnet.save(tmp_path / "m.keras")
    np.savez(tmp_path / "d.npz", images=pixels, labels=np.asarray(resnet(PRESETS["torch"](pixels))).argmax(1))
    data, file = str(tmp_path / "d.npz"), tmp_path / "m.tflite"
    line = [str(tmp_path / "m.keras"), "--preprocess", "torch", "--pixels", "--quantize", "int8", "--inputs", "uint8"]
    app([*line, "--calibration", data, "--verify", data, "-o", str(file), "-q"], standalone_mode=False)
    card = Card.read(tmp_path / "m.tflite.json")
    assert card.preprocessing is not None
    assert card.preprocessing["scale"] == 1
    assert card.verification is not None
    assert card.verification["top1_file"] > 0.85
    line = ["verify", str(file), "--against", str(tmp_path / "m.keras"), "--reference-preprocess", "torch"]
    app([*line, "--data", data, "--layers", "-q"], standalone_mode=False)
    again = Card.read(tmp_path / "m.tflite.json").verification
    assert again is not None
    assert again["top1_file"] == card.verification["top1_file"]
    assert "cosine 0." not in capsys.readouterr().out


@pytest.mark.parametrize(("layout", "quantize"), [("NCHW", "float32"), ("NHWC", "float32"), ("NCHW", "int8")])
def test_onnx_files_are_verified_through_onnx_runtime(
    resnet: keras.Model, pixels: np.ndarray, tmp_path: Path, layout: str, quantize: str
) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from keras_cnnzoo.export.onnx.conversion import to_onnx

    inputs = PRESETS["torch"](pixels)
    calibration = {"calibration": inputs} if quantize == "int8" else {}
    to_onnx(resnet, tmp_path / "m.onnx", layout=layout, quantize=quantize, **calibration)
    content = (tmp_path / "m.onnx").read_bytes()
    for told in (layout, None):
        file = OnnxRunner(content, layout=told)
        assert file.shape == (32, 32, 3)
        found = verify(file, resnet, pixels, prepare=PRESETS["torch"])
        assert found.sqnr_db is not None
        assert found.sqnr_db > (15 if quantize == "int8" else 80)
    line = ["verify", str(tmp_path / "m.onnx"), "--against", str(tmp_path / "m.onnx"), "--preprocess", "torch"]
    np.savez(tmp_path / "d.npz", images=pixels)
    app([*line, "--data", str(tmp_path / "d.npz"), "-q"], standalone_mode=False)
    assert Card.read(tmp_path / "m.onnx.json").verification["agreement"] == 1  # type: ignore[index]
