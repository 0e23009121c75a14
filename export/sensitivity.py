"""What each layer's quantization costs by itself: a file in which it alone is quantized, against the float one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np

from .calibration import Ranges
from .contents import operators
from .interpreter import LiteRT
from .quantize import quantize
from .schemes import Quantization
from .verify import compare

MOVES = {"RESHAPE", "PAD", "MAX_POOL_2D", "TRANSPOSE", "SPLIT", "SLICE"}  # what computes nothing loses nothing
ROW, LEFT, WIDE, GAP = 18, 240, 420, 8  # pixels of the plot
STYLE = """
  svg { color-scheme: light dark; --ink: #1a1d21; --paper: #fff; --bar: #33658a; --worst: #b4472e }
  @media (prefers-color-scheme: dark) { svg { --ink: #e6e9ec; --paper: #14171a; --bar: #6ea8d1; --worst: #e08a6a } }
  text { fill: var(--ink); font: 12px ui-sans-serif, system-ui, Helvetica, Arial, sans-serif }
  .paper { fill: var(--paper) } .bar { fill: var(--bar) } .worst { fill: var(--worst) }
"""


@dataclass(frozen=True)
class Sensitivity:
    """One operator's.

    Args:
        name: of its output.
        kind: as in the schema.
        sqnr_db: of the network's first output with this operator alone quantized; None where nothing is lost.
        noise: the mean square of the difference, as a share of the output's.
        agreement: share of images whose class stays.
        top1_lost: points of top-1; None without labels.
    """

    name: str
    kind: str
    sqnr_db: float | None
    noise: float
    agreement: float
    top1_lost: float | None


def sensitivity(
    whole: bytes,
    ranges: Ranges,
    images: np.ndarray,
    labels: np.ndarray | None,
    options: Quantization,
    step: Callable[[float], object] = lambda layers: None,
) -> list[Sensitivity]:
    """Each operator's cost, in the order of the network.

    Args:
        whole: the float32 file, of batch 1.
        ranges: of its activations.
        images: (n, height, width, channels) float32, preprocessed.
        labels: (n,) class indices, or None.
        options: a static scheme.
        step: told how many operators are done.
    """
    expected, every, found = LiteRT(whole)(images)[0], operators(whole), []
    options = replace(options, keep_in="float32")  # where nothing is lost
    for name, kind in layers(whole):
        others = tuple(other.output for other in every if other.output != name)
        alone = quantize(whole, options, ranges, kept=others, ends=False)
        proof = compare(expected, LiteRT(alone)(images)[0], labels)
        noise = 0.0 if proof.sqnr_db is None else 10 ** (-proof.sqnr_db / 10)
        lost = None if proof.top1_difference is None else -proof.top1_difference
        found.append(Sensitivity(name, kind, proof.sqnr_db, noise, proof.agreement, lost))
        step(1)
    return found


def layers(whole: bytes) -> list[tuple[str, str]]:
    """(name, kind) of the operators that compute something."""
    return [(operator.output, operator.name) for operator in operators(whole) if operator.name not in MOVES]


def costliest(found: list[Sensitivity], count: int) -> tuple[str, ...]:
    """The names of the operators that add most noise."""
    return tuple(entry.name for entry in sorted(found, key=lambda entry: -entry.noise)[:count])


def to_svg(found: list[Sensitivity], marked: int = 3) -> str:
    """A bar for each operator: its share of the noise, on a scale of decibels; the `marked` worst in another colour."""
    height = ROW * len(found) + 40
    root = Element(
        "svg", {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {LEFT + WIDE + 100} {height}"}, role="img"
    )
    SubElement(root, "title").text = "Signal to quantization noise with one layer quantized"
    SubElement(root, "style").text = STYLE
    SubElement(root, "rect", {"class": "paper"}, width="100%", height="100%")
    SubElement(root, "text", x="8", y="20").text = "Noise of one layer's quantization (longer is worse), SQNR in dB"
    decibels = [np.inf if entry.sqnr_db is None else entry.sqnr_db for entry in found]
    finite = [value for value in decibels if np.isfinite(value)] or [0.0]
    worst, span = set(costliest(found, marked)), max(finite) - min(finite) + 6
    for index, (entry, value) in enumerate(zip(found, decibels, strict=True)):
        y = 40 + ROW * index
        length = 0.0 if np.isinf(value) else WIDE * (max(finite) + 6 - value) / span
        SubElement(root, "text", {"text-anchor": "end"}, x=str(LEFT - GAP), y=str(y + 11)).text = entry.name
        kind = {"class": "worst" if entry.name in worst else "bar"}
        SubElement(root, "rect", kind, x=str(LEFT), y=str(y), width=f"{length:.1f}", height=str(ROW - 5))
        label = "none" if np.isinf(value) else f"{value:.1f}"
        SubElement(root, "text", x=f"{LEFT + length + GAP:.1f}", y=str(y + 11)).text = label
    indent(root)
    return tostring(root, encoding="unicode") + "\n"
