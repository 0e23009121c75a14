"""The torch references' state dicts, as names and shapes kept as data, map onto our layers one to one."""

import json
from pathlib import Path

import numpy as np
import pytest

import keras_cnnzoo
from keras_cnnzoo.weights.load import named, state_of

pytestmark = pytest.mark.usefixtures("zero_kernels")
LISTINGS = sorted((Path(__file__).parent / "state_dicts").glob("*.json"))


@pytest.mark.parametrize("listing", LISTINGS, ids=lambda path: path.stem)
def test_every_name_and_shape_of_the_reference_has_its_variable(listing: Path) -> None:
    state = {key: np.empty(shape, np.float32) for key, shape in json.loads(listing.read_text()).items()}
    model = keras_cnnzoo.create(listing.stem)
    translated = {name: value.shape for name, value in named(state, model, "reference").items()}
    assert translated == {name: value.shape for name, value in state_of(model).items()}
