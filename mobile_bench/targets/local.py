"""This machine, in this process."""

from collections.abc import Iterator

from ..events import Event
from ..order import Order
from . import Settings


class Local:
    """The target `local`."""

    def __init__(self, address: str, settings: Settings) -> None:
        self.address = address

    def measure(self, order: Order) -> Iterator[Event]:
        from ..session import measure

        return measure(order)
