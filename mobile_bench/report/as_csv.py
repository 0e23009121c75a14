"""A report as CSV: a row per configuration."""

import csv
import io
from typing import Any

from ..result import Measurement, Report, Unmeasured
from ..statistics import QUANTILES, Estimate, verdict


def as_csv(report: Report) -> str:
    """Sizes in bytes, times in milliseconds, energy in joules a call; an empty field where a value is not known."""
    rows = [*map(_row, report.measurements), *map(_unmeasured, report.unmeasured)]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, dict.fromkeys(name for row in rows for name in row), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _unmeasured(entry: Unmeasured) -> dict[str, Any]:
    return _subject(entry) | {"bytes": entry.artifact.bytes, "failure": entry.reason}


def _subject(entry: Measurement | Unmeasured) -> dict[str, Any]:
    return {
        "target": entry.target,
        "file": entry.artifact.path,
        "runner": entry.runner,
        "options": " ".join(f"{name}={value}" for name, value in entry.options.items()),
        "threads": entry.threads,
    }


def _row(measurement: Measurement) -> dict[str, Any]:
    artifact, probe, ratio = measurement.artifact, measurement.probe, measurement.ratio
    accuracy = measurement.accuracy
    row: dict[str, Any] = _subject(measurement) | {
        "runs": sum(len(block) for block in measurement.samples.durations_ns),
        "bytes": artifact.bytes,
        "macs": artifact.macs,
        "parameters": artifact.parameters,
        "peak_bytes": probe.peak_bytes,
        "arena_bytes": probe.arena_bytes,
        "load_ms": None if probe.load_ns is None else probe.load_ns / 1e6,
        "first_ms": None if probe.first_ns is None else probe.first_ns / 1e6,
        "partitions": probe.partitions,
        "operators": sum(probe.operators.values()),
        "undelegated": None if probe.undelegated is None else sum(probe.undelegated.values()),
    }
    for name in QUANTILES:
        row |= _columns(f"{name}_ms", getattr(measurement.summary, name))
    row |= _columns("ratio", Estimate(1.0, None, None) if measurement.is_reference else ratio)
    return row | {
        "verdict": "" if ratio is None else verdict(ratio),
        "mad_ms": measurement.summary.mad,
        "energy_j": measurement.energy_j,
        "top1": None if accuracy is None else accuracy.top1,
        "top5": None if accuracy is None else accuracy.top5,
        "failure": measurement.failure,
    }


def _columns(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    found = (None, None, None) if estimate is None else (estimate.value, estimate.low, estimate.high)
    return dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))
