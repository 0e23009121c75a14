"""A report as a Markdown table, for a README or a merge request."""

from ..result import Measurement, Report, Unmeasured, setting_words
from ..statistics import verdict


def as_markdown(report: Report) -> str:
    """A row per configuration; times in milliseconds, sizes in megabytes."""
    accurate = any(m.accuracy is not None for m in report.measurements)
    head = ["file", "runner", "threads", "MB", "peak MB", "p10 ms", "median ms", "p90 ms", "ratio", "verdict"]
    head += ["top-1 %", "top-5 %"] if accurate else []
    if len(report.environments) > 1:
        head = ["target", *head]
    rows = [_row(measurement, accurate) for measurement in report.measurements]
    rows = [[m.target, *row] for m, row in zip(report.measurements, rows, strict=True)] if head[0] == "target" else rows
    numeric = {"threads", "MB", "peak MB", "p10 ms", "median ms", "p90 ms", "ratio", "top-1 %", "top-5 %"}
    lines = [head, ["---:" if name in numeric else "---" for name in head], *rows]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    missing = "".join(f"- {_escaped(sentence(entry))}\n" for entry in report.unmeasured)
    here = report.environment
    return f"{table}\n{missing}{here.cpu}, {here.cores} cores, {here.system}; {here.date}\n"


def sentence(entry: Unmeasured) -> str:
    """Why a configuration has no latency."""
    return f"{entry.label}: {entry.reason or 'runs; its host time is no latency'}"


def _row(measurement: Measurement, accurate: bool) -> list[str]:
    artifact, summary, ratio = measurement.artifact, measurement.summary, measurement.ratio
    peak, found = measurement.probe.peak_bytes, measurement.accuracy
    return [
        _escaped(artifact.name),
        _escaped(", ".join([measurement.runner, *setting_words(measurement.options)])),
        str(measurement.threads),
        f"{artifact.bytes / 1e6:.2f}",
        "" if peak is None else f"{peak / 1e6:.1f}",
        *(f"{estimate.value:.3f}" for estimate in (summary.p10, summary.median, summary.p90)),
        ("1" if measurement.is_reference else "") if ratio is None else f"{ratio.value:.3f}",
        "" if ratio is None else verdict(ratio),
        *((["", ""] if found is None else [f"{100 * found.top1:.2f}", f"{100 * found.top5:.2f}"]) if accurate else []),
    ]


def _escaped(text: str) -> str:
    for character in "\\|`*_<>[]":
        text = text.replace(character, "\\" + character)
    return text
