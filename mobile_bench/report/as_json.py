"""A report as JSON, raw samples included, and such a file read again, with distrust."""

import json
from dataclasses import asdict
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..events import refuse_constant
from ..result import Measurement, Report, Unmeasured
from ..statistics import LEVEL, verdict

SCHEMA = 2


def as_json(report: Report) -> str:
    """One document; durations and start times (Unix) in nanoseconds, a list per round, summaries in milliseconds."""
    return json.dumps(document(report), indent=1, allow_nan=False) + "\n"


def document(report: Report) -> dict[str, Any]:
    """The report as objects, lists, texts and numbers; report.schema.json describes it."""
    told = {
        "schema_version": SCHEMA,
        "environment": asdict(report.environment),
        "environments": {address: dict(facts) for address, facts in report.environments.items()},
        "settings": asdict(report.settings) | {"interval_level": LEVEL},
        "warnings": list(report.warnings),
        "measurements": list(map(_measurement, report.measurements)),
        "unmeasured": list(map(_unmeasured, report.unmeasured)),
        "health": {address: [asdict(state) for state in states] for address, states in report.health.items()},
    }
    plain: dict[str, Any] = json.loads(json.dumps(told, allow_nan=False))
    return plain


def read_json(path: str | PathLike[str]) -> dict[str, Any]:
    """The document in a file that `as_json` wrote.

    Raises:
        InputError: unreadable, of another schema, or not valid.
    """
    import jsonschema

    try:
        found = json.loads(Path(path).read_text(), parse_constant=refuse_constant)
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a readable report ({error}); measure again with --json") from error
    version = found.get("schema_version") if isinstance(found, dict) else None
    if version != SCHEMA:
        raise InputError(
            f"{path}: a report of schema version {version!r}, this cnnzoo-bench knows {SCHEMA}; measure again"
        )
    try:
        jsonschema.validate(found, schema())
    except jsonschema.ValidationError as error:
        place = ".".join(map(str, error.absolute_path)) or "the document"
        raise InputError(
            f"{path}: {place} is not valid ({' '.join(error.message.split())[:160]}); measure again with --json"
        ) from error
    document: dict[str, Any] = found
    return document


def schema() -> dict[str, Any]:
    """JSON Schema of a report."""
    text: dict[str, Any] = json.loads(files(__package__).joinpath("report.schema.json").read_text())
    return text


def _configuration(entry: Measurement | Unmeasured) -> dict[str, Any]:
    artifact = asdict(entry.artifact) | {"path": str(entry.artifact.path)}
    del artifact["labels"], artifact["named"]  # a thousand words, and what the label says
    return {
        "label": entry.label,
        "target": entry.target,
        "artifact": artifact,
        "runner": entry.runner,
        "threads": entry.threads,
        "options": dict(entry.options),
        "probe": None if entry.probe is None else asdict(entry.probe),
    }


def _measurement(measurement: Measurement) -> dict[str, Any]:
    ratio = measurement.ratio
    return _configuration(measurement) | {
        "warm_up": {"calls": measurement.warm_up.calls, "steady": measurement.warm_up.steady},
        "summary_ms": asdict(measurement.summary),
        "is_reference": measurement.is_reference,
        "ratio_to_first": None if ratio is None else asdict(ratio) | {"verdict": verdict(ratio)},
        "energy_j": measurement.energy_j,
        "accuracy": None if measurement.accuracy is None else asdict(measurement.accuracy),
        "layers": [asdict(layer) for layer in measurement.layers],
        "failure": measurement.failure,
        "samples": {
            "rounds": list(measurement.samples.numbers),
            "starts_ns": [block.tolist() for block in measurement.samples.starts_ns],
            "durations_ns": [block.tolist() for block in measurement.samples.durations_ns],
        },
    }


def _unmeasured(entry: Unmeasured) -> dict[str, Any]:
    return _configuration(entry) | {"reason": entry.reason}
