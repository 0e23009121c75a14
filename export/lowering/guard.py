"""Runs passes under watch: what each did, what it left and why, and undone where it changes an answer."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal

from ..graph import Graph, Node
from .passes import Pass

Outcome = Literal["did", "nothing to do", "declined", "undone"]
Gate = Callable[[Graph, Graph], str | None]
"""Takes a graph from before and one from after; says what is wrong with the second, or None."""
Check = Callable[[Graph | None, Graph], str | None]
"""A gate that also judges a graph by itself, where there is none from before."""


@dataclass(frozen=True)
class Step:
    """What one pass did.

    Args:
        name: the pass's.
        reason: why it is worth it.
        outcome: "did", "nothing to do", "declined" (found its pattern, but none of it fits or it costs too much
            accuracy) or "undone" (it was wrong).
        nodes: names of the nodes that are new, changed or gone.
        left: nodes that it declined, each with the reason.
        fault: what a check said of it.
    """

    name: str
    reason: str
    outcome: Outcome
    nodes: tuple[str, ...] = ()
    left: tuple[tuple[str, str], ...] = ()
    fault: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Lowered:
    """A lowered graph and how it came to be.

    Args:
        graph: lowered.
        steps: one for each pass.
        fault: what the check says of the graph itself: a rule or a spelling is wrong, be the passes as they may.
    """

    graph: Graph
    steps: tuple[Step, ...]
    fault: str | None = None

    @property
    def passes(self) -> list[str]:
        """Those that did something."""
        return [step.name for step in self.steps if step.outcome == "did"]

    @property
    def undone(self) -> list[Step]:
        """Those that the check refused."""
        return [step for step in self.steps if step.outcome == "undone"]

    @property
    def refused(self) -> list[dict[str, str]]:
        """For the card: the passes that a check or the gate took back, each with what it said."""
        return [{"pass": s.name, "outcome": s.outcome, "fault": s.fault} for s in self.steps if s.fault is not None]


def lower_under(
    graph: Graph, passes: Sequence[Pass], check: Check = lambda before, after: None, gate: Gate | None = None
) -> Lowered:
    """The graph after all passes, each of which the checks let stand.

    The graph after all of them is checked first; only where that fails, or a pass raises, they are run once more, each
    with checks of its own. What comes of it is then checked by itself.

    Args:
        graph: as it comes from Keras.
        passes: in order.
        check: a pass that it speaks against is undone: it is wrong.
        gate: a pass of choice that it speaks against is declined: it costs too much.
    """
    lowered = _run(graph, passes)
    faults = [_fault(partial(each, graph, lowered.graph)) for each in (check, gate) if each is not None]
    if any(faults) or lowered.undone:
        lowered = _run(graph, passes, check, gate)
    return replace(lowered, fault=_fault(partial(check, None, lowered.graph)))


def _run(graph: Graph, passes: Sequence[Pass], check: Check | None = None, gate: Gate | None = None) -> Lowered:
    """Each pass in turn; taken back where it raises or a check speaks against it."""
    steps = []
    for each in passes:
        left: dict[str, str] = {}
        try:
            after, fault = each.run(graph, left.__setitem__), None
        except Exception as error:  # a faulty pass must not cost the user the export
            after, fault = graph, f"{type(error).__name__}: {error}"
        nodes = changes(graph, after)
        outcome: Outcome = "did" if nodes else "declined" if left else "nothing to do"
        if nodes and check is not None:
            fault = _fault(partial(check, graph, after))
        if fault:
            outcome = "undone"
        elif nodes and gate is not None and not each.canonical and (fault := _fault(partial(gate, graph, after))):
            outcome = "declined"
        steps.append(Step(each.name, each.reason, outcome, nodes, tuple(left.items()), fault))
        graph = graph if fault else after
    return Lowered(graph, tuple(steps))


def _fault(ask: Callable[[], str | None]) -> str | None:
    try:
        return ask()
    except Exception as error:  # a graph that cannot be computed at all
        return f"{type(error).__name__}: {error}"


def changes(before: Graph, after: Graph) -> tuple[str, ...]:
    """The nodes that are new, gone or computed otherwise; a node that only reads another name is the same."""
    gone = [name for name in before.nodes if name not in after.nodes]
    new = [name for name, node in after.nodes.items() if name not in before.nodes or _differs(before.nodes[name], node)]
    return (*gone, *new)


def _differs(old: Node, new: Node) -> bool:
    return old is not new and (old.op != new.op or old.weights is not new.weights or old.config != new.config)
