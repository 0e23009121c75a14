"""A report as JSON, raw samples included."""

import json
from dataclasses import asdict
from typing import Any

from ..bench import Measurement, Report
from ..statistics import LEVEL, verdict

SCHEMA = 1


def as_json(report: Report) -> str:
    """One document; durations and start times are in nanoseconds, a list per round, summaries in milliseconds."""
    document = {
        "schema_version": SCHEMA,
        "environment": asdict(report.environment),
        "settings": asdict(report.settings) | {"interval_level": LEVEL},
        "warnings": report.warnings,
        "measurements": [_measurement(measurement) for measurement in report.measurements],
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _measurement(measurement: Measurement) -> dict[str, Any]:
    ratio = measurement.ratio
    return {
        "target": measurement.target,
        "artifact": asdict(measurement.artifact) | {"path": str(measurement.artifact.path)},
        "runner": measurement.runner,
        "options": dict(measurement.options),
        "threads": measurement.threads,
        "probe": asdict(measurement.probe),
        "warm_up": asdict(measurement.warm_up),
        "summary_ms": asdict(measurement.summary),
        "ratio_to_first": None if ratio is None else asdict(ratio) | {"verdict": verdict(ratio)},
        "samples": {
            "starts_ns": [block.tolist() for block in measurement.samples.starts_ns],
            "durations_ns": [block.tolist() for block in measurement.samples.durations_ns],
        },
    }
