"""An artifact is believed only as far as its card and its bytes agree."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from keras_cnnzoo import InputError
from keras_cnnzoo.mobile_bench.artifact import CARD_SCHEMA, read_artifact, short_names


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "copy.tflite"
    path.write_bytes(model.read_bytes())
    return path


def write_card(artifact: Path, card: Any) -> Path:
    path = artifact.with_name(artifact.name + ".json")
    path.write_text(card if isinstance(card, str) else json.dumps(card))
    return path


def true_card(artifact: Path) -> dict[str, Any]:
    content = artifact.read_bytes()
    return {
        "schema_version": CARD_SCHEMA,
        "artifact": {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)},
        "model": {"macs": 1_769_472, "parameters": 1168, "builder": "resnet20"},
    }


def test_a_file_without_a_card_is_measured_all_the_same(copy: Path) -> None:
    artifact = read_artifact(copy)
    assert artifact.bytes == copy.stat().st_size
    assert (artifact.macs, artifact.parameters) == (None, None)


def test_a_card_that_agrees_tells_macs_and_parameters(copy: Path) -> None:
    write_card(copy, true_card(copy))
    artifact = read_artifact(copy)
    assert (artifact.macs, artifact.parameters) == (1_769_472, 1168)


def test_a_card_tells_how_pictures_are_fed(copy: Path) -> None:
    spec = {"scale": 0.5, "mean": [1, 2, 3], "std": [1, 1, 1]}
    write_card(copy, true_card(copy) | {"preprocessing": spec, "inputs": [{"layout": "NCHW"}]})
    artifact = read_artifact(copy)
    assert artifact.channels_first
    assert artifact.preprocessing is not None
    assert (artifact.preprocessing.scale, artifact.preprocessing.mean) == (0.5, (1, 2, 3))


def test_a_card_tells_the_classes_names(copy: Path) -> None:
    write_card(copy, true_card(copy) | {"labels": ["cat", "dog"]})
    assert read_artifact(copy).labels == ("cat", "dog")


def test_files_of_one_name_are_told_apart_by_the_shortest_end_of_their_paths() -> None:
    paths = [
        Path(p) for p in ("m.tflite", "old/m.tflite", "new/m.tflite", "a/new/x.tflite", "b/new/x.tflite", "y.onnx")
    ]
    assert list(short_names(paths).values()) == [
        "m.tflite", "old/m.tflite", "new/m.tflite", "a/new/x.tflite", "b/new/x.tflite", "y.onnx",
    ]  # fmt: skip


def test_other_formats_are_told_by_suffix_and_content(tmp_path: Path) -> None:
    for name, content in {"a.onnx": b"\x08\x08rest", "a.keras": b"PK\x03\x04"}.items():
        (tmp_path / name).write_bytes(content)
        assert read_artifact(tmp_path / name).bytes == len(content)
        (tmp_path / name).write_bytes(b"TFL3TFL3")
        with pytest.raises(InputError, match="this is not a"):
            read_artifact(tmp_path / name)
    (tmp_path / "a.pt").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"told by their suffix; give \.tflite, \.keras, \.onnx"):
        read_artifact(tmp_path / "a.pt")


def test_a_card_may_leave_out_all_but_its_version(copy: Path) -> None:
    write_card(copy, {"schema_version": CARD_SCHEMA, "model": None})
    assert read_artifact(copy).macs is None


@pytest.mark.parametrize(
    ("card", "sentence"),
    [
        ({"schema_version": CARD_SCHEMA + 1}, f"has schema version {CARD_SCHEMA + 1}, .* knows {CARD_SCHEMA}; update"),
        ({"schema_version": CARD_SCHEMA, "artifact": {"bytes": 7}}, "describes another file"),
        ({"schema_version": CARD_SCHEMA, "artifact": {"sha256": "00"}}, "describes another file"),
        ({"schema_version": CARD_SCHEMA, "artifact": []}, "its artifact is not an object"),
        ({"schema_version": CARD_SCHEMA, "model": {"macs": "many"}}, "its model.macs is not a whole number"),
        ({"schema_version": CARD_SCHEMA, "model": {"macs": 10**400}}, "its model.macs is not a whole number below 2"),
        ({"schema_version": CARD_SCHEMA, "labels": [1]}, "its labels is not a list of texts"),
        ({"schema_version": CARD_SCHEMA, "preprocessing": {"zoom": 1}}, "its preprocessing"),
        ({"schema_version": CARD_SCHEMA, "preprocessing": {"scale": 10**400}}, "its preprocessing"),
        ({"schema_version": CARD_SCHEMA, "inputs": "x"}, "its inputs is not a list of objects"),
        ({"schema_version": "1"}, "its schema_version is not a whole number"),
        ({"schema_version": True}, "its schema_version is not a whole number"),
        ({}, "has no schema_version"),
        ([], "the card is not an object"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_a_card_that_cannot_be_believed_is_named(copy: Path, card: Any, sentence: str) -> None:
    write_card(copy, card)
    with pytest.raises(InputError, match=sentence) as caught:
        read_artifact(copy)
    assert "\n" not in str(caught.value)


def test_a_card_that_is_not_text_is_named(copy: Path) -> None:
    write_card(copy, "").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not JSON"):
        read_artifact(copy)


def test_what_is_not_a_model_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.tflite").touch()
    (tmp_path / "text.tflite").write_text("a shopping list")
    for name, sentence in {"empty.tflite": "empty", "text.tflite": "not a .tflite file", "no": "no such file"}.items():
        with pytest.raises(InputError, match=sentence):
            read_artifact(tmp_path / name)
    with pytest.raises(InputError, match=re.escape(f"{tmp_path}: this is a folder")):
        read_artifact(tmp_path)
