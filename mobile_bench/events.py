"""What a target tells while it measures: values here, a line of JSON each in a journal or over a wire.

Lines are read with distrust, for they may come from another machine. Needs numpy alone.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Scalar = str | int | float | bool | None
LONGEST_LINE = 1 << 24  # characters; a block of a hundred thousand calls needs less
LONGEST_TEXT, DEEPEST = 10_000, 6  # characters, levels
LARGEST = 1 << 62  # of numbers: what is multiplied afterwards is finite still
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # all but tabs and line ends; halves of pairs


@dataclass(frozen=True)
class Seen:
    """The machine that measures: facts by name, as in environment.Environment."""

    environment: Mapping[str, Scalar]


@dataclass(frozen=True)
class Probed:
    """What a configuration is and costs; both as in the dataclasses runners.Description and probe.Cost."""

    configuration: int
    cost: Mapping[str, Scalar]
    description: Mapping[str, Any]


@dataclass(frozen=True)
class Warmed:
    """How many calls it took until a configuration was steady, or that it was not within the limit.

    Attributes:
        steady: None where nobody looked.
    """

    configuration: int
    calls: int
    steady: bool | None


@dataclass(frozen=True)
class Profiled:
    """Operators of a configuration in the order in which they ran: objects as runners.Layer.

    Attributes:
        missing: why there are none, in a sentence; None where there are.
    """

    configuration: int
    layers: tuple[Mapping[str, Any], ...]
    missing: str | None


@dataclass(frozen=True, eq=False)
class Block:
    """The kept calls of a configuration in a round.

    Attributes:
        starts_ns: Unix time at which each call began, in nanoseconds.
        durations_ns: how long each took.
        energy_j: of the machine per call of the block; None where it does not tell.
    """

    configuration: int
    round: int
    starts_ns: NDArray[np.int64]
    durations_ns: NDArray[np.int64]
    energy_j: float | None = None


@dataclass(frozen=True)
class Health:
    """The state of the machine after a round; None where it does not tell.

    Attributes:
        time_ns: Unix time.
        frequency_mhz: of the fastest core that the process may use.
        temperature_c: of the hottest sensor.
        others: cores' worth of work that other processes had since the last time.
        pulse_ns: what a small fixed piece of work took.
    """

    time_ns: int
    frequency_mhz: float | None = None
    temperature_c: float | None = None
    others: float | None = None
    pulse_ns: int | None = None


@dataclass(frozen=True)
class Failed:
    """A configuration that is measured no further, and why, in a sentence; None means all of the target."""

    configuration: int | None
    reason: str


Event = Seen | Probed | Warmed | Profiled | Block | Health | Failed
KINDS: dict[str, type] = {
    kind.__name__.lower(): kind for kind in (Seen, Probed, Warmed, Profiled, Block, Health, Failed)
}


def encode(event: Event) -> str:
    """One line of JSON, without its end; texts as `decode` takes them, without control characters and cut."""
    content = {"event": type(event).__name__.lower()} | _plain(asdict(event))
    return json.dumps(content, default=lambda array: array.tolist(), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return CONTROL.sub("", value)[:LONGEST_TEXT]
    if isinstance(value, dict):
        return {_plain(key): _plain(child) for key, child in value.items()}
    return [_plain(child) for child in value] if isinstance(value, list | tuple) else value


def decode(line: str, configurations: int) -> Event:
    """The event of a line.

    Args:
        line: of JSON, from anywhere.
        configurations: how many there are: an index beyond them is refused.

    Raises:
        InputError: it is not an event.
    """
    try:
        if len(line) > LONGEST_LINE:
            raise ValueError(f"a line of {len(line)} characters")
        content = json.loads(line, parse_constant=refuse_constant)
        _check_values(content)
        kind = KINDS[content.pop("event")]
        names = {field.name for field in fields(kind)}
        if set(content) != names:
            raise ValueError(f"its fields are {sorted(content)}, expected {sorted(names)}")
        event = kind(**{name: _CHECKS[name](value) for name, value in content.items()})
        _check_together(event, configurations)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())[:200]
        raise InputError(f"not an event of a measurement ({reason}); it begins with {line[:60]!r}") from error
    return event


def _check_values(value: Any, depth: int = 0) -> None:
    """Refuses what is JSON and yet fits no report: endless numbers, deep nests, texts that are too long or no text."""
    if depth > DEEPEST:
        raise ValueError(f"more than {DEEPEST} levels")
    if isinstance(value, int | float) and not -LARGEST < value < LARGEST:
        raise ValueError("a number beyond 2^62")
    if isinstance(value, str) and (len(value) > LONGEST_TEXT or CONTROL.search(value)):
        raise ValueError("a text that is too long or has control characters")
    children = [*value.keys(), *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        _check_values(child, depth + 1)


def _check_together(event: Event, configurations: int) -> None:
    index = getattr(event, "configuration", 0)
    if index is not None and not 0 <= index < configurations:
        raise ValueError(f"there is no configuration {index}")
    if isinstance(event, Failed):
        return
    if index is None:
        raise ValueError("no configuration is named")
    if isinstance(event, Block) and not 0 < len(event.starts_ns) == len(event.durations_ns):
        raise ValueError("a block has as many starts as durations, and at least one")


def refuse_constant(constant: str) -> Any:
    """For json.loads: NaN and the infinities, which Python reads, are no JSON."""
    raise ValueError(f"{constant} is not a number")


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is not a whole number from 0 on")
    return value


def _number_or_none(value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"{value!r} is not a number")
    return float(value)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")
    return value


def _times(value: Any) -> NDArray[np.int64]:
    array = np.array([_whole(number) for number in value], np.int64)
    array.setflags(write=False)
    return array


def _durations(value: Any) -> NDArray[np.int64]:
    array = _times(value)
    if (array == 0).any():
        raise ValueError("a call that took no time")
    return array


def _scalars(value: Any) -> dict[str, Scalar]:
    if not isinstance(value, dict) or not all(isinstance(v, str | int | float | None) for v in value.values()):
        raise ValueError("not an object of texts and numbers")
    return value


def _layers(value: Any) -> tuple[dict[str, Any], ...]:
    for layer in value:
        if set(layer) != {"type", "name", "microseconds"}:
            raise ValueError("a layer has a type, a name and microseconds")
        _text(layer["type"])
        _text(layer["name"])
        microseconds = _number_or_none(layer["microseconds"])
        if microseconds is None or microseconds < 0:
            raise ValueError("a layer without a time, or with less than none")
    return tuple(value)


def _description(value: Any) -> dict[str, Any]:
    """As runners.Description has them; a field may be missing."""
    if not isinstance(value, dict):
        raise ValueError("not an object")
    for name, kinds in _DESCRIBED.items():
        if name in value and not isinstance(value[name], kinds):
            raise ValueError(f"its {name} is of another kind")
    return value


_NOTHING = type(None)
_DESCRIBED: dict[str, tuple[type, ...]] = {
    "versions": (dict,), "device": (str,), "flags": (dict,), "operators": (dict,), "undelegated": (dict, _NOTHING),
    "partitions": (int, _NOTHING), "arena_bytes": (int, _NOTHING), "timed": (bool,), "notes": (list,),
}  # fmt: skip


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "environment": _scalars,
    "configuration": lambda value: None if value is None else _whole(value),
    "cost": _scalars,
    "description": _description,
    "layers": _layers,
    "missing": lambda value: None if value is None else _text(value),
    "calls": _whole,
    "steady": lambda value: None if value is None else _truth(value),
    "round": _whole,
    "starts_ns": _times,
    "durations_ns": _durations,
    "time_ns": _whole,
    "frequency_mhz": _number_or_none,
    "temperature_c": _number_or_none,
    "others": _number_or_none,
    "pulse_ns": lambda value: None if value is None else _whole(value),
    "energy_j": _number_or_none,
    "reason": _text,
}
