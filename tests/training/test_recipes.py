"""Recipes: read, changed, refused; the learning rate follows them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from keras_cnnzoo import InputError
from keras_cnnzoo.training import Recipe, list_recipes, recipe


def rates(chosen: Recipe, steps: int) -> np.ndarray:
    from keras_cnnzoo.training.schedule import LearningRate

    rate = LearningRate(chosen, steps)
    return np.array([float(rate(step)) for step in range(steps * chosen.epochs)])


# epochs, batch, optimizer, rate, decay and schedule, as docs/training.md has them, and what is a recipe's own
TENTHS = {"milestones": (0.5, 0.75), "shift": 0.125}
SOFT = {"label_smoothing": 0.1}
PAPERS: dict[str, tuple[tuple[int, int, str, float, float, str], dict]] = {
    "resnet_cifar": ((164, 128, "sgd", 0.1, 1e-4, "step"), TENTHS | {"nesterov": False}),
    "densenet": ((300, 64, "sgd", 0.1, 1e-4, "step"), TENTHS | {"nesterov": True}),
    "shufflenet": ((240, 1024, "sgd", 0.5, 4e-5, "linear"), SOFT | {"area": 0.25}),
    "mobilenet": ((300, 96, "sgd", 0.045, 4e-5, "exponential"), SOFT | {"decay": 0.98, "decay_depthwise": False}),
    "modern": (
        (60, 128, "adamw", 2e-3, 0.05, "cosine"),
        SOFT | {"clip": 1, "rand_augment": 2, "mixup": 0.1, "cutmix": 1},
    ),
    "fine_tune": ((10, 64, "sgd", 0.01, 1e-4, "cosine"), {"frozen_norm": True, "unfreeze": 3}),
}


def test_the_recipes_are_the_papers() -> None:
    assert set(list_recipes()) == set(PAPERS)
    for name, (shared, own) in PAPERS.items():
        found = recipe(name)
        assert (
            found.epochs, found.batch, found.optimizer, found.learning_rate, found.weight_decay, found.schedule,
        ) == shared, name  # fmt: skip
        assert {key: getattr(found, key) for key in own} == own, name
        assert found.paper


def test_a_file_of_the_same_entries_is_a_recipe(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('epochs = 3\noptimizer = "adamw"\nmilestones = [0.5]\n')
    assert recipe(file) == Recipe("mine", epochs=3, optimizer="adamw", milestones=(0.5,))


def test_entries_are_replaced_by_keyword_and_by_text() -> None:
    changed = recipe("modern").changed(["mixup=0.4", "milestones=0.5,0.6"], epochs=2, batch=None)
    assert (changed.mixup, changed.milestones, changed.epochs) == (0.4, (0.5, 0.6), 2)
    assert changed.batch == recipe("modern").batch


def test_fewer_epochs_shorten_what_is_counted_in_epochs_unless_that_is_given() -> None:
    whole = recipe("fine_tune")
    assert (whole.epochs, whole.warmup, whole.unfreeze) == (10, 0.5, 3.0)
    assert (whole.changed(epochs=5).warmup, whole.changed(epochs=5).unfreeze) == (0.25, 1.5)
    assert whole.changed(["unfreeze=2"], epochs=5).unfreeze == 2.0
    assert whole.changed(epochs=20).unfreeze == 3.0
    assert whole.changed(["learning_rate=0.1"]).warmup == 0.5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epochs = 0", "epochs=0: expected 1 or more"),
        ("learning_rate = -1.0", "a number above 0"),
        ("ema = 1.0", "at least 0, less than 1"),
        ('optimizer = "lion"', "one of sgd, adamw"),
        ("milestones = [1.5]", "shares of the run"),
        ("warm_up = 3", "no entry 'warm_up'"),
        ('epochs = "many"', "epochs='many': expected int"),
        ("epochs = 2.5", "epochs=2.5: expected int"),
        ("batch = 64.0", "batch=64.0: expected int"),
        ("rand_augment = 1.5", "rand_augment=1.5: expected int"),
        ('flip = "no"', "flip='no': expected true or false"),
        ("epochs = ", "not a readable TOML file"),
    ],
)
def test_a_wrong_entry_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=r".*") as error:
        recipe(file)
    assert said in str(error.value)
    assert "\n" not in str(error.value).strip()


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"epochz": 3}, "recipe modern: no entry 'epochz'; there are accumulate, area, "),
        ({"epochs": "3"}, "epochs='3': expected int"),
        ({"epochs": 10**400}, "expected 1 or more, less than 2147483648"),
        ({"learning_rate": 10**400}, "a number above 0, at most 1e38"),
        ({"learning_rate": float("nan")}, "learning_rate=nan: expected a number above 0"),
    ],
)
def test_a_wrong_change_is_one_sentence(entries: dict, said: str) -> None:
    with pytest.raises(InputError) as error:
        recipe("modern").changed(**entries)
    assert said in str(error.value)


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'mobilenet'"):
        recipe("mobilenets")


def test_the_rate_rises_over_the_warm_up_and_falls_to_zero_along_a_cosine() -> None:
    found = rates(Recipe(epochs=10, warmup=2, learning_rate=1.0, schedule="cosine"), 5)
    np.testing.assert_allclose(found[:10], np.arange(1, 11) / 10, rtol=1e-6)
    np.testing.assert_allclose(found[10:], (1 + np.cos(np.pi * np.arange(40) / 40)) / 2, atol=1e-6)


def test_the_rate_steps_at_the_milestones() -> None:
    found = rates(dataclasses.replace(recipe("resnet_cifar"), epochs=8), 2)
    np.testing.assert_allclose(found, [0.1] * 8 + [0.01] * 4 + [0.001] * 4, rtol=1e-5)


def test_the_rate_falls_by_the_epoch_or_linearly() -> None:
    found = rates(Recipe(epochs=3, learning_rate=1.0, schedule="exponential", decay=0.5), 2)
    np.testing.assert_allclose(found, [1, 1, 0.5, 0.5, 0.25, 0.25], rtol=1e-6)
    found = rates(Recipe(epochs=2, learning_rate=1.0, schedule="linear"), 2)
    np.testing.assert_allclose(found, [1, 0.75, 0.5, 0.25], rtol=1e-6)
