"""An int8 file goes back to float for a fixed list of layers, says so, and for nothing else."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnnzoo import InputError
from keras_cnnzoo.export import to_tflite, verify
from keras_cnnzoo.export.contents import operators, require_integer
from keras_cnnzoo.layers import LocalResponseNorm

NORMS = {
    "layer": layers.LayerNormalization,
    "group": lambda: layers.GroupNormalization(4),
    "lrn": lambda: LocalResponseNorm(3, k=1.0, alpha=0.5),
}


def network(kind: str) -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((12, 12, 3), name="image")
    x = layers.Conv2D(8, 3, activation="relu", name="first")(image)
    x = layers.Conv2D(8, 3, name="second")(NORMS[kind]()(x))
    return keras.Model(image, layers.Dense(5, name="logits")(layers.GlobalAveragePooling2D()(x)), name=kind)


def images() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.uniform(0.3, 2, (40, 1, 1, 1)) * rng.standard_normal((40, 12, 12, 3)) + 0.5).astype(np.float32)


@pytest.mark.parametrize("kind", NORMS)
def test_a_normalisation_by_own_statistics_stays_in_float_and_the_card_says_so(kind: str, tmp_path: Path) -> None:
    path, model = tmp_path / "m.tflite", network(kind)
    card = to_tflite(model, path, quantize="int8", calibration=images())
    expected = {"LOCAL_RESPONSE_NORMALIZATION"} if kind == "lrn" else {"MEAN", "SUB", "MUL", "ADD", "RSQRT"}
    assert expected <= set(card.quantization["float_islands"])
    rest = [op for op in operators(path.read_bytes()) if not op.is_float]
    assert {"CONV_2D", "FULLY_CONNECTED", "MEAN"} <= {op.name for op in rest}
    found = verify(path.read_bytes(), model, images())
    assert found.sqnr_db is not None
    assert found.sqnr_db > 20


def test_the_same_operators_of_another_layer_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    to_tflite(network("layer"), path, quantize="int8", calibration=images())
    with pytest.raises(InputError, match="keeps float operators"):
        require_integer(path.read_bytes(), ["another"])


def test_a_layer_named_inverse_puts_no_network_around_it_in_float(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    within = keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 3, activation="relu", name="inverse")(within)
    inner = keras.Model(within, layers.Conv2D(8, 3, name="second")(x), name="inner")
    image = keras.Input((12, 12, 3), name="image")
    card = to_tflite(keras.Model(image, inner(image)), tmp_path / "m.tflite", quantize="int8", calibration=images())
    assert card.quantization["float_islands"] == {}
