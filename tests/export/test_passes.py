"""No pass changes an answer, on random networks, alone and after the others; each finds its pattern somewhere."""

from collections import Counter

import keras
import numpy as np
import pytest

from keras_cnnzoo.export.graph import Graph, from_keras
from keras_cnnzoo.export.lowering import lower
from keras_cnnzoo.export.lowering.guard import lower_under
from keras_cnnzoo.export.lowering.passes import PASSES
from keras_cnnzoo.export.rebuild import to_keras

from .networks import random_network

SEEDS = range(12)
TOLERANCE = 1e-5  # of the largest output: the rounding of float32, nothing more


def assert_equal(model: keras.Model, graph: Graph, images: np.ndarray) -> None:
    expected, answers = np.asarray(model(images)), np.asarray(to_keras(graph)(images))
    assert np.ptp(expected, axis=0).max() > 0.1 * np.abs(expected).max(), "outputs that do not vary prove nothing"
    assert np.abs(expected - answers).max() <= TOLERANCE * np.abs(expected).max()


@pytest.fixture(scope="module")
def did() -> Counter[str]:
    """How many of the random networks each pass changed."""
    return Counter()


@pytest.mark.parametrize("seed", SEEDS)
def test_all_passes_in_turn_change_no_answer_of_a_random_network(seed: int, did: Counter[str]) -> None:
    model, images = random_network(seed)
    lowered = lower_under(from_keras(model), PASSES)
    did.update(lowered.passes)
    assert_equal(model, lowered.graph, images[:4])


def test_these_passes_found_their_pattern_in_these_networks(did: Counter[str]) -> None:
    """The others have their patterns in test_each_pass.py."""
    if sum(did.values()) == 0:
        pytest.skip("run with the tests of the random networks")
    assert set(did) >= {
        "average-pool",
        "channel-order",
        "early-pool",
        "fold-batch-norm",
        "hard-swish",
        "nest-concats",
        "normalize-by-depthwise",
        "relu-to-producers",
        "remove-identities",
        "shortcut-by-convolution",
        "wide-groups",
    }


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 400))
def test_many_more_random_networks(seed: int) -> None:
    model, images = random_network(seed)
    rng = np.random.default_rng(seed)
    some = [p for p in PASSES if p.canonical or rng.random() < 0.6]
    assert_equal(model, lower(from_keras(model), some), images[:4])
