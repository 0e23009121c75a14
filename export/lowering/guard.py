"""Runs passes under watch: what each did, what it left and why, and undone where it changes an answer."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..graph import Graph, Node
from .passes import Pass

Outcome = Literal["did", "nothing to do", "declined", "undone"]
Check = Callable[[Graph, Graph], str | None]
"""Takes a graph from before and one from after; says what is wrong with the second, or None."""


@dataclass(frozen=True)
class Step:
    """What one pass did.

    Args:
        name: the pass's.
        reason: why it is worth it.
        outcome: "did", "nothing to do", "declined" (found its pattern, none of it fit) or "undone" (by the check).
        nodes: names of the nodes that are new, changed or gone.
        left: nodes that it declined, each with the reason.
        fault: what the check said of it.
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
    """A lowered graph and how it came to be."""

    graph: Graph
    steps: tuple[Step, ...]

    @property
    def passes(self) -> list[str]:
        """Those that did something."""
        return [step.name for step in self.steps if step.outcome == "did"]

    @property
    def undone(self) -> list[Step]:
        """Those that the check refused."""
        return [step for step in self.steps if step.outcome == "undone"]


def lower_under(graph: Graph, passes: Sequence[Pass], check: Check = lambda before, after: None) -> Lowered:
    """The graph after all passes, each of which the check lets stand.

    The graph after all of them is checked first; only where that fails, or a pass raises, they are run once more, each
    with a check of its own.
    """
    lowered = _run(graph, passes, None)
    if any(step.fault for step in lowered.steps) or _fault(check, graph, lowered.graph):
        lowered = _run(graph, passes, check)
    return lowered


def _run(graph: Graph, passes: Sequence[Pass], check: Check | None) -> Lowered:
    """Each pass in turn, undone where it raises or the check speaks against it."""
    steps = []
    for each in passes:
        left: dict[str, str] = {}
        try:
            after, fault = each.run(graph, left.__setitem__), None
        except Exception as error:  # a faulty pass must not cost the user the export
            after, fault = graph, f"{type(error).__name__}: {error}"
        if check is not None and after is not graph:
            fault = _fault(check, graph, after)
        nodes = changes(graph, after)
        outcome: Outcome = "undone" if fault else "did" if nodes else "declined" if left else "nothing to do"
        steps.append(Step(each.name, each.reason, outcome, nodes, tuple(left.items()), fault))
        graph = graph if fault else after
    return Lowered(graph, tuple(steps))


def _fault(check: Check, before: Graph, after: Graph) -> str | None:
    try:
        return check(before, after)
    except Exception as error:  # a graph that cannot be computed at all
        return f"{type(error).__name__}: {error}"


def changes(before: Graph, after: Graph) -> tuple[str, ...]:
    """The nodes that are new, gone or computed otherwise; a node that only reads another name is the same."""
    gone = [name for name in before.nodes if name not in after.nodes]
    new = [name for name, node in after.nodes.items() if name not in before.nodes or _differs(before.nodes[name], node)]
    return (*gone, *new)


def _differs(old: Node, new: Node) -> bool:
    return old is not new and (old.op != new.op or old.weights is not new.weights or old.config != new.config)
