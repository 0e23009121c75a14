"""to_tflite from Python: the file, its card, its metadata; and nothing at all where something is wrong."""

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnnzoo import InputError
from keras_cnnzoo.export import Card, Origin, to_tflite, verify
from keras_cnnzoo.export.card import SCHEMA_VERSION, card_path
from keras_cnnzoo.export.contents import operators, parse
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.lowering.accuracy import Accuracy
from keras_cnnzoo.export.schemes import Quantization
from keras_cnnzoo.export.tflite import emitted
from keras_cnnzoo.export.verify import compare, correct, paired_difference
from keras_cnnzoo.preprocessing import PRESETS

LABELS = [f"class {i}" for i in range(10)]


@pytest.fixture(scope="module")
def int8(resnet: keras.Model, some_images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Card]:
    path = tmp_path_factory.mktemp("int8") / "new" / "resnet.tflite"
    origin = Origin("random", "resnet20", {"classes": 10}, PRESETS["torch"], LABELS)
    return path, to_tflite(resnet, path, quantize="int8", calibration=some_images, origin=origin)


def test_a_card_beside_the_file_says_what_it_is(int8: tuple[Path, Card]) -> None:
    path, card = int8
    assert Card.read(card_path(path)) == card
    assert card.artifact["bytes"] == path.stat().st_size
    assert card.model == {
        "name": "resnet20",
        "builder": "resnet20",
        "options": {"classes": 10},
        "weights": "random",
        "training": None,
        "parameters": 269_722,
        "macs": 40_551_040,
    }
    assert card.quantization["calibration"] == {"source": "array", "count": 60, "random": False}
    assert sum(card.operators.values()) == len(operators(path.read_bytes()))
    assert card.delegate == {"name": "XNNPACK", "partitions": 1, "outside": {}}
    assert card.conversion["by"] == "emitter"


def test_a_card_gives_the_scales_that_the_file_has(int8: tuple[Path, Card]) -> None:
    path, card = int8
    (given,) = card.inputs
    detail = LiteRT(path.read_bytes()).input
    assert (given["name"], given["shape"], given["dtype"], given["layout"]) == ("image", [1, 32, 32, 3], "int8", "NHWC")
    assert (given["scale"], given["zero_point"]) == pytest.approx(detail["quantization"])


def test_labels_and_normalisation_stand_inside_the_file(int8: tuple[Path, Card]) -> None:
    content = int8[0].read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read("labels.txt").decode().splitlines() == LABELS
    (entry,) = (e for e in parse(content).metadata if e.name == b"TFLITE_METADATA")
    metadata = parse(content).buffers[entry.buffer].data.tobytes()
    assert metadata[4:8] == b"M001"
    pixels = np.array([0.485, 0.456, 0.406], np.float32) * np.float32(255)
    assert pixels.tobytes() in metadata


def test_the_same_model_gives_the_same_bytes(resnet: keras.Model, some_images: np.ndarray, tmp_path: Path) -> None:
    for name in ("a.tflite", "b.tflite"):
        to_tflite(resnet, tmp_path / name, quantize="int8", calibration=some_images)
    assert (tmp_path / "a.tflite").read_bytes() == (tmp_path / "b.tflite").read_bytes()


def test_passes_of_a_network_of_several_outputs_are_declined_by_the_first(
    some_images: np.ndarray, tmp_path: Path
) -> None:
    image = keras.Input((32, 32, 3), name="image")
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, 4)(image))
    model = keras.Model(image, [layers.Dense(n, name=name)(x) for n, name in ((10, "main"), (3, "aux"))])
    accuracy = Accuracy(some_images[:8], None, 1.0)
    card = to_tflite(model, tmp_path / "m.tflite", quantize="int8", calibration=some_images[:8], accuracy=accuracy)
    assert [output["name"] for output in card.outputs] == ["main", "aux"]


def test_passes_are_judged_by_the_file_that_is_written(
    resnet: keras.Model, some_images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def watched(graph: Any, scheme: Any, data: Any) -> bytes:
        seen.append(scheme)
        return emitted(graph, scheme, data)

    monkeypatch.setattr("keras_cnnzoo.export.tflite.emitted", watched)
    asked = Quantization("int8", estimator="percentile", corrections=())
    accuracy = Accuracy(some_images[:8], None, 1.0)
    to_tflite(resnet, tmp_path / "m.tflite", quantize=asked, calibration=some_images[:8], accuracy=accuracy)
    assert seen
    assert set(seen) == {asked}


def test_a_grey_network_s_file_has_no_metadata_for_it_knows_rgb_alone(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 1), name="image")
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(image)))
    to_tflite(model, tmp_path / "m.tflite", origin=Origin(preprocessing=PRESETS["torch"], labels=["a", "b"]))
    assert not zipfile.is_zipfile(tmp_path / "m.tflite")
    assert Card.read(tmp_path / "m.tflite.json").labels == ["a", "b"]


