"""Where a file shall run, and what that runtime takes of it: targets.toml, checked on the finished file."""

import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from ..errors import InputError
from .contents import Operator, operators

SELECT = ("FLEX", "CUSTOM")  # how the names of operators begin that are no builtin ones


@dataclass(frozen=True)
class Target:
    """One runtime.

    Args:
        name: on the command line.
        title: for people.
        schemes: of quantization that it runs.
        fallback: where runs what it does not take; empty: nowhere, the file is refused.
        sources: of the lists.
        taken: operators by the type of what they write, or of a kernel of 4 bits; empty for every builtin operator.
        most: inputs of an operator, where they are limited.
    """

    name: str
    title: str
    schemes: tuple[str, ...]
    fallback: str
    sources: tuple[str, ...]
    taken: dict[str, frozenset[str]]
    most: dict[str, int] = field(default_factory=dict)

    def require_scheme(self, scheme: str) -> None:
        """Raises InputError where no file of this scheme could run there."""
        if scheme not in self.schemes:
            instead = "int8" if "int8" in self.schemes else self.schemes[-1]
            raise InputError(
                f"--target {self.name} ({self.title}) runs {' or '.join(self.schemes)}, not {scheme}; "
                f"give --quantize {instead}, or another target"
            )

    def refused(self, found: Sequence[Operator]) -> dict[str, int]:
        """How many operators of each name and type it does not take, e.g. {"GELU of int8": 4}."""
        return dict(Counter(f"{op.name} of {_type(op)}" for op in found if not self._takes(op)))

    def _takes(self, operator: Operator) -> bool:
        if operator.name.startswith(SELECT):
            return False
        if not self.taken:
            return True
        return operator.name in self.taken.get(_type(operator), ()) and len(operator.inputs) <= self.most.get(
            operator.name, len(operator.inputs)
        )


def _type(operator: Operator) -> str:
    """Of what it writes, which is float at the float end of an integer file; "int4" of one with such a kernel."""
    return "int4" if "INT4" in operator.inputs else operator.outputs[0].lower()


@cache
def targets() -> dict[str, Target]:
    """The targets by name."""
    table = tomllib.loads((files(__package__) / "targets.toml").read_text())
    return {name: _target(name, row) for name, row in table.items()}


def _target(name: str, row: dict[str, Any]) -> Target:
    types: dict[str, frozenset[str]] = {
        key: frozenset(row[key]) for key in ("float32", "int8", "uint8", "int16", "int4") if key in row
    }
    return Target(
        name, row["title"], tuple(row["schemes"]), row["fallback"], tuple(row["sources"]), types, row.get("most", {})
    )


def place_of(name: str, scheme: str) -> Target:
    """A target by its name, for a file of this scheme.

    Raises:
        InputError: no such target, or one that runs no such file.
    """
    if name not in targets():
        raise InputError(f"--target {name}: choose one of {', '.join(targets())}")
    targets()[name].require_scheme(scheme)
    return targets()[name]


def on_target(content: bytes, where: Target) -> dict[str, Any]:
    """The card's `target` section for a finished file.

    Raises:
        InputError: the target would not take all of it and has no fallback.
    """
    refused = where.refused(operators(content))
    if refused and not where.fallback:
        words = ", ".join(f"{count} {what}" for what, count in refused.items())
        raise InputError(f"{where.title} has no {words}; change those layers, or choose another target")
    return {"name": where.name, "fallback": where.fallback if refused else None, "outside": refused}
