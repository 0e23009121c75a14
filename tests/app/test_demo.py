"""The demonstration, end to end on little data."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from keras_cnnzoo import InputError
from keras_cnnzoo.app import demo as demonstration
from keras_cnnzoo.app.demo import run_demo
from keras_cnnzoo.app.result import Demo
from keras_cnnzoo.export import Card
from keras_cnnzoo.training import Data

COLOURS = {"<blue>": (20, 30, 220), "green & gold": (200, 180, 40), "red": (220, 20, 30)}


def coloured(colour: tuple[int, int, int], count: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(-20, 20, (count, 32, 32, 3))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for seed, (name, colour) in enumerate(COLOURS.items()):
        (folder / name).mkdir()
        for index, pixels in enumerate(coloured(colour, 20, seed)):
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def demo(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    out = tmp_path_factory.mktemp("demo") / "out"
    return run_demo(str(pictures), out, epochs=8, size=32, seed=0, force=False, shown=False)


@pytest.mark.slow
def test_one_folder_holds_artifacts_cards_weights_and_the_page(demo: Demo) -> None:
    assert sorted(path.name for path in demo.folder.iterdir()) == [
        "report.html",
        "shufflenet_v2_x0_5_float32.tflite",
        "shufflenet_v2_x0_5_float32.tflite.json",
        "shufflenet_v2_x0_5_int8.tflite",
        "shufflenet_v2_x0_5_int8.tflite.json",
        "weights.safetensors",
    ]
    for scheme in ("float32", "int8"):
        card = Card.read(demo.folder / f"shufflenet_v2_x0_5_{scheme}.tflite.json")
        assert card.quantization["scheme"] == scheme
        assert card.labels == list(COLOURS)
        assert card.verification is not None
        assert card.verification["images"] == 12
    assert demo.rows()[0]["agreement"] == 1.0
    assert demo.rows()[0]["largest_difference"] < 1e-4 * demo.rows()[0]["largest_output"]


@pytest.mark.slow
def test_the_table_shows_accuracy_size_and_latency_of_both(demo: Demo) -> None:
    (float32, int8) = demo.rows()
    assert int8["bytes"] < 0.5 * float32["bytes"]
    assert set(float32["median_ms"]) == {1, 2}
    assert set(int8["ratio"]) == {1, 2}
    assert demo.table().row_count == 2
    json.dumps(demo.to_dict())


@pytest.mark.slow
def test_the_page_stands_alone_and_shows_names_as_text(demo: Demo) -> None:
    page = (demo.folder / "report.html").read_text()
    assert "&lt;blue&gt;" in page
    assert "<blue>" not in page
    assert not re.findall(r"""(?:src|href)=["']?https?:""", page)
    assert page.count("<figure>") == 12


@pytest.mark.slow
def test_a_demonstration_overwrites_nothing_without_force(demo: Demo, pictures: Path) -> None:
    with pytest.raises(InputError, match="exists already"):
        run_demo(str(pictures), demo.folder, epochs=8, size=32, seed=0, force=False, shown=False)


def npz(path: Path, channels: int) -> str:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 24, channels), np.uint8)
    np.savez(path, images=pixels, labels=np.arange(20) % 2)
    return str(path)


def test_pictures_that_the_page_cannot_show_are_refused_before_any_training(tmp_path: Path) -> None:
    data = npz(tmp_path / "five.npz", 5)
    with pytest.raises(InputError, match=r"five\.npz: pictures of 5 channels; .* 1 or 3"):
        run_demo(data, tmp_path / "out", epochs=1, size=32, seed=0, force=False, shown=False)
    assert not (tmp_path / "out").exists()


def test_the_size_is_that_of_an_npz_file_s_pictures_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []

    def trained(data: Data, *how: object) -> None:
        shapes.append(data.shape)
        raise InputError("enough")

    monkeypatch.setattr(demonstration, "_trained", trained)
    data = npz(tmp_path / "three.npz", 3)
    with pytest.raises(InputError, match="enough"):
        run_demo(data, tmp_path / "out", epochs=1, size=16, seed=0, force=False, shown=False)
    assert shapes == [(16, 16, 3)]


def test_a_file_that_is_not_measured_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    report = SimpleNamespace(unmeasured=[SimpleNamespace(label="net_int8.tflite", reason="out of memory")])
    monkeypatch.setattr(demonstration.mobile_bench, "benchmark", lambda paths, **settings: report)
    with pytest.raises(InputError, match=r"net_int8\.tflite: not measured \(out of memory\); .* in out$"):
        demonstration._measured([Path("out/net_float32.tflite"), Path("out/net_int8.tflite")], False)
