"""A report as one page that needs no network: a table that sorts, plots that answer to pointer and keyboard."""

import json
import math
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from ..result import Measurement, Report, setting_words
from ..statistics import LEVEL, verdict
from .as_markdown import sentence

BINS = 48  # of the latency distributions, of equal width on a logarithmic axis


def as_html(report: Report) -> str:
    """Texts from files and other machines enter as data, never as markup."""
    loader = jinja2.PackageLoader(__package__, ".")
    page = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page.filters["data"] = _as_data
    return page.get_template("page.html").render(
        page=_page(report),
        here=report.environment,
        warnings=report.warnings,
        missing=[sentence(entry) for entry in report.unmeasured],
        environments=report.environments,
        settings=report.settings,
        level=LEVEL,
        notes=sorted({note for m in report.measurements for note in m.probe.notes}),
    )


def _as_data(value: Any) -> Markup:
    """JSON for a script element: no text in it can end the element or begin a comment."""
    text = json.dumps(value, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _page(report: Report) -> dict[str, Any]:
    measurements = report.measurements
    pooled = [np.concatenate(m.samples.durations_ns) / 1e6 for m in measurements]
    low = min((float(values.min()) for values in pooled), default=1.0)
    high = max((float(np.quantile(values, 0.99)) for values in pooled), default=1.0)
    edges = np.geomspace(low * 0.97, max(high, low * 1.05) * 1.03, BINS + 1)
    files = list(dict.fromkeys(str(m.artifact.path) for m in measurements))
    many = len(report.environments) > 1
    return {
        "rows": [
            _row(m, files.index(str(m.artifact.path)), many, np.histogram(values, edges)[0].tolist())
            for m, values in zip(measurements, pooled, strict=True)
        ],
        "edges": edges.tolist(),
    }


def _row(m: Measurement, color: int, many: bool, histogram: list[int]) -> dict[str, Any]:
    return {
        "label": f"{m.target}: {m.label}" if many else m.label,
        "series": f"{m.target} {m.artifact.path} {m.runner} {sorted(m.options.items())}",
        "file": m.artifact.name,
        "runner": " ".join([m.runner, *setting_words(m.options)]),
        "target": m.target,
        "color": color,
        "threads": m.threads,
        "mb": m.artifact.bytes / 1e6,
        "mmacs": None if m.artifact.macs is None else m.artifact.macs / 1e6,
        "peak": None if m.probe.peak_bytes is None else m.probe.peak_bytes / 1e6,
        "arena": None if m.probe.arena_bytes is None else m.probe.arena_bytes / 1e6,
        "load": None if m.probe.load_ns is None else m.probe.load_ns / 1e6,
        "first": None if m.probe.first_ns is None else m.probe.first_ns / 1e6,
        **{name: getattr(m.summary, name).value for name in ("min", "p10", "median", "p90", "p99")},
        "interval": [m.summary.median.low, m.summary.median.high],
        "ratio": None if m.ratio is None else m.ratio.value,
        "ratioInterval": None if m.ratio is None else [m.ratio.low, m.ratio.high],
        "verdict": "reference" if m.is_reference else "" if m.ratio is None else verdict(m.ratio),
        "top1": None if m.accuracy is None else 100 * m.accuracy.top1,
        "top5": None if m.accuracy is None else 100 * m.accuracy.top5,
        "mj": None if m.energy_j is None else 1e3 * m.energy_j,
        "calls": sum(map(len, m.samples.durations_ns)),
        "failure": m.failure,
        "histogram": histogram,
        "layers": [
            {"type": layer.type, "name": layer.name, "us": layer.microseconds}
            for layer in m.layers
            if math.isfinite(layer.microseconds)
        ],
    }
