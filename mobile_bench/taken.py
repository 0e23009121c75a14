"""What a target told, put together: a value for each configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .events import Block, Event, Failed, Health, Probed, Profiled, Scalar, Seen, Warmed


@dataclass
class Taken:
    """All that is known of a target's measurement so far."""

    environment: Mapping[str, Scalar] = field(default_factory=dict)
    probed: dict[int, Probed] = field(default_factory=dict)
    warmed: dict[int, Warmed] = field(default_factory=dict)
    profiled: dict[int, Profiled] = field(default_factory=dict)
    blocks: dict[int, dict[int, Block]] = field(default_factory=dict)
    health: list[Health] = field(default_factory=list)
    failed: dict[int | None, str] = field(default_factory=dict)
    sittings: list[tuple[int, int]] = field(default_factory=list)  # Unix time of the first call and of the last's end
    seated: bool = False  # whether the last of them goes on

    def add(self, event: Event) -> None:
        """Takes in an event; a block that is known already is ignored, a later failure or success stands."""
        match event:
            case Seen():
                self.environment = event.environment
                self.seated = False
            case Probed():
                self.probed[event.configuration] = event
                self.failed.pop(event.configuration, None)
            case Warmed():
                self.warmed[event.configuration] = event
            case Profiled():
                self.profiled[event.configuration] = event
            case Block():
                self.blocks.setdefault(event.configuration, {}).setdefault(event.round, event)
                self._extend(event)
            case Health():
                self.health.append(event)
            case Failed():
                self.failed[event.configuration] = event.reason

    def done(self) -> dict[int, tuple[int, ...]]:
        """By configuration, the rounds that are known."""
        return {index: tuple(rounds) for index, rounds in self.blocks.items()}

    def seconds(self) -> float:
        """From the first call to the end of the last, without what lies between two sittings."""
        return sum(end - start for start, end in self.sittings) / 1e9

    def _extend(self, block: Block) -> None:
        """The sitting that a block belongs to; each begins with Seen."""
        start, end = int(block.starts_ns[0]), int(block.starts_ns[-1] + block.durations_ns[-1])
        if self.seated:
            first, last = self.sittings.pop()
            start, end = min(start, first), max(end, last)
        self.sittings.append((start, end))
        self.seated = True


@dataclass(frozen=True)
class Probe:
    """The cost of a model in a fresh process, and what runs it.

    Attributes:
        peak_bytes: resident memory that loading and calling it added at its highest, some of the runtime's own code
            included; None where it is not known.
        load_ns: until it was ready, in nanoseconds.
        first_ns: the first call, in nanoseconds.
        arena_bytes: of activations, where they can be known.
        operators: the number of each type in the model; empty where it is not known.
        undelegated: those of them that run outside the delegate; None where there is no such thing.
        partitions: pieces that the delegate runs; one is best.
        versions: of the software, by name.
        device: in words.
        flags: what was switched on or off.
        notes: what a reader must know.
    """

    peak_bytes: int | None
    load_ns: int | None
    first_ns: int | None
    arena_bytes: int | None
    operators: dict[str, int]
    undelegated: dict[str, int] | None
    partitions: int | None
    versions: dict[str, str]
    device: str
    flags: dict[str, str]
    notes: tuple[str, ...]


def probe_of(probed: Probed) -> Probe:
    """What was told, as far as it has the right types: it may come from another machine."""
    cost, told = probed.cost, probed.description
    undelegated = told.get("undelegated")
    return Probe(
        peak_bytes=_whole(cost.get("peak_bytes")),
        load_ns=_whole(cost.get("load_ns")),
        first_ns=_whole(cost.get("first_ns")),
        arena_bytes=_whole(told.get("arena_bytes")),
        operators=_counts(told.get("operators")),
        undelegated=None if undelegated is None else _counts(undelegated),
        partitions=_whole(told.get("partitions")),
        versions=_texts(told.get("versions")),
        device=str(told.get("device", "")),
        flags=_texts(told.get("flags")),
        notes=tuple(map(str, told.get("notes") or ())),
    )


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _counts(value: Any) -> dict[str, int]:
    items = value.items() if isinstance(value, dict) else ()
    return {str(name): count for name, count in items if _whole(count) is not None}


def _texts(value: Any) -> dict[str, str]:
    items = value.items() if isinstance(value, dict) else ()
    return {str(name): str(text) for name, text in items}
