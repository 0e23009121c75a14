"""What lowering makes of a network: its steps, and the files of before and after compared."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..calibration import Calibration
from ..contents import histogram, operators
from ..emit import missing_rules
from ..graph import Graph, of_one_input
from ..schemes import STATIC, Quantization, Scheme
from .guard import Lowered, lower_under
from .lint import Lint, beyond_graph, lint
from .parity import Parity
from .passes import CANONICAL, Pass, expected_step

if TYPE_CHECKING:
    import keras

CALIBRATION = 2  # noise: the operators of the file do not depend on its ranges


@dataclass(frozen=True)
class Explanation:
    """Args:
    name: the model's.
    lowered: the graph and the steps to it.
    missing: layers without a rule; there are then no files to compare.
    before: the file without the chosen passes (the canonical run always), after: with them.
    operators_before: count by name, operators_after: likewise.
    beyond: operators of the last file that the graph does not have; see `beyond_graph`.
    gain: how many times as fast, from the cost table; None where it knows no pass that did something.
    """

    name: str
    lowered: Lowered
    missing: tuple[str, ...]
    before: Lint | None
    after: Lint | None
    operators_before: dict[str, int]
    operators_after: dict[str, int]
    beyond: dict[str, int]
    gain: float | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "steps": [step.to_dict() for step in self.lowered.steps],
            "missing": list(self.missing),
            "fault": self.lowered.fault,
            "partitions": [side.partitions if side else None for side in (self.before, self.after)],
            "operators": [self.operators_before, self.operators_after],
            "beyond_graph": self.beyond,
            "expected_gain": self.gain,
            "lint": [finding.to_dict() for finding in self.after.findings] if self.after else [],
        }


def explanation(
    model: "keras.Model", passes: Sequence[Pass], scheme: Scheme, costs_of: str | None = None, seed: int = 0
) -> Explanation:
    """Lowers a model under the parity guard and compares the files.

    Args:
        model: functional, one input.
        passes: to run.
        scheme: of the files; int8, int16 and int4 are calibrated with noise.
        costs_of: the machine whose measured costs make the expected gain.
        seed: of the noise.

    Raises:
        InputError: a network of several inputs.
    """
    graph = of_one_input(model)
    lowered = lower_under(graph, passes, Parity.of(model, seed=seed))
    gain = _gain(lowered.passes, scheme, costs_of)
    missing = tuple(missing_rules(lowered.graph))
    if missing:
        return Explanation(model.name, lowered, missing, None, None, {}, {}, {}, gain)
    data = Calibration.noise(CALIBRATION, tuple(model.inputs[0].shape[1:]), seed) if scheme in STATIC else None
    options = Quantization(scheme, corrections=())  # nor do they depend on its kernels
    plain, final = (_file(g, options, data) for g in (lower_under(graph, CANONICAL).graph, lowered.graph))
    return Explanation(
        model.name,
        lowered,
        (),
        lint(plain, graph.nodes),
        lint(final, graph.nodes),
        histogram(operators(plain)),
        histogram(operators(final)),
        beyond_graph(final, lowered.graph),
        gain,
    )


def _file(graph: Graph, options: Quantization, data: Calibration | None) -> bytes:
    from ..tflite import emitted

    return emitted(graph, options, data)


def _gain(names: Sequence[str], scheme: Scheme, costs_of: str | None) -> float | None:
    """The product of the passes' steps as they were measured, on the slowest of the machines for each."""
    steps = [step for name in names if (step := expected_step(name, scheme, costs_of)) is not None]
    return math.prod(steps) if steps else None
