"""Where and when a measurement was made; a host's name is nobody's business."""

import os
import platform
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Environment:
    """Attributes are None where the system does not tell.

    Attributes:
        date: in UTC, ISO 8601.
        cores: that this process may use.
        load_average: runnable processes over the last minute, before the measurement.
        governor: Linux's frequency policy of the first core.
    """

    date: str
    cnnzoo: str | None
    python: str
    numpy: str
    litert: str | None
    system: str
    machine: str
    cpu: str
    cores: int
    load_average: float | None
    governor: str | None


def environment() -> Environment:
    """This machine, now."""
    return Environment(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),  # noqa: UP017  boards have Python 3.10
        cnnzoo=package_version("keras-cnnzoo"),
        python=platform.python_version(),
        numpy=np.__version__,
        litert=package_version("ai-edge-litert"),
        system=f"{platform.system()} {platform.release()}",
        machine=platform.machine(),
        cpu=cpu_model(),
        cores=available_cores(),
        load_average=round(os.getloadavg()[0], 2),
        governor=text_of(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")) or None,
    )


def available_cores() -> int:
    """Cores that this process may use, which a container or taskset makes fewer than the machine has."""
    return len(os.sched_getaffinity(0))


def cpu_model() -> str:
    """The processor's name; its architecture where Linux gives no name (most ARM boards)."""
    for line in text_of(Path("/proc/cpuinfo")).splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()


def text_of(path: Path) -> str:
    """What a file of the system says; nothing where it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def package_version(package: str) -> str | None:
    """None where it is not installed as a package, as a runtime that was built by hand is."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
