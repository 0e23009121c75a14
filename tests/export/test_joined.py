"""Ranges along chains of concatenations."""

from collections import Counter

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnnzoo.export import joined as module
from keras_cnnzoo.export.calibration import Calibration, Ranges, min_max
from keras_cnnzoo.export.contents import operator_names, parse
from keras_cnnzoo.export.emit import emit
from keras_cnnzoo.export.graph import Graph, from_keras
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.joined import joined
from keras_cnnzoo.export.lowering import lower
from keras_cnnzoo.export.quantize import quantize

GROWTH = 1.04  # of each step's maps


@pytest.fixture(scope="module")
def images(some_images: np.ndarray) -> np.ndarray:
    return some_images[:40, :16, :16]


@pytest.fixture(scope="module")
def block(images: np.ndarray) -> tuple[Graph, Ranges]:
    """A dense block whose maps grow, beside what is twenty times smaller; and its ranges."""
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3))
    x = layers.MaxPooling2D(2, name="pool")(layers.Conv2D(16, 3, padding="same", name="stem")(image))
    small = layers.Conv2D(8, 1, name="small")(layers.MaxPooling2D(2)(image))
    for index in range(6):
        new = layers.Conv2D(8, 3, padding="same", activation="relu", name=f"inner_{index}")(x)
        new = layers.Conv2D(8, 1, name=f"new_{index}")(new)
        x = layers.Concatenate(name=f"join_{index}")([x, new])
    x = layers.Concatenate(name="last")([x, small])
    model = keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))
    largest = 1.0
    for layer in model.layers:  # each step's maps reach further than those before
        if layer.name.startswith(("stem", "new", "small")):
            answers = keras.Model(image, layer.output)(images)
            wanted = 0.05 if layer.name == "small" else largest
            layer.kernel.assign(layer.kernel * (wanted / np.abs(answers).max()))
            largest *= GROWTH
    graph = lower(from_keras(model))
    return graph, min_max(graph, Calibration(images, "array"))


def test_what_is_handed_on_has_the_last_one_s_range_and_nothing_else_changes(block: tuple[Graph, Ranges]) -> None:
    graph, ranges = block
    found = joined(emit(graph), ranges)
    chain = {"stem", "pool", *(f"join_{i}" for i in range(6)), *(f"new_{i}" for i in range(6)), "last"}
    assert {found[name] for name in chain} == {ranges["last"]}
    assert len({ranges[name] for name in chain}) > 5
    assert {name: limits for name, limits in found.items() if name not in chain} == {
        name: limits for name, limits in ranges.items() if name not in chain
    }


def test_nothing_is_rounded_twice_and_the_answers_are_nearer(
    block: tuple[Graph, Ranges], images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, ranges = block
    content = emit(graph)
    expected = LiteRT(content)(images)[0]

    def noise_and_roundings() -> tuple[float, int]:
        small = quantize(content, "int8", ranges)
        count = Counter(operator_names(parse(small)))["QUANTIZE"]
        return float(np.square(LiteRT(small)(images)[0] - expected).mean()), count

    with_it = noise_and_roundings()
    monkeypatch.setattr(module, "WIDEST", 0.0)
    without = noise_and_roundings()
    assert with_it[1] == 0
    assert without[1] > 5
    assert with_it[0] < 0.8 * without[0]
