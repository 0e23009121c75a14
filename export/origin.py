"""What is known of a model that is exported: where it came from, and what its pixels and outputs mean."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..preprocessing import Preprocessing

State = Literal["trained", "random", "partly untrained", "unknown"]


@dataclass(frozen=True)
class Origin:
    """What the card says of where the model came from.

    Args:
        weights: "trained", "random", "partly untrained" or "unknown".
        builder: the registry's name, or the file's or function's.
        options: what the builder was called with.
        preprocessing: what the network was trained on.
        labels: the classes' names by index.
        training: how compression-aware training made the weights (see `train_aware`).
    """

    weights: State = "unknown"
    builder: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    preprocessing: Preprocessing | None = None
    labels: Sequence[str] | None = None
    training: dict[str, Any] | None = None


UNKNOWN = Origin()
