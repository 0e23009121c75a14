"""What a target is told to measure. Needs nothing but Python: it goes over to boards as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

Option = str | int | float | bool | None
"""A value of a runner's option, as JSON knows it."""


@dataclass(frozen=True)
class Configuration:
    """One artifact under one runner with its settings.

    Attributes:
        artifact: the file, where the target can open it.
        runner: a name in runners.RUNNERS.
        threads: of the CPU.
        options: keyword arguments of the runner's class beside threads and seed.
    """

    artifact: Path
    runner: str
    threads: int = 1
    options: Mapping[str, Option] = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """What to measure, and how long.

    Attributes:
        configurations: events name them by their index.
        runs: kept calls of each configuration; unless `seconds` is given.
        seconds: of measuring in all, once everything is loaded and warm; split by need.
        block: calls in a row of one configuration, the first few of which are discarded.
        seed: of the random inputs and of the order of the blocks.
        cpus: the process is pinned to them; all where empty.
        profile: whether the time of each operator is taken as well, where the runner can.
        done: by configuration, the rounds that a journal holds already: they are not measured again.
    """

    configurations: tuple[Configuration, ...]
    runs: int = 200
    seconds: float | None = None
    block: int = 20
    seed: int = 0
    cpus: tuple[int, ...] = ()
    profile: bool = False
    done: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    def with_artifacts(self, paths: Mapping[Path, Path]) -> "Order":
        """The same order for a machine on which the artifacts stand elsewhere."""
        moved = (replace(c, artifact=paths[c.artifact]) for c in self.configurations)
        return replace(self, configurations=tuple(moved))

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> "Order":
        """The inverse of `to_json`."""
        return cls.from_fields(json.loads(text))

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> "Order":
        """The same from what the JSON holds."""
        configurations = (Configuration(**c | {"artifact": Path(c["artifact"])}) for c in fields["configurations"])
        done = {int(index): tuple(rounds) for index, rounds in fields["done"].items()}
        return cls(**fields | {"configurations": tuple(configurations), "cpus": tuple(fields["cpus"]), "done": done})
