"""What a target would not take is an error, or a listed fallback, before anything is written."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnnzoo import InputError
from keras_cnnzoo.export import Card, to_tflite
from keras_cnnzoo.export.card import card_path
from keras_cnnzoo.export.contents import operators
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.targets import targets


def gelu_network(side: int = 8) -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((side, side, 3), name="image")
    x = layers.Activation("gelu")(layers.Conv2D(4, 3, 2)(image))
    x = layers.Activation("gelu")(layers.Conv2D(4, 1)(x))
    return keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


def images(side: int = 8) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((20, side, side, 3)).astype(np.float32)


@pytest.mark.parametrize("name", ["xnnpack", "gpu", "edgetpu", "micro", "nnapi", "generic"])
def test_every_target_has_schemes_sources_and_operators_that_the_schema_knows(name: str) -> None:
    from ai_edge_litert import schema_py_generated as schema

    found = targets()[name]
    assert found.sources
    assert set(found.schemes) <= {"float32", "float16", "dynamic", "dynamic-int4", "int8", "int16", "int4"}
    assert {op for taken in found.taken.values() for op in taken} <= set(vars(schema.BuiltinOperator))


@pytest.mark.parametrize(
    ("name", "scheme"), [("edgetpu", "float32"), ("gpu", "int8"), ("micro", "float16"), ("micro", "dynamic")]
)
def test_a_scheme_that_a_target_does_not_run_is_refused_before_any_work(name: str, scheme: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"--target {name} .* not {scheme}; give --quantize"):
        to_tflite(None, tmp_path / "m.tflite", quantize=scheme, target=name)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--target tpu: choose one of generic, xnnpack"):
        to_tflite(None, tmp_path / "m.tflite", target="tpu")  # type: ignore[arg-type]


def test_what_a_target_without_a_fallback_lacks_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no 2 GELU of float32"):
        to_tflite(gelu_network(), tmp_path / "m.tflite", target="micro")
    assert list(tmp_path.iterdir()) == []


def test_what_falls_back_stands_in_the_card(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    card = to_tflite(gelu_network(), path, quantize="int8", calibration=images(), target="edgetpu")
    assert card.target is not None
    assert card.target["outside"] == {"GELU of int8": 2}
    assert "host's CPU" in card.target["fallback"]
    assert Card.read(card_path(path)) == card


def test_what_a_target_takes_whole_has_no_fallback(
    resnet: keras.Model, some_images: np.ndarray, tmp_path: Path
) -> None:
    for name in ("xnnpack", "edgetpu", "micro", "nnapi"):
        card = to_tflite(
            resnet, tmp_path / "m.tflite", quantize="int8", calibration=some_images, target=name, force=True
        )
        assert card.target == {"name": name, "fallback": None, "outside": {}}


def test_a_refused_scheme_s_advice_is_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not int16; give --quantize int8, or another target"):
        to_tflite(None, tmp_path / "m.tflite", quantize="int16", target="xnnpack")  # type: ignore[arg-type]


@pytest.mark.parametrize("scheme", ["float32", "int8", "int4"])
def test_the_list_of_xnnpack_says_what_the_delegate_does(scheme: Any, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 8))
    conv = [layers.Conv2D(8, 3, padding="same")(image) for _ in range(6)]
    x = layers.Concatenate()(conv)
    x = layers.AveragePooling2D(2)(layers.Activation("tanh")(x))
    x = layers.MaxPooling2D(2)(layers.Conv2D(8, 1, activation="sigmoid")(x))
    x = layers.Conv2DTranspose(4, 3, 2)(layers.Conv2D(8, 1)(x))
    x = layers.Maximum()([x, layers.Conv2D(4, 1)(x)])
    model = keras.Model(image, layers.Softmax()(layers.Dense(5)(layers.GlobalAveragePooling2D()(x))))
    data = np.random.default_rng(0).standard_normal((8, 16, 16, 8)).astype(np.float32)
    path = tmp_path / "m.tflite"
    to_tflite(model, path, quantize=scheme, calibration=data, lower="none")
    content = path.read_bytes()
    refused = targets()["xnnpack"].refused(operators(content))
    _, outside = LiteRT(content).delegation()
    assert {key.partition(" ")[0]: count for key, count in refused.items()} == outside


def test_a_file_that_micro_takes_runs_there(resnet: keras.Model, some_images: np.ndarray, tmp_path: Path) -> None:
    runtime = pytest.importorskip("tflite_micro", reason="tflite-micro is not installed").runtime
    path = tmp_path / "m.tflite"
    to_tflite(resnet, path, quantize="int8", calibration=some_images, target="micro")
    interpreter = runtime.Interpreter.from_bytes(path.read_bytes())
    detail = LiteRT(path.read_bytes())
    scale, zero = detail.input["quantization"]
    given = np.clip(np.round(some_images[:1] / scale) + zero, -128, 127).astype(np.int8)
    interpreter.set_input(given, 0)
    interpreter.invoke()
    scale, zero = detail.outputs[0]["quantization"]
    answers = (interpreter.get_output(0).astype(np.float32) - zero) * scale
    expected = np.asarray(resnet(some_images[:1]))
    assert np.abs(answers - expected).max() < 0.2 * np.abs(expected).max()
