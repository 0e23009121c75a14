"""A recipe: how a network is trained, as data. Needs no framework."""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_type_hints

from ..errors import InputError, suggestion
from ..options import described, fits, typed_options

Optimizer = Literal["sgd", "adamw"]
Schedule = Literal["constant", "linear", "cosine", "step", "exponential"]
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Args:
        name: of the table in recipes.toml, or of the file.
        paper: where it comes from.
        epochs: passes over the images.
        batch: images a step.
        optimizer: "sgd" (momentum; decay by the gradient, as the papers have it) or "adamw" (decoupled decay).
        learning_rate: the highest, after warm-up.
        momentum: of sgd.
        nesterov: look ahead by the momentum, in sgd.
        weight_decay: never of normalisations and biases.
        decay_depthwise: decay the kernels of depthwise convolutions as well.
        schedule: how the rate falls after warm-up: "step" multiplies it by `decay` at each of `milestones`,
            "exponential" by `decay` each epoch, "linear" and "cosine" bring it to zero.
        milestones: of "step", as shares of the run.
        decay: the factor of "step" and "exponential".
        warmup: epochs in which the rate rises linearly from zero.
        clip: the gradient's largest global norm; 0 for none.
        label_smoothing: the share of a label that is spread over all classes.
        flip: mirror half of the pictures.
        shift: the share of the side by which a picture moves at most, black behind it.
        area: the least share of a picture's area that a random crop keeps, scaled to the input's size; 1 for none.
            Above 0.75 some crops keep less: their longer side ends with the picture's.
        rand_augment: operations of RandAugment per picture; 0 for none.
        magnitude: of these, in 0..1.
        mixup: alpha of its Beta distribution; 0 for none. With cutmix, each takes half of the batches.
        cutmix: the same.
        ema: momentum of the weights' moving average, which is what is evaluated and kept; 0 for none. It begins low,
            so that the initial weights are soon forgotten.
        accumulate: batches whose gradients are averaged into one step of the optimizer.
        frozen_norm: batch normalisations keep their statistics and parameters (fine-tuning).
        unfreeze: epochs after which the first layer joins the training; the classifier trains from the start, and the
            layers between join one by one, from the last. 0 for all at once.
    """

    name: str = "custom"
    paper: str = ""
    epochs: int = 30
    batch: int = 128
    optimizer: Optimizer = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    decay_depthwise: bool = True
    schedule: Schedule = "cosine"
    milestones: tuple[float, ...] = ()
    decay: float = 0.1
    warmup: float = 0.0
    clip: float = 0.0
    label_smoothing: float = 0.0
    flip: bool = True
    shift: float = 0.0
    area: float = 1.0
    rand_augment: int = 0
    magnitude: float = 0.5
    mixup: float = 0.0
    cutmix: float = 0.0
    ema: float = 0.0
    accumulate: int = 1
    frozen_norm: bool = False
    unfreeze: float = 0.0

    def __post_init__(self) -> None:
        for key, hint in get_type_hints(Recipe).items():
            if not fits(getattr(self, key), hint):
                raise InputError(f"recipe {self.name}: {key}={getattr(self, key)!r}: expected {described(hint)}")
        for key, (holds, limits) in LIMITS.items():
            value = getattr(self, key)
            if not holds(value):
                raise InputError(f"recipe {self.name}: {key}={value}: expected {limits}")
        if any(not 0 < share < 1 for share in self.milestones):
            raise InputError(
                f"recipe {self.name}: milestones={self.milestones}: expected shares of the run, between 0 and 1"
            )

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON knows it."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def changed(self, settings: Sequence[str] = (), **entries: Any) -> "Recipe":
        """The recipe with entries replaced: by keyword (None leaves one as it is) and by "key=value".

        Fewer epochs shorten what the schedule counts in epochs with them, where that is not given.

        Raises:
            InputError: no such entry, or a value out of its limits.
        """
        given = {key: value for key, value in entries.items() if value is not None}
        _require_known(given, FIELDS | {"name", "paper"}, self.name)
        given |= typed_options(Recipe, settings, f"recipe {self.name}")
        epochs = given.get("epochs", self.epochs)
        share = min(epochs, self.epochs) / self.epochs if fits(epochs, int) else 1.0
        return replace(self, **({key: getattr(self, key) * share for key in COUNTED} | given))


MOST = 2**31  # TensorFlow counts epochs in so many bits


def _at_least(least: float) -> tuple[Any, str]:
    return (lambda value: least <= value < MOST), f"{least:g} or more, less than {MOST}"


SHARE = (lambda value: 0 <= value < 1), "at least 0, less than 1"
LIMITS: dict[str, tuple[Any, str]] = {
    "epochs": _at_least(1),
    "batch": _at_least(1),
    "accumulate": _at_least(1),
    "learning_rate": ((lambda value: 0 < value <= 1e38), "a number above 0, at most 1e38, which float32 can hold"),
    "momentum": SHARE,
    "label_smoothing": SHARE,
    "ema": SHARE,
    "shift": SHARE,
    "area": ((lambda value: 0 < value <= 1), "a number above 0, at most 1"),
    "magnitude": ((lambda value: 0 <= value <= 1), "a number from 0 to 1"),
    "decay": ((lambda value: 0 < value <= 1), "a number above 0, at most 1"),
} | {key: _at_least(0) for key in ("weight_decay", "warmup", "clip", "rand_augment", "mixup", "cutmix", "unfreeze")}
COUNTED = ("warmup", "unfreeze")  # in epochs
FIELDS = {field.name for field in fields(Recipe)} - {"name", "paper"}


@cache
def list_recipes() -> dict[str, Recipe]:
    """Those of recipes.toml, by name."""
    text = (files(__package__) / "recipes.toml").read_text(encoding="utf-8")
    return {name: _recipe(name, table) for name, table in tomllib.loads(text).items()}


def recipe(name: str | Path) -> Recipe:
    """The recipe of that name, or the one in a TOML file of the same entries.

    Raises:
        InputError: neither, or an entry that does not exist or lies out of its limits.
    """
    if str(name) in list_recipes():
        return list_recipes()[str(name)]
    path = Path(name)
    if path.suffix != ".toml":
        hint = suggestion(str(name), list_recipes())
        raise InputError(f"recipe {str(name)!r}: {hint}give {', '.join(list_recipes())} or a .toml file")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(
            f"{path}: not a readable TOML file ({error}); mend it, or give {', '.join(list_recipes())}"
        ) from error
    return _recipe(path.stem, table)


def _recipe(name: str, table: dict[str, Any]) -> Recipe:
    _require_known(table, FIELDS | {"paper"}, name)
    entries: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in table.items()}
    return Recipe(name, **entries)


def _require_known(entries: Iterable[str], known: set[str], name: str) -> None:
    unknown = sorted(set(entries) - known)
    if unknown:
        raise InputError(f"recipe {name}: no entry {unknown[0]!r}; there are {', '.join(sorted(FIELDS))}")


def require_precision(precision: str) -> None:
    """Raises InputError where layers cannot compute in `precision`."""
    if not fits(precision, Precision):
        raise InputError(f"precision {precision}: expected {described(Precision)}")
