"""What cannot be exported is refused in a sentence, and an interrupt or a full disk leaves nothing half-written."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_cnnzoo import InputError
from keras_cnnzoo.export import to_onnx, to_tflite
from keras_cnnzoo.export.sources import load

SHAPE = (8, 8, 3)
WRITERS = [(to_tflite, ".tflite"), (to_onnx, ".onnx")]


def network(*behind: Callable[[Any], Any]) -> keras.Model:
    image = keras.Input(SHAPE, name="image")
    x = layers.Conv2D(4, 3)(image)
    for layer in behind:
        x = layer(x)
    return keras.Model(image, x, name="net")


def test_a_subclassed_model_is_refused_with_the_way_out(tmp_path: Path) -> None:
    class Own(keras.Model):
        def call(self, inputs: Any) -> Any:
            return inputs * 2.0

    own = Own(name="own")
    own(np.zeros((1, *SHAPE), np.float32))
    with pytest.raises(InputError, match=r"own: not a functional model; rebuild it with keras\.Model"):
        to_tflite(own, tmp_path / "m.tflite")
    assert list(tmp_path.iterdir()) == []


def test_a_sequential_model_that_was_not_built_is_refused_with_the_way_out(tmp_path: Path) -> None:
    chain = keras.Sequential([layers.Conv2D(4, 3)], name="chain")
    images = np.random.default_rng(0).standard_normal((4, *SHAPE)).astype(np.float32)
    with pytest.raises(InputError, match="chain: its input is not known; begin it with"):
        to_tflite(chain, tmp_path / "m.tflite", quantize="int8", calibration=images)
    assert list(tmp_path.iterdir()) == []
    chain.save(tmp_path / "m.keras")
    with pytest.raises(InputError, match="chain: its input is not known; begin it with"):
        load(str(tmp_path / "m.keras"), None, [])


def test_what_keras_refuses_without_a_word_is_told_by_its_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*arguments: Any, **options: Any) -> Any:
        raise ValueError

    network().save(tmp_path / "m.keras")
    monkeypatch.setattr(keras.saving, "load_model", refuses)
    with pytest.raises(InputError, match=r"not a Keras model \(ValueError\)"):
        load(str(tmp_path / "m.keras"), None, [])


def test_a_lambda_layer_in_a_file_is_refused_for_it_would_run_code(tmp_path: Path) -> None:
    network(layers.Lambda(lambda x: x * 2.0)).save(tmp_path / "m.keras")
    with pytest.raises(InputError, match=r"m\.keras: .*not a Keras model.*[Ll]ambda"):
        load(str(tmp_path / "m.keras"), None, [])


def test_an_operation_that_litert_lacks_is_refused_by_its_name(tmp_path: Path) -> None:
    model = network(lambda x: ops.erfinv(ops.tanh(x)))
    with pytest.raises(InputError, match="net: TensorFlow's converter refuses it"):
        to_tflite(model, tmp_path / "m.tflite")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("when", ["file", "card"])
@pytest.mark.parametrize(("export", "suffix"), WRITERS)
def test_a_full_disk_leaves_nothing_half_written(
    export: Callable[..., Any], suffix: str, when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def full(self: Path, data: Any) -> int:
        if bytes(data)[:1] == b"{" if when == "card" else bytes(data)[:1] != b"{":
            write(self, bytes(data)[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match=r"could not be written \(No space left on device\)"):
        export(network(), tmp_path / f"m{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("phase", ["emit", "lower"])
@pytest.mark.parametrize(("export", "suffix"), WRITERS)
def test_an_interrupt_leaves_nothing(export: Callable[..., Any], suffix: str, phase: str, tmp_path: Path) -> None:
    from contextlib import contextmanager

    @contextmanager
    def interrupted(name: str, total: float | None) -> Any:
        yield lambda amount: None
        if name == phase:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(network(), tmp_path / f"m{suffix}", phase=interrupted)
    assert list(tmp_path.iterdir()) == []