def test_a_batch_is_fixed_in_the_file(resnet: keras.Model, some_images: np.ndarray, tmp_path: Path) -> None:
    card = to_tflite(resnet, tmp_path / "m.tflite", batch=4)
    assert card.inputs[0]["shape"] == [4, 32, 32, 3]
    expected = np.asarray(resnet(some_images[:8]))
    np.testing.assert_allclose(LiteRT((tmp_path / "m.tflite").read_bytes())(some_images[:8])[0], expected, atol=1e-3)


def without_a_rule() -> keras.Model:
    image = keras.Input((8, 8, 3), name="pixels")
    x = layers.Conv2DTranspose(4, 3, 2, output_padding=1)(layers.Conv2D(4, 3)(image))
    return keras.Model(image, layers.Dense(5, name="logits")(layers.GlobalAveragePooling2D()(x)), name="odd")


@pytest.mark.parametrize("scheme", ["float32", "float16", "dynamic", "int8"])
def test_a_layer_without_a_rule_goes_by_tensorflow_s_converter(scheme: Any, tmp_path: Path) -> None:
    model = without_a_rule()
    images = np.random.default_rng(0).standard_normal((20, 8, 8, 3)).astype(np.float32)
    card = to_tflite(model, tmp_path / "odd.tflite", quantize=scheme, calibration=images)
    assert (card.conversion["by"], card.conversion["reason"]) == ("TFLiteConverter", "no rule for Conv2DTranspose")
    assert ([i["name"] for i in card.inputs], [o["name"] for o in card.outputs]) == (["pixels"], ["logits"])
    found = verify((tmp_path / "odd.tflite").read_bytes(), model, images)
    assert found.sqnr_db is not None
    assert found.sqnr_db > {"float32": 100, "float16": 50, "dynamic": 25, "int8": 20}[scheme]


def test_too_few_images_for_a_batch_of_tensorflow_s_converter_are_refused(tmp_path: Path) -> None:
    images = np.random.default_rng(0).standard_normal((3, 8, 8, 3)).astype(np.float32)
    with pytest.raises(
        InputError, match="3 calibration images do not fill a batch of 4; give more, or a smaller batch"
    ):
        to_tflite(without_a_rule(), tmp_path / "odd.tflite", quantize="int8", calibration=images, batch=4)
    assert list(tmp_path.iterdir()) == []


def test_a_file_may_answer_whole_numbers(tmp_path: Path) -> None:
    class Best(layers.Layer):
        def call(self, scores: Any) -> Any:
            import tensorflow as tf

            return tf.argmax(scores, -1)

        def compute_output_spec(self, scores: Any) -> Any:
            return keras.KerasTensor(scores.shape[:-1], "int64")

    image = keras.Input((8, 8, 3), name="image")
    model = keras.Model(image, Best(name="best")(layers.Conv2D(5, 3)(image)))
    card = to_tflite(model, tmp_path / "m.tflite")
    assert (card.outputs[0]["dtype"], card.operators["ARG_MAX"]) == ("int64", 1)
    images = np.random.default_rng(0).standard_normal((4, 8, 8, 3)).astype(np.float32)
    assert verify((tmp_path / "m.tflite").read_bytes(), model, images).largest_difference == 0


