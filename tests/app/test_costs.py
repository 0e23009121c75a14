"""A machine's cost table, from the ratios that were measured."""

import tomllib

import pytest

from keras_cnnzoo.app.costs import gains_of, section


def test_of_two_passes_that_may_do_the_same_the_first_has_the_step_and_neither_a_gain() -> None:
    gains = {"early-pool": (1.01, 1.0, 1.02), "average-pool": (1.02, 1.01, 1.03)}
    ratios = {f"without_{name}": gain for name, gain in gains.items()}
    ratios |= {"upto_nothing": (2.2, 2.1, 2.3), "upto_early-pool": (1.1, 1.0, 1.2), "with_wide-pixels": (0.8, 0.5, 1.0)}
    found = {gain.name: gain for gain in gains_of("net", "int8", ratios)}
    assert (found["early-pool"].value, found["early-pool"].step) == (1.01, pytest.approx(2.0))
    assert (found["average-pool"].value, found["average-pool"].step) == (1.02, pytest.approx(1.1))
    assert (found["wide-pixels"].value, found["wide-pixels"].low, found["wide-pixels"].high) == (1.25, 1.0, 2.0)
    table = tomllib.loads(section(list(found.values())))
    (machine,) = table.values()
    assert machine["int8"]["early-pool"]["step"] == 2.0
    assert "step" not in machine["int8"]["wide-pixels"]
