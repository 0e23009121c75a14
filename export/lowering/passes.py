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
from .pool_padding import pool_padding
from .recognise_shuffle import recognise_shuffle
from .regular_pool import regular_pool
from .relu_by_depthwise import relu_by_depthwise
from .relu_to_producers import relu_to_producers
from .same_padding import same_padding
from .separable import split_separable
from .shortcut import shortcut_by_convolution
from .subsample import subsample
from .wide_groups import wide_groups
from .wide_pixels import wide_pixels


@dataclass(frozen=True)
class Pass:
    """One rewriting of a graph, exact in float32.

    Args:
        name: on the command line and in the card.
        run: Graph -> Graph; tells what it found and left.
        reason: why it is worth it.
        canonical: always run: it costs nothing and others stand on it. What is not is chosen by the machine's costs.
        here: "auto" takes it for a named machine alone: others may lose by it.
    """

    name: str
    run: Callable[[Graph, Declined], Graph]
    reason: str
    canonical: bool = False
    here: bool = False


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
    Pass("hard-swish", hard_swish, "XNNPACK takes no int8 hard swish, but sum and product"),
    Pass("wide-groups", wide_groups, "groups of 4 channels leave most of a vector empty"),
    Pass("wide-pixels", wide_pixels, "three channels of a pixel leave most of a vector empty", here=True),
    Pass("pool-padding", pool_padding, "XNNPACK copies a map to pad it for a pool"),
    Pass("relu-by-depthwise", relu_by_depthwise, "XNNPACK takes no int8 ReLU that stands alone"),
    Pass("nest-concats", nest_concats, "XNNPACK takes at most five inputs, in float and in int8", canonical=True),
)
SLOWEST = 0.98  # a gain below it is a loss
NEEDED: dict[Scheme, set[str]] = {"int16": {"hard-swish", "relu-by-depthwise"}}  # there, HARD_SWISH and RELU6 are float
CANONICAL = tuple(p for p in PASSES if p.canonical)
NAMES = tuple(p.name for p in PASSES if not p.canonical)


def choose(
    spec: str | Sequence[str] = "auto", scheme: Scheme = "float32", costs_of: str | None = None
) -> tuple[Pass, ...]:
    """The passes to run, in order.

    Args:
        spec: "auto" (those that the cost table says pay, and those that the scheme needs), "none" (the canonical
            alone), or names, of which "auto" may be one.
        scheme: of the file.
        costs_of: the machine whose costs count, "this" one, or a .toml file of its costs; None takes what pays over all
            that were measured and costs on none.

    Raises:
        InputError: a name that no pass has, or a machine that was not measured or that "auto" does not ask for.
    """
    names = [name.strip() for name in spec.split(",")] if isinstance(spec, str) else list(spec)
    unknown = [name for name in names if name not in (*NAMES, "auto", "none")]
    if unknown or not names:
        raise InputError(f"--lower {unknown[0] if unknown else ''}: choose auto, none, or of {', '.join(NAMES)}")
    if "none" in names and len(names) > 1:
        raise InputError("--lower none goes alone; drop it, or the other passes")
    if costs_of is not None and "auto" not in names:
        raise InputError(f"--costs-of {costs_of}: only auto goes by costs; add auto to --lower, or drop it")
    taken = {p.name for p in PASSES if p.canonical} | set(names)
    if "auto" in names:
        known = [p for p in PASSES if costs_of or not p.here]
        taken |= {p.name for p in known if pays(p.name, scheme, costs_of)} | NEEDED.get(scheme, set())
    return tuple(p for p in PASSES if p.name in taken)


def pays(name: str, scheme: Scheme, costs_of: str | None = None) -> bool:
    """Whether the costs speak for a pass: on the machine, or on the machines measured together and against it on none.

    A measured gain is known to some percent: one just below 1 on one machine speaks neither for nor against.
    """
    gains = [float(row["gain"]) for row in _rows(name, scheme, costs_of)]
    return bool(gains) and math.prod(gains) > 1 and min(gains) >= SLOWEST


def expected_step(name: str, scheme: Scheme, costs_of: str | None = None) -> float | None:
    """How many times as fast a network becomes that the pass comes to last, by the least of the machines that count.

    Not its gain, which is small where another pass would do much of the same; None where it was not measured.
    """
    found = [float(row.get("step", row["gain"])) for row in _rows(name, scheme, costs_of)]
    return min(found, default=None)


def _rows(name: str, scheme: Scheme, costs_of: str | None) -> list[dict[str, Any]]:
    """What the machines that count tell of a pass; of one that they do not know, what others do.

    But nothing of others where "auto" takes it for one machine alone.
    """
    column = "int8" if scheme in ("int8", "int4") else "float32"  # by the activations
    alone = any(each.here for each in PASSES if each.name == name)
    for machines in (_machines(costs_of), [] if alone else list(costs().values())):
        rows = [each[column][name] for each in machines if name in each.get(column, {})]
        if rows:
            return rows
    return []


def _machines(costs_of: str | None) -> list[dict[str, Any]]:
    """The sections that count: of a file, of one machine, or of all."""
    if costs_of is None:
        return list(costs().values())
    if costs_of.endswith(".toml"):
        return list(costs_in(Path(costs_of)).values())
    machine = this_target() if costs_of == "this" else costs_of
    if machine not in costs():
        raise InputError(
            f"--costs-of {machine}: no costs were measured there; known are {', '.join(costs())}; "
            "`python -m keras_cnnzoo.app.costs -o costs.toml` measures this machine's for --costs-of costs.toml"
        )
    return [costs()[machine]]


@cache
def costs() -> dict[str, Any]:
    """The cost table: machine -> {"float32" | "int8"} -> pass -> {"gain", "step" where it was measured, ...}."""
    return tomllib.loads((files(__package__) / "costs.toml").read_text())


@cache
def costs_in(path: Path) -> dict[str, Any]:
    """A table that `python -m keras_cnnzoo.app.costs` wrote.

    Raises:
        InputError: no such file, or none of that form.
    """
    try:
        table = tomllib.loads(path.read_text())
        rows = [row for machine in table.values() for scheme in ("float32", "int8") for row in machine[scheme].values()]
        [(float(row["gain"]), float(row.get("step", 1))) for row in rows]
    except OSError as error:
        raise InputError(f"--costs-of {path}: {error.strerror or error}; name a file that can be read") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"--costs-of {path}: no table of `python -m keras_cnnzoo.app.costs` ({error}); write it by that, with -o"
        ) from error
    return table


def this_target() -> str:
    """The name under which this machine's costs are kept: its architecture and widest integer instructions."""
    flags = _cpu_flags()
    names = {"amx_int8": "AMX", "avx512_vnni": "AVX512-VNNI", "avx_vnni": "AVX-VNNI", "avx512f": "AVX512"}
    names |= {"avx2": "AVX2", "i8mm": "I8MM", "asimddp": "DOTPROD", "asimd": "NEON"}
    widest = next((name for flag, name in names.items() if flag in flags), "")
    return f"{platform.machine()} {widest}".strip()


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split()) for line in lines if line.lower().startswith(("flags", "features"))), set())
