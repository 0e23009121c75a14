"""Parameters and MACs equal the reference table's to the last digit."""

import csv
from pathlib import Path

import pytest

import keras_cnnzoo
from keras_cnnzoo.options import typed_options
from keras_cnnzoo.registry import builder_of

TABLE = Path(__file__).with_name("reference.csv")
ROWS = list(csv.DictReader(line for line in TABLE.read_text().splitlines() if not line.startswith("#")))
HEAVY = {"preresnet1001": pytest.mark.slow}  # a minute to build


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['network']}[{row['options']}]")
def test_parameters_and_macs_are_exact(row: dict[str, str]) -> None:
    settings = [setting for setting in row["options"].split(";") if setting]
    options = typed_options(builder_of(row["network"]), settings, row["network"])
    size = int(row["size"])
    cost = keras_cnnzoo.complexity(keras_cnnzoo.create(row["network"], input_shape=(size, size, 3), **options))
    assert (cost.params, cost.macs) == (int(row["params"]), int(row["macs"]))


@pytest.mark.parametrize("name", [pytest.param(n, marks=HEAVY.get(n, ())) for n in keras_cnnzoo.list_models()])
def test_the_registry_says_what_the_default_network_costs(name: str) -> None:
    variant = keras_cnnzoo.info(name)
    cost = keras_cnnzoo.complexity(keras_cnnzoo.create(name))
    assert (cost.params, cost.macs) == (variant.params, variant.macs)
