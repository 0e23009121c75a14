"""The passes, in the order in which they run: names, reasons, and which of them a choice like "auto" takes."""

import math
import platform
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..graph import Graph
from ..schemes import Scheme
from .activation import separate_activations
from .average_pool import average_pool
from .batch_norm import fold_batch_norm, normalize_by_depthwise
from .channel_order import channel_order
from .declined import Declined
from .early_pool import early_pool
from .hard_swish import hard_swish
from .identity import remove_identities
from .late_shuffle import late_shuffle
from .nest_concats import nest_concats
from .recognise_shuffle import recognise_shuffle
from .regular_pool import regular_pool
from .relu_by_depthwise import relu_by_depthwise
from .relu_to_producers import relu_to_producers
from .same_padding import same_padding
from .separable import split_separable
from .shortcut import shortcut_by_convolution
from .subsample import subsample
from .wide_groups import wide_groups


@dataclass(frozen=True)
class Pass:
    """One rewriting of a graph, exact in float32.

    Args:
        name: on the command line and in the card.
        run: Graph -> Graph; tells what it found and left.
        reason: why it is worth it.
        canonical: always run: it costs nothing and others stand on it. What is not is chosen by the target's costs.
        opt_in: run only where it is named.
    """

    name: str
    run: Callable[[Graph, Declined], Graph]
    reason: str
    canonical: bool = False
    opt_in: bool = False


PASSES: tuple[Pass, ...] = (
    Pass("split-separable", split_separable, "BN behind it folds into the second half", canonical=True),
    Pass("regular-pool", regular_pool, "an adaptive pool of equal windows is a pool like any other", canonical=True),
    Pass("remove-identities", remove_identities, "what does nothing at inference costs nothing", canonical=True),
    Pass("recognise-shuffle", recognise_shuffle, "one spelling for the channel shuffle", canonical=True),
    Pass("separate-activations", separate_activations, "one spelling for each activation", canonical=True),
    Pass("same-padding", same_padding, "a padding that 'same' would compute is no operator", canonical=True),
    Pass("fold-batch-norm", fold_batch_norm, "scales and shifts go into convolutions", canonical=True),
    Pass("early-pool", early_pool, "a 1x1 convolution behind its pool sees a quarter of the pixels"),
    Pass("channel-order", channel_order, "channels made in the order of their use need no shuffle and no split"),
    Pass("late-shuffle", late_shuffle, "behind a strided depthwise convolution there is less to shuffle"),
    Pass("relu-to-producers", relu_to_producers, "a ReLU before the concatenation fuses into what makes its inputs"),
    Pass("normalize-by-depthwise", normalize_by_depthwise, "one operator that takes a ReLU for two", canonical=True),
    Pass(
        "shortcut-by-convolution", shortcut_by_convolution, "XNNPACK takes no 1x1 max pool of stride 2", canonical=True
    ),
    Pass("average-pool", average_pool, "XNNPACK takes no int8 average pool, but a depthwise convolution"),
    Pass("subsample", subsample, "XNNPACK takes no 1x1 max pool of stride 2, but a depthwise convolution"),
    Pass("hard-swish", hard_swish, "XNNPACK takes no int8 hard swish, but sum and product", opt_in=True),
    Pass("wide-groups", wide_groups, "groups of 4 channels leave most of a vector empty"),
    Pass("relu-by-depthwise", relu_by_depthwise, "XNNPACK takes no int8 ReLU that stands alone"),
    Pass("nest-concats", nest_concats, "XNNPACK takes at most five inputs, in float and in int8", canonical=True),
)
SLOWEST = 0.98  # a gain below it is a loss
CANONICAL = tuple(p for p in PASSES if p.canonical)
NAMES = tuple(p.name for p in PASSES if not p.canonical)


def choose(
    spec: str | Sequence[str] = "auto", scheme: Scheme = "float32", target: str | None = None
) -> tuple[Pass, ...]:
    """The passes to run, in order.

    Args:
        spec: "auto" (those that the cost table says pay), "none" (the canonical alone), or names, of which "auto" may
            be one.
        scheme: of the file.
        target: whose costs count; None takes what pays over all machines measured and costs on none.

    Raises:
        InputError: a name that no pass has, or a target that was not measured.
    """
    names = [name.strip() for name in spec.split(",")] if isinstance(spec, str) else list(spec)
    unknown = [name for name in names if name not in (*NAMES, "auto", "none")]
    if unknown or not names:
        raise InputError(f"--lower {unknown[0] if unknown else ''}: choose auto, none, or of {', '.join(NAMES)}")
    if "none" in names and len(names) > 1:
        raise InputError("--lower none goes alone; drop it, or the other passes")
    taken = {p.name for p in PASSES if p.canonical} | set(names)
    if "auto" in names:
        taken |= {p.name for p in PASSES if not p.opt_in and pays(p.name, scheme, target)}
    return tuple(p for p in PASSES if p.name in taken)


def pays(name: str, scheme: Scheme, target: str | None = None) -> bool:
    """Whether the costs speak for a pass: on the target, or on the machines measured together and against it on none.

    A measured gain is known to some percent: one just below 1 on one machine speaks neither for nor against.
    """
    gains = expected_gains(name, scheme, target)
    return bool(gains) and math.prod(gains) > 1 and min(gains) >= SLOWEST


def expected_gains(name: str, scheme: Scheme, target: str | None = None) -> list[float]:
    """How many times as fast the pass made the networks that it was measured on, by target."""
    table = costs()
    if target is not None and target not in table:
        raise InputError(f"target {target!r}: no costs were measured for it; known are {', '.join(table)}")
    measured = table.values() if target is None else [table[target]]
    column = "int8" if scheme == "int8" else "float32"
    return [float(each[column][name]["gain"]) for each in measured if name in each.get(column, {})]


@cache
def costs() -> dict[str, Any]:
    """The cost table: target -> {"float32" | "int8"} -> pass -> {"gain", ...}."""
    return tomllib.loads((files(__package__) / "costs.toml").read_text())


def this_target() -> str:
    """The name under which this machine's costs are kept: its architecture and widest integer instructions."""
    flags = _cpu_flags()
    names = {"avx512_vnni": "AVX512-VNNI", "avx_vnni": "AVX-VNNI", "avx512f": "AVX512", "avx2": "AVX2"}
    names |= {"i8mm": "I8MM", "asimddp": "DOTPROD", "asimd": "NEON"}
    widest = next((name for flag, name in names.items() if flag in flags), "")
    return f"{platform.machine()} {widest}".strip()


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split()) for line in lines if line.lower().startswith(("flags", "features"))), set())
