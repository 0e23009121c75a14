"""A report as tables for the terminal."""

import math
from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..accuracy import Accuracy
from ..events import CONTROL
from ..result import Measurement, Report, setting_words
from ..statistics import LEVEL, Estimate, verdict
from . import escaped
from .as_markdown import sentence

WIDE = 120  # columns of a terminal from which on every quantile shows its interval


def tables(report: Report, *, width: int = WIDE) -> Group:
    """Latency and memory of each configuration, below it what each artifact is made of, what failed, and profiles.

    A terminal narrower than WIDE columns gets the intervals of median and ratio only.
    """
    parts: list[RenderableType] = []
    if report.measurements:
        parts += [latency_table(report, intervals=width >= WIDE), Text(), artifact_table(report)]
        parts += [part for m in report.measurements if m.layers for part in (Text(), profile_table(m))]
    parts += [Text(CONTROL.sub("", sentence(entry)), style="yellow") for entry in report.unmeasured]
    return Group(*parts)


def latency_table(report: Report, *, intervals: bool) -> Table:
    """A row per configuration; below a value its interval, for p10 and p90 where `intervals` is true."""
    rounds = max(len(m.samples.numbers) for m in report.measurements)
    calls = (
        f"{report.settings.runs} calls each" if report.settings.seconds is None else f"{report.settings.seconds:g} s"
    )
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1 if intervals else 0, 0, 0),
        show_edge=False,
        caption=f"{calls}, in {rounds} rounds; below a value its {LEVEL:.0%} interval over the rounds. "
        "Ratio: p10 to p10 of the first file at the same thread count, median over the rounds.",
        caption_justify="left",
    )
    table.add_column("file", overflow="fold")
    accurate = any(m.accuracy is not None for m in report.measurements)
    headings = ("threads", "peak\nMB", "min\nms", "p10\nms", "median\nms", "p90\nms", "ratio")
    for heading in (*headings, *(["top-1\n%"] if accurate else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", min_width=10)
    for measurement, label in zip(report.measurements, _labels(report.measurements), strict=True):
        table.add_row(label, *_cells(measurement, intervals=intervals, accurate=accurate))
    return table


def profile_table(measurement: Measurement) -> Table:
    """The time of each type of operator, the longest first."""
    times: dict[str, list[float]] = {}
    for layer in measurement.layers:
        times.setdefault(layer.type, []).append(layer.microseconds)
    total = sum(map(sum, times.values())) or 1.0
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, title=escaped(measurement.label), title_justify="left")
    table.add_column("operator", overflow="fold")
    for heading in ("count", "ms", "%"):
        table.add_column(heading, justify="right", no_wrap=True)
    for kind, taken in sorted(times.items(), key=lambda item: -sum(item[1])):
        table.add_row(escaped(kind), str(len(taken)), f"{sum(taken) / 1e3:.3f}", f"{100 * sum(taken) / total:.1f}")
    return table


def artifact_table(report: Report) -> Table:
    """A row per artifact: its size, its operators, and what the delegate left out."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("file", overflow="fold")
    table.add_column("size\nMB", justify="right", no_wrap=True)
    table.add_column("operators")
    table.add_column("outside the delegate")
    table.add_column("partitions", justify="right")
    labels = dict(zip(_labels(report.measurements), report.measurements, strict=True))
    for label, measurement in labels.items():
        size, probe = f"{measurement.artifact.bytes / 1e6:.2f}", measurement.probe
        table.add_row(
            label, size, _counts(probe.operators), _counts(probe.undelegated or {}), str(probe.partitions or "")
        )
    return table


def _cells(measurement: Measurement, *, intervals: bool, accurate: bool) -> list[str]:
    peak, summary, ratio = measurement.probe.peak_bytes, measurement.summary, measurement.ratio
    outer = _with_interval if intervals else _alone
    return [
        str(measurement.threads),
        "" if peak is None else f"{peak / 1e6:.1f}",
        _alone(summary.min),
        outer(summary.p10),
        _with_interval(summary.median),
        outer(summary.p90),
        ("1" if measurement.is_reference else "") if ratio is None else _with_interval(ratio),
        *([] if not accurate else [_percent(measurement.accuracy)]),
        "" if ratio is None else verdict(ratio),
    ]


def _alone(estimate: Estimate) -> str:
    return _digits(estimate.value)


def _with_interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return _alone(estimate)
    return f"{_alone(estimate)}\n[dim]{_digits(estimate.low)}–{_digits(estimate.high)}[/]"


def _percent(accuracy: Accuracy | None) -> str:
    return "" if accuracy is None else f"{100 * accuracy.top1:.2f}"


def _digits(value: float) -> str:
    """Three significant digits, trailing zeros kept; all digits before the point."""
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}"


def _counts(histogram: dict[str, int]) -> str:
    return escaped(", ".join(f"{count} {name}" for name, count in histogram.items()))


def _labels(measurements: Sequence[Measurement]) -> list[str]:
    """File names without suffix, more of them where two share one; target, runner and settings where they differ."""
    paths = {measurement.artifact.path for measurement in measurements}
    unique = len({path.stem for path in paths}) == len(paths)
    targets = {m.target for m in measurements}
    settings = {(m.runner, *setting_words(m.options)) for m in measurements}
    found = []
    for m in measurements:
        words = [m.target] * (len(targets) > 1)
        words += [m.runner, *setting_words(m.options)] * (len(settings) > 1)
        name = m.artifact.path.stem if unique else m.artifact.name
        found.append(escaped(f"{name} ({', '.join(words)})" if words else name))
    return found
