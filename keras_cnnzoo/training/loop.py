"""Training, from a recipe to weights: resumable at any step, and the same curve whether it was interrupted or not."""

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from ..errors import InputError
from ..files import refuse_overwrite, replacing, write
from ..precision import in_float32
from ..preprocessing import PRESETS, Preprocessing
from ..weights import save_weights
from .checkpoint import Checkpoint, Progress
from .compiled import averaged, compile_by, frozen_norms, learning_rate, trained_steps
from .curve import Row, TensorBoard, to_svg, write_csv
from .data import Arrays, Data
from .hosts import any_of_all, part, require_same_step
from .identity import identity
from .interrupts import caught_signals
from .pipeline import sample_batches, steps_per_epoch, test_batches, training_batches
from .recipes import Recipe

SAMPLE = 2000  # training images that batch normalisation's statistics are taken from
FILES = "weights.safetensors", "model.keras", "summary.json", "curves.csv", "curves.svg"  # beside the checkpoint
LOST, WORTH = 30.0, 20.0  # a kill costs so many seconds of work at most, or so many times what a checkpoint costs


class Diverged(InputError):  # noqa: N818
    """A loss or a weight that is no longer a number."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        history: an entry an epoch.
        model: holds what was kept: the moving averages where the recipe has them.
        recipe: how it was trained.
        seed: of initialisation, order and augmentation.
        folder: where the files stand, if any were asked for.
    """

    history: tuple[Row, ...]
    model: keras.Model
    recipe: Recipe
    seed: int
    folder: Path | None

    @property
    def accuracy(self) -> float:
        """Share of the test images answered right after the last epoch."""
        return self.history[-1].test_accuracy

    def to_dict(self) -> dict[str, Any]:
        """The run as JSON knows it."""
        return {
            "network": self.model.name,
            "test_accuracy": self.accuracy,
            "seconds": self.history[-1].seconds,
            "seed": self.seed,
            "recipe": self.recipe.to_dict(),
            "history": [asdict(row) for row in self.history],
            "folder": None if self.folder is None else str(self.folder),
        }


def train(
    model: keras.Model,
    data: Data,
    recipe: Recipe,
    *,
    out: str | PathLike[str] | None = None,
    seed: int = 0,
    preprocessing: Preprocessing = PRESETS["torch"],
    force: bool = False,
    step: Callable[[float], object] = lambda batches: None,
    watch: Callable[[Row], object] = lambda row: None,
) -> Run:
    """Trains a classifier in place, or takes a run up again where its last checkpoint in `out` left it.

    In `out` stand then: checkpoint.safetensors (the whole state), curves.csv and curves.svg, tensorboard/, and at the
    end weights.safetensors, model.keras (float32 both) and summary.json.

    Args:
        model: functional or sequential, of one input of `data.shape` and one output, logits or probabilities,
            (n, classes).
        data: from `dataset`.
        recipe: how.
        out: a folder; None for none, and then nothing can be resumed.
        seed: of order and augmentation. The caller's model decides initialisation and dropout (`network` takes a seed).
        preprocessing: normalises the pixels; it travels with the weights.
        force: start anew and replace what stands in `out`.
        step: told of each batch done.
        watch: told of each epoch done.

    Returns:
        The run; `model` is trained.

    Raises:
        Diverged: a loss or a weight that is no number; the last good checkpoint stays.
        InputError: data that do not fit the model, a checkpoint of another run, files in `out` that are of no run, or
            one that cannot be written.
        KeyboardInterrupt: at Ctrl-C or SIGTERM, after the step under way and a checkpoint.
    """
    _require_fit(model, data)
    folder = None if out is None else Path(out)
    session = _Session(model, data, recipe, folder, seed, preprocessing, step, watch)
    with frozen_norms(model) if recipe.frozen_norm else nullcontext():
        session.begin(force)
        try:
            session.run()
        except tf.errors.OpError as error:
            broken = _unreadable(data)
            if broken is None:
                raise
            raise InputError(f"{data.name}: {broken}") from error
        return session.finish()


