"""What a lab is: a claim, presets, an experiment for each cell of a preset's grid, statistics, figures."""

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ...errors import InputError

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

    from ...training import Data, Run

Cell = dict[str, Any]
"""One value for each condition of a grid."""
Row = dict[str, Any]
"""What was measured, by name: numbers and words; its cell and its seed are added to it."""


class Rows(list[Row]):
    """Rows, and how statistics and figures ask for some of them."""

    def where(self, **conditions: Any) -> Self:
        """Those of which all the conditions hold."""
        return type(self)(row for row in self if all(row.get(key) == value for key, value in conditions.items()))

    def having(self, name: str) -> Self:
        """Those that measured `name`."""
        return type(self)(row for row in self if name in row)

    def distinct(self, name: str) -> list[Any]:
        """The values of a condition, sorted where they are numbers, else in the order of the rows."""
        values = list(dict.fromkeys(row[name] for row in self.having(name)))
        return sorted(values) if all(isinstance(value, int | float) for value in values) else values

    def values(self, name: str, **conditions: Any) -> np.ndarray:
        """A measure of the rows that hold."""
        return np.array([row[name] for row in self.where(**conditions).having(name)], float)

    def mean(self, name: str, **conditions: Any) -> float:
        """Its mean; nan where nothing was measured."""
        found = self.values(name, **conditions)
        return float(found.mean()) if found.size else math.nan

    def last(self, name: str, **conditions: Any) -> float:
        """Its last value: that of the end of a training; nan where nothing was measured."""
        found = self.values(name, **conditions)
        return float(found[-1]) if found.size else math.nan


@dataclass(frozen=True)
class Preset:
    """How much of an experiment is run.

    Args:
        grid: conditions and their values; each combination is a cell.
        size: height and width of the images.
        images: to train on, and as many to test on, at most.
        width: channels of a network's first stage.
        epochs: passes over the images.
        batch: images a step.
        rate: the learning rate, which falls to a tenth at 1/2 and 3/4 of the epochs.
        seeds: repetitions.
    """

    grid: Mapping[str, tuple[Any, ...]]
    size: int = 16
    images: int = 2000
    width: int = 8
    epochs: int = 10
    batch: int = 64
    rate: float = 0.1
    seeds: int = 3

    def cells(self) -> list[Cell]:
        """Every combination of the grid's values."""
        return [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]

    def settings(self) -> dict[str, str]:
        """In words, by name; a condition of the grid takes the place of the setting that it varies."""
        given = asdict(self)
        grid = {key: ", ".join(map(str, values)) for key, values in given.pop("grid").items()}
        said = {"size": "{0}x{0} pixels", "images": "{:,} at most", "width": "{} channels", "rate": "{:g}"}
        if "batch" in grid:  # the rate is that of the preset's own batch
            said["rate"] = f"{{:g}} for {self.batch} images"
        return {key: said.get(key, "{}").format(value) for key, value in given.items() if key != "seeds"} | grid


@dataclass(frozen=True)
class Claim:
    """A sentence that a number above 0 speaks for.

    Args:
        says: the sentence.
        effect: the number, of one seed's rows; nan where the seed says nothing, since what it asks of a trained network
            was not to be had.
        unit: what it counts.
        counted: no chance is in it, as in a number of parameters: it holds or does not.
    """

    says: str
    effect: Callable[[Rows], float]
    unit: str
    counted: bool = False


@dataclass(frozen=True)
class Setup:
    """What an experiment has at hand.

    Args:
        data: pictures, of the preset's size and number.
        preset: the preset.
        folder: of all labs, which share the networks that they trained.
        step: told of the share of the cell that is done.
    """

    data: "Data"
    preset: Preset
    folder: Path
    step: Callable[[float], object] = lambda share: None

    def part(self, count: int) -> "Setup":
        """The same for one of so many trainings of a cell."""
        return replace(self, step=lambda share: self.step(share / count))

    def train(self, model: "keras.Model", seed: int, *, keep: bool = True, **changes: Any) -> "Run | None":
        """Trains a network by the preset's recipe, or takes one that a lab trained so already.

        Args:
            model: as `network` built it from `seed`; its name says its options.
            seed: of the order of the images.
            keep: as files, so that an interrupted training goes on and other labs find it.
            changes: to the recipe.

        Returns:
            The run, or None if the loss stopped being a number.
        """
        from ...training import Diverged, recipe, train

        preset = self.preset
        how = recipe("resnet_cifar").changed(epochs=preset.epochs, batch=preset.batch, learning_rate=preset.rate)
        how = how.changed(**changes)
        if how.batch > len(self.data.train):
            how = how.changed(batch=len(self.data.train))
        total = len(self.data.train) // how.batch * how.epochs
        identity = [model.name, model.count_params(), seed, self.data.fingerprint, how.to_dict()]
        digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:8]
        out = self.folder / "runs" / f"{model.name}-{seed}-{digest}" if keep else None
        try:
            return train(model, self.data, how, out=out, seed=seed, step=lambda n: self.step(n / total))
        except Diverged:
            return None
        except InputError as error:
            if "--force" not in str(error):
                raise
            # what stands there is no run of this network; the lab's own --force keeps trained networks
            raise InputError(f"{error}; this lab takes it anew once {out} is deleted") from error

    def test_images(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """At most so many test images as a network reads them, (n, h, w, c) float32, and their classes, (n,)."""
        from ...preprocessing import PRESETS
        from ...training.pipeline import test_images

        return test_images(self.data, PRESETS["torch"], count)


@dataclass(frozen=True)
class Lab:
    """A claim of the lecture, and how it is tried.

    Args:
        name: on the command line.
        title: of its page.
        chinese: the course's term.
        claim: what the lecture says.
        source: the paper's address.
        presets: "quick", "standard" and "full" by name.
        experiment: measures one cell for one seed.
        claims: what is decided, each by a statistic over seeds.
        figures: the pictures by name, from all rows.
        measures: the columns that the page's table shows, by name; the last row of each cell and seed counts.
        by: conditions of the table that an experiment sets itself, besides the grid's.
        caveat: what a reader must know besides.
    """

    name: str
    title: str
    chinese: str
    claim: str
    source: str
    presets: Mapping[str, Preset]
    experiment: Callable[[Setup, Cell, int], Iterable[Row]]
    claims: tuple[Claim, ...]
    figures: Callable[[Rows], Mapping[str, "Figure"]]
    measures: tuple[str, ...]
    by: tuple[str, ...] = ()
    caveat: str = ""

    def preset(self, name: str) -> Preset:
        """The preset of that name; InputError if there is none."""
        if name not in self.presets:
            raise InputError(f"--preset {name}: one of {', '.join(self.presets)}")
        return self.presets[name]
