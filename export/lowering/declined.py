"""How a pass tells what it found and left: the node, and why."""

from collections.abc import Callable

Declined = Callable[[str, str], object]


def ignore(name: str, reason: str) -> None:
    """Tells nobody."""
