"""Figures by matplotlib: as SVG, as PNG, and within a page, where they follow the reader's light or dark scheme."""

import io
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ...files import write
from .framework import Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#102030"  # of text and axes; within a page it becomes the text's own colour
COLOURS = ("#2f7fc1", "#d1603d", "#3f9b6c", "#9a6fb0", "#c29a2b", "#5f8d96")  # they read on white and on black
STYLE: dict[str, Any] = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": 100,
    "font.size": 10,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "keras-cnnzoo",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def require() -> None:
    """Raises InputError where the extra `lab` is not installed: before hours of work, not behind them."""
    missing = [name for name in ("matplotlib", "nbformat") if find_spec(name) is None]
    if missing:
        raise InputError(f"the lab needs {missing[0]}, which is not installed; pip install 'keras-cnnzoo[lab]'")


def panels(*titles: str, x: str, y: str, share: bool = True) -> tuple["Figure", list["Axes"]]:
    """A figure of panels side by side, with their axes' titles."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(max(4.8, 3.6 * len(titles)), 3.4), layout="constrained")
        axes = figure.subplots(1, len(titles), sharey=share, squeeze=False)[0]
        for axis, title in zip(axes, titles, strict=True):
            axis.set_title(title, fontsize=10)
            axis.set_xlabel(x)
        axes[0].set_ylabel(y)
    return figure, list(axes)


def curve(axis: "Axes", rows: Rows, x: str, y: str, *, label: str, colour: int) -> None:
    """The mean over seeds (and whatever else the rows hold) by x, and the band from the least to the greatest."""
    places = rows.having(y).distinct(x)
    values = [rows.values(y, **{x: place}) for place in places]
    shade = COLOURS[colour % len(COLOURS)]
    marker = "o" if len(places) < 12 else None
    axis.plot(places, [v.mean() for v in values], color=shade, label=label, marker=marker, markersize=3)
    axis.fill_between(
        places, [v.min() for v in values], [v.max() for v in values], color=shade, alpha=0.15, linewidth=0
    )


def bars(axis: "Axes", labels: Sequence[str], values: Sequence[np.ndarray], *, colour: int = 0) -> None:
    """The mean of each array, and its values as dots."""
    shade = COLOURS[colour % len(COLOURS)]
    axis.bar(range(len(labels)), [v.mean() for v in values], color=shade, alpha=0.6)
    for place, array in enumerate(values):
        axis.plot([place] * len(array), array, ".", color=INK, markersize=3)
    axis.set_xticks(range(len(labels)), labels, rotation=20, ha="right")


def doublings(axis: "Axes", values: Sequence[int]) -> None:
    """A logarithmic axis of x with a tick at each value; an empty one as it is."""
    if not values:
        return
    axis.set_xscale("log", base=2)
    axis.set_xticks(values, [str(value) for value in values])


def logarithmic(axis: "Axes") -> None:
    """A logarithmic axis of x with few ticks, in plain numbers: 0.05, 200, 5M."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _plain(value)))
    axis.xaxis.set_minor_formatter(NullFormatter())


def _plain(value: float) -> str:
    unit, name = next(((unit, name) for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if value >= unit), (1, ""))
    return f"{value / unit:g}{name}"


def legend(*axes: "Axes") -> None:
    """A legend in each panel, in the figures' colours."""
    for axis in axes:
        axis.legend(frameon=False, labelcolor=INK, fontsize=8)


def save(figure: "Figure", path: Path) -> str:
    """Writes path.svg and path.png; returns the picture for a page."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=160, facecolor="white")
        write(path.with_suffix(".png"), png.getvalue())
        write(path.with_suffix(".svg"), _svg(figure, "white"))
        return inline(_svg(figure, "none"))


def _svg(figure: "Figure", background: str) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", facecolor=background, metadata={"Date": None, "Creator": None})
    return text.getvalue()


def inline(svg: str) -> str:
    """An SVG document as a part of a page: no prologue, no metadata, the page's own ink, panels without paper."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg, count=2).replace("xlink:href", "href")
    svg = re.sub(r'(<g id="patch_\d+">\s*<path[^>]*style="fill: )#ffffff', r"\1none", svg)
    return svg.replace(INK, "currentColor")