class _Session:
    def __init__(
        self,
        model: keras.Model,
        data: Data,
        recipe: Recipe,
        folder: Path | None,
        seed: int,
        preprocessing: Preprocessing,
        step: Callable[[float], object],
        watch: Callable[[Row], object],
    ) -> None:
        self.model, self.data, self.recipe, self.folder, self.seed = model, data, recipe, folder, seed
        self.preprocessing, self.step, self.watch = preprocessing, step, watch
        self.steps = steps_per_epoch(data.train, recipe.batch)
        self.total = self.steps * recipe.epochs
        self.progress = Progress()
        self.tensorboard: TensorBoard | None = None
        self.part = part()
        if recipe.batch % self.part[1]:
            raise InputError(f"batch={recipe.batch}: a multiple of the {self.part[1]} hosts; see --batch")
        self.identity = {} if folder is None else identity(model, data, recipe, preprocessing, seed)
        self.saved_at, self.cost, self.evaluation = math.inf, 0.0, 0.0  # seconds

    def begin(self, force: bool) -> None:
        """Compiles, and restores the last checkpoint if there is one."""
        compile_by(self.recipe, self.model, self.steps)
        if self.folder is None:
            return
        self.checkpoint = Checkpoint(self.folder / "checkpoint.safetensors", self.model, self.identity)
        refuse_overwrite(self.checkpoint.path, force=True)
        found = None if force else self.checkpoint.restore()
        for name in FILES:
            refuse_overwrite(self.folder / name, force=force or found is not None)
        self.progress = found or self.progress
        require_same_step(self.progress.step)
        if force and self._writes:
            self.checkpoint.path.unlink(missing_ok=True)
            shutil.rmtree(self.folder / "tensorboard", ignore_errors=True)
        self.step(self.progress.step)
        self.tensorboard = TensorBoard(self.folder / "tensorboard") if self._writes else None

    def run(self) -> None:
        progress, started = self.progress, time.monotonic() - self.progress.seconds
        self.saved_at = before = time.monotonic()
        if progress.step == (len(progress.history) + 1) * self.steps:  # it was killed while it tested
            self._end_epoch()
        batches = training_batches(self.data, self.recipe, self.preprocessing, self.seed, progress.step, self.part)
        with caught_signals() as stopped:
            for loss, accuracy in trained_steps(self.model, batches, self.total - progress.step):
                began = time.monotonic()
                progress.step += 1
                self._require_finite(loss)
                progress.loss, progress.correct = progress.loss + loss, progress.correct + accuracy
                progress.seconds = began - started
                self.step(1)
                ended = progress.step % self.steps == 0
                self._save_if_due(self.evaluation if ended else began - before)
                before = began
                if ended:
                    self._end_epoch()
                if any_of_all(stopped()):
                    self._stop()

    def finish(self) -> Run:
        """The last checkpoint, and what was kept as files."""
        self._save()
        with averaged(self.model, self._sample(), keep=True):
            run = Run(tuple(self.progress.history), self.model, self.recipe, self.seed, self.folder)
        if self.folder is not None:
            plain = in_float32(self.model)  # on each host: what all hold, all must make
        if self.folder is not None and self._writes:
            save_weights(plain, self.folder / "weights.safetensors", preprocessing=self.preprocessing)
            with replacing(self.folder / "model.keras") as temporary:
                plain.save(temporary)
            write(self.folder / "summary.json", json.dumps(run.to_dict() | self.identity, indent=2))
        return run

    def _end_epoch(self) -> None:
        progress, began = self.progress, time.monotonic()
        with averaged(self.model, self._sample()):
            batches = test_batches(self.data, self.preprocessing, self.recipe.batch // self.part[1])  # of all, on each
            tested = self.model.evaluate(batches, verbose=0, return_dict=True)
        self._require_finite(tested["loss"])
        self.evaluation = time.monotonic() - began
        progress.seconds += self.evaluation
        row = Row(
            epoch=progress.step // self.steps,
            step=progress.step,
            learning_rate=learning_rate(self.model, progress.step - 1),
            loss=progress.loss / self.steps,
            accuracy=progress.correct / self.steps,
            test_loss=tested["loss"],
            test_accuracy=tested["categorical_accuracy"],
            seconds=progress.seconds,
        )
        progress.history.append(row)
        progress.loss = progress.correct = 0.0
        if self.folder is not None and self.tensorboard is not None:
            if not self.checkpoint.path.is_file():
                self._save()  # or a killed run would find its curves and take them for another's
            write_csv(progress.history, self.folder / "curves.csv")
            write(self.folder / "curves.svg", to_svg(progress.history, f"{self.model.name} on {self.data.name}"))
            self.tensorboard(row)
        self.watch(row)

    def _sample(self) -> Iterator[Any]:
        """Batches of training images, the same on each host, from which statistics are taken."""
        return sample_batches(self.data, self.preprocessing, self.recipe.batch, SAMPLE)

    @property
    def _writes(self) -> bool:
        """Whether this process writes files: the first of all, if a folder was asked for."""
        return self.folder is not None and self.part[0] == 0

    def _save_if_due(self, ahead: float) -> None:
        """Saves where a kill during the `ahead` seconds of what comes next would cost too much work."""
        lost = time.monotonic() - self.saved_at + ahead + self.cost
        if lost >= max(LOST, WORTH * self.cost):
            self._save()

    def _save(self) -> None:
        if not self._writes:
            return
        began = time.monotonic()
        if not self.checkpoint.save(self.progress):
            raise Diverged(self._diverged("a weight is no longer a number"))
        self.saved_at = time.monotonic()
        self.cost = self.saved_at - began

    def _require_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise Diverged(self._diverged(f"the loss is {loss}"))

    def _diverged(self, what: str) -> str:
        epoch, step = divmod(self.progress.step - 1, self.steps)
        kept = self.folder is not None and self.checkpoint.path.is_file()
        return (
            f"epoch {epoch + 1}, step {step + 1}: {what}; train with a smaller --learning-rate than "
            f"{self.recipe.learning_rate:g}, and look for faults among the images"
            f"{f'; {self.checkpoint.path} holds the last good state of this rate: --force starts anew' if kept else ''}"
        )

    def _stop(self) -> None:
        if self.folder is None:
            raise KeyboardInterrupt
        self._save()
        raise KeyboardInterrupt(f"interrupted after step {self.progress.step}; the same command goes on from there")


def _require_fit(model: keras.Model, data: Data) -> None:
    if not model.built:
        raise InputError(f"{model.name}: its input is not known; put keras.Input({data.shape}) before its layers")
    if not hasattr(model, "inputs"):
        raise InputError(f"{model.name}: a subclass of keras.Model; build it as a functional or sequential model")
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise InputError(f"{model.name}: one input and one output are trained; build it without auxiliary heads")
    reads, answers = (tuple(side[0].shape[1:]) for side in (model.inputs, model.outputs))
    if len(reads) != 3 or any(side not in (None, given) for side, given in zip(reads, data.shape, strict=True)):
        raise InputError(f"{model.name} reads {reads}, the data are {data.shape}; build it with that input_shape")
    if answers != (len(data.classes),):
        raise InputError(
            f"{model.name} answers {answers}, the data have {len(data.classes)} classes; build it with these"
        )


def _unreadable(data: Data) -> str | None:
    found = (part.unreadable() for part in (data.train, data.test) if not isinstance(part, Arrays))
    broken = next((text for text in found if text), None)
    return None if broken is None else f"cannot decode {broken}; remove it"
