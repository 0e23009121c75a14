"""The cost of one layer's quantization; the worst ones are kept."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnnzoo.export.calibration import Calibration, min_max
from keras_cnnzoo.export.cli import app
from keras_cnnzoo.export.contents import operators
from keras_cnnzoo.export.emit import emit
from keras_cnnzoo.export.graph import Graph, from_keras
from keras_cnnzoo.export.lowering import lower
from keras_cnnzoo.export.pipeline import in_scheme
from keras_cnnzoo.export.schemes import Quantization
from keras_cnnzoo.export.sensitivity import costliest, sensitivity, to_svg
from keras_cnnzoo.export.tflite import silent


@pytest.fixture(scope="module")
def graph() -> Graph:
    """Three convolutions; the second one's weights hold an outlier that no step of 1/127 of it can serve."""
    keras.utils.set_random_seed(0)
    x = image = keras.Input((16, 16, 3), name="image")
    for index in range(3):
        x = layers.Conv2D(8, 3, padding="same", name=f"conv{index}")(x)
    model = keras.Model(image, layers.GlobalAveragePooling2D(name="pool")(x))
    kernel, bias = model.get_layer("conv1").get_weights()
    kernel[0, 0] = 0
    kernel[0, 0, 0] = 60
    model.get_layer("conv1").set_weights([kernel, bias])
    first, bias = model.get_layer("conv0").get_weights()
    first[..., 0] = 0
    model.get_layer("conv0").set_weights([first, bias])
    return lower(from_keras(model))


@pytest.fixture(scope="module")
def data(some_images: np.ndarray) -> Calibration:
    return Calibration(some_images[:8, :16, :16], "test")


def test_a_layer_s_cost_does_not_depend_on_what_the_others_would_be_kept_in(graph: Graph, data: Calibration) -> None:
    whole, ranges = emit(graph), min_max(graph, data)
    plain, wide = (
        sensitivity(whole, ranges, data.inputs, None, Quantization("int8", keep_in=kept))
        for kept in ("float32", "int16")
    )
    assert plain == wide


def test_the_verb_measures_what_the_file_holds(
    data: Calibration, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Activation("hard_swish", name="hs")(layers.Conv2D(4, 3, name="conv")(image))
    keras.Model(image, layers.Dense(4, name="fc")(layers.Flatten()(x))).save(tmp_path / "m.keras")
    pixels = np.clip(128 + 50 * data.inputs, 0, 255).astype(np.uint8)
    np.savez(tmp_path / "d.npz", images=pixels)
    line = ["sensitivity", str(tmp_path / "m.keras"), "--data", str(tmp_path / "d.npz"), "--preprocess", "tf", "-q"]
    app([*line, "--json"], standalone_mode=False)
    found = {entry["name"]: entry["kind"] for entry in json.loads(capsys.readouterr().out)}
    assert {"conv", "fc"} <= found.keys()
    assert "HARD_SWISH" not in found.values()  # a sum and a product in the file
    app(
        [
            str(tmp_path / "m.keras"),
            "--preprocess",
            "tf",
            "--quantize",
            "int8",
            "--calibration",
            str(tmp_path / "d.npz"),
            "-o",
            str(tmp_path / "m.tflite"),
            "-q",
        ],
        standalone_mode=False,
    )
    assert set(found) <= {op.output for op in operators((tmp_path / "m.tflite").read_bytes())}


def test_the_layer_with_the_outlier_costs_most_and_is_the_one_kept(graph: Graph, data: Calibration) -> None:
    options = Quantization("int8", auto_mixed=1)
    found = sensitivity(emit(graph), min_max(graph, data), data.inputs, np.zeros(8, int), options)
    assert [entry.name for entry in found] == ["conv0", "conv1", "conv2", "pool"]
    assert costliest(found, 1) == ("conv1",)
    assert all(entry.top1_lost is not None for entry in found)
    content, kept = in_scheme(graph, options, data, 1, silent)
    assert kept == ("conv1",)
    assert sum(op.name == "CONV_2D" and op.is_float for op in operators(content)) == 1
    picture = to_svg(found)
    assert picture.count('class="worst"') == 3
    assert all(f">{entry.name}<" in picture for entry in found)


def test_the_images_that_choose_the_layers_are_drawn_from_all(
    graph: Graph, data: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def watched(whole: bytes, ranges: object, images: np.ndarray, *rest: object) -> list:
        seen.append(images)
        return []

    monkeypatch.setattr("keras_cnnzoo.export.pipeline.PROBES", 4)
    monkeypatch.setattr("keras_cnnzoo.export.pipeline.sensitivity", watched)
    in_scheme(graph, Quantization("int8", auto_mixed=1), data, 1, silent)
    np.testing.assert_array_equal(seen[0], data.inputs[::2])
