"""Parameters and MACs equal the reference table's to the last digit."""

import csv
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import keras_cnnzoo
from keras_cnnzoo.options import typed_options
from keras_cnnzoo.registry import VARIANTS, builder_of

pytestmark = pytest.mark.usefixtures("zero_kernels")
TABLE = Path(__file__).with_name("reference.csv")
ROWS = list(csv.DictReader(line for line in TABLE.read_text().splitlines() if not line.startswith("#")))


def heavy(name: str) -> Any:
    """Slow are the networks of more than 30 M parameters and those that name a depth of 100 layers or more.

    From 150 layers on they repeat what shallower ones of the same table hold: nightly.
    """
    depth = max(map(int, re.findall(r"\d+", name)), default=0)
    if depth >= 150:
        return pytest.mark.nightly
    return pytest.mark.slow if depth >= 100 or VARIANTS[name].params > 30e6 else ()


@cache
def cost(name: str, settings: str, size: int) -> keras_cnnzoo.Complexity:
    if not settings and size == VARIANTS[name].size:
        return keras_cnnzoo.complexity(keras_cnnzoo.create(name))  # its default size must be the registry's
    options = typed_options(builder_of(name), [setting for setting in settings.split(";") if setting], name)
    return keras_cnnzoo.complexity(keras_cnnzoo.create(name, input_shape=(size, size, 3), **options))


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, marks=heavy(row["network"]), id=f"{row['network']}[{row['options']}]") for row in ROWS],
)
def test_parameters_and_macs_are_exact(row: dict[str, str]) -> None:
    found = cost(row["network"], row["options"], int(row["size"]))
    assert (found.params, found.macs) == (int(row["params"]), int(row["macs"]))


@pytest.mark.parametrize("name", [pytest.param(name, marks=heavy(name)) for name in VARIANTS])
def test_the_registry_says_what_the_default_network_costs(name: str) -> None:
    variant = VARIANTS[name]
    found = cost(name, "", variant.size)
    assert (found.params, found.macs, found.activations) == (variant.params, variant.macs, variant.activations)