def test_a_mixed_precision_model_becomes_a_float32_file(tmp_path: Path) -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        image = keras.Input((8, 8, 3))
        x = layers.Conv2DTranspose(4, 3, 2, output_padding=1)(layers.Conv2D(4, 3)(image))
        model = keras.Model(image, layers.Dense(5, dtype="float32")(layers.Flatten()(x)))
        plain = keras.Model(image, layers.Dense(5, dtype="float32")(layers.Flatten()(layers.Conv2D(4, 3)(image))))
    finally:
        keras.config.set_dtype_policy("float32")
    for each in (model, plain):
        card = to_tflite(each, tmp_path / "m.tflite", force=True)
        assert not [name for name in card.operators if name.startswith("Flex")]
        assert card.inputs[0]["dtype"] == "float32"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"quantize": "int7"}, "quantize='int7'"),
        ({"quantize": "int8"}, "needs calibration images"),
        (
            {"quantize": "int8", "calibration": np.eye(8).repeat(6).reshape(2, 8, 8, 3)},
            "calibration has (8, 8, 3)",
        ),
        ({"quantize": "int8", "calibration": np.full((1, 32, 32, 3), np.inf, np.float32)}, "infinite"),
        ({"inputs": "int4"}, "inputs='int4'"),
        ({"inputs": "int8"}, "inputs='int8': a file of float32 takes float32"),
        (
            {"quantize": "int8", "calibration": "photographs"},
            "Calibration.of('photographs', preprocessing=..., size=...)",
        ),
        ({"origin": Origin(labels=["a", "b"])}, "2 names, but resnet20 answers 10 classes"),
        ({"batch": 0}, "batch=0"),
    ],
    ids=str,
)
def test_what_will_not_do_is_refused_and_leaves_no_file(resnet: keras.Model, tmp_path: Path, wrong, words: str) -> None:
    with pytest.raises(InputError) as caught:
        to_tflite(resnet, tmp_path / "m.tflite", **wrong)
    assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_verification_that_fails_leaves_no_file(resnet: keras.Model, tmp_path: Path) -> None:
    def fails(content: bytes) -> dict:
        raise InputError("no")

    with pytest.raises(InputError):
        to_tflite(resnet, tmp_path / "m.tflite", verification=fails)
    assert list(tmp_path.iterdir()) == []


def test_files_are_replaced_only_by_force(resnet: keras.Model, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        to_tflite(resnet, path)
    assert path.read_text() == "mine"
    to_tflite(resnet, path, force=True)
    assert path.read_bytes()[4:8] == b"TFL3"


def test_a_card_from_a_newer_schema_or_an_invalid_one_is_refused(int8: tuple[Path, Card], tmp_path: Path) -> None:
    card = json.loads(card_path(int8[0]).read_text())
    newer = tmp_path / "newer.json"
    newer.write_text(json.dumps(card | {"schema_version": SCHEMA_VERSION + 1}))
    with pytest.raises(InputError, match="update it"):
        Card.read(newer)
    newer.write_text(json.dumps(card | {"inputs": []}))
    with pytest.raises(InputError, match=r"not a valid card, \$\.inputs"):
        Card.read(newer)
    newer.write_text("{")
    with pytest.raises(InputError, match="not a readable card"):
        Card.read(newer)
    with pytest.raises(InputError, match="not a valid card"):
        replace(int8[1], created=None).write(tmp_path / "m.tflite")  # type: ignore[arg-type]


def test_verification_tells_top1_agreement_and_difference() -> None:
    expected = np.array([[3.0, 1, 0], [0, 2, 1], [0, 1, 5], [4, 0, 0]])
    answers = np.array([[3.0, 1, 0], [0, 1, 2], [0, 1, 5], [4, 0, 0]])
    found = compare(expected, answers, np.array([0, 1, 2, 1]))
    assert (found.top1_model, found.top1_file, found.agreement) == (0.75, 0.5, 0.75)
    assert found.top1_difference == -25
    assert (found.largest_difference, found.largest_output) == (1.0, 5.0)


def test_ties_at_the_top_share_the_point() -> None:
    outputs = np.array([[1, 1, 0], [2, 1, 0], [1, 1, 1]])
    assert correct(outputs, np.array([0, 1, 2])).tolist() == [0.5, 0, pytest.approx(1 / 3)]
    with pytest.raises(InputError, match="labels run from 0 to 3"):
        correct(outputs, np.array([0, 1, 3]))


def test_an_interval_of_a_paired_difference_covers_at_its_rate() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        base = rng.random(500) < 0.8
        changed = np.where(rng.random(500) < 0.05, rng.random(500) < 0.6, base)  # 0.05 * (0.6 - 0.8) = -1 point
        _, (low, high) = paired_difference(changed.astype(float), base.astype(float))
        covered += low <= -1.0 <= high
    assert 0.92 <= covered / 400 <= 0.98


def test_a_file_that_does_not_fit_the_images_is_refused(int8: tuple[Path, Card], resnet: keras.Model) -> None:
    with pytest.raises(InputError, match=r"the file reads \(32, 32, 3\)"):
        verify(int8[0].read_bytes(), resnet, np.zeros((1, 8, 8, 3), np.float32))


@pytest.mark.parametrize("damage", [lambda c: c[:2000], lambda c: b"", lambda c: c[:4] + b"XXXX" + c[8:]])
def test_a_corrupt_file_is_named_as_such(int8: tuple[Path, Card], damage) -> None:
    with pytest.raises(InputError, match=r"corrupt|truncated|not a \.tflite"):
        parse(damage(int8[0].read_bytes()))
