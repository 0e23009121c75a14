"""What disturbs a measurement, as far as Linux tells: clock frequency, temperature, other processes, energy."""

import os
import time
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from .environment import text_of
from .events import Health

CPUS = Path("/sys/devices/system/cpu")
SENSORS = Path("/sys/class/thermal")
COUNTERS = Path("/sys/class/powercap")
SUPPLIES = Path("/sys/class/power_supply")
TICKS = os.sysconf("SC_CLK_TCK")


class HealthMeter:
    """Reads the machine's state; what cannot be read is None."""

    def __init__(self) -> None:
        self.last = (time.perf_counter(), _busy_seconds(), _own_seconds())

    def read(self) -> Health:
        """The state now; the load of others since the last time."""
        now = (time.perf_counter(), _busy_seconds(), _own_seconds())
        before, self.last = self.last, now
        clocks = (CPUS / f"cpu{number}" / "cpufreq" / "scaling_cur_freq" for number in os.sched_getaffinity(0))
        return Health(
            time_ns=time.time_ns(),
            frequency_mhz=_highest(clocks, 1e3),
            temperature_c=_highest(SENSORS.glob("thermal_zone*/temp"), 1e3),
            others=_others(before, now),
            pulse_ns=_pulse(),
        )


def _pulse() -> int:
    """The shortest of three goes at adding some numbers up, in nanoseconds: no cache misses, no system calls.

    Longer than before, it tells of a clock that fell, or of another tenant on the same core, which no file shows.
    """
    times = [time.perf_counter_ns()]
    for _ in range(3):
        sum(index for index in range(5000))
        times.append(time.perf_counter_ns())
    return min(end - start for start, end in pairwise(times))


def _others(before: tuple[float, float | None, float], now: tuple[float, float | None, float]) -> float | None:
    elapsed = now[0] - before[0]
    if before[1] is None or now[1] is None or elapsed < 10 / TICKS:
        return None  # the kernel counts in ticks: too coarse for less
    return round(max(0.0, (now[1] - before[1] - (now[2] - before[2])) / elapsed), 3)


def _busy_seconds() -> float | None:
    """Processor time that all processes of the machine have had."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        user, nice, system, _, _, interrupts, soft, *_ = map(int, fields)
    except (OSError, ValueError):
        return None
    return (user + nice + system + interrupts + soft) / TICKS


def _own_seconds() -> float:
    """Processor time of this process and of those that it started and that are still there."""
    own = time.process_time()
    return own + sum(map(_process_seconds, _descendants(os.getpid())))


def _descendants(process: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except (OSError, ValueError):
        return []
    return children + [further for child in children for further in _descendants(child)]


def _process_seconds(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


class EnergyMeter:
    """Joules between two readings: from the processor's counters (RAPL), else from a battery's present power."""

    def __init__(self) -> None:
        self.counters = [path for path in COUNTERS.glob("intel-rapl:[0-9]*/energy_uj") if _is_package(path.parent)]
        self.last = self._read()

    def restart(self) -> None:
        """Counts from now on."""
        self.last = self._read()

    def joules(self) -> float | None:
        """Since the last restart; None where the machine does not tell, or its counter began anew."""
        seconds, counted, watts = self._read()
        elapsed = seconds - self.last[0]
        if counted is not None and self.last[1] is not None:
            return counted - self.last[1] if counted >= self.last[1] else None
        return None if watts is None else watts * elapsed

    def _read(self) -> tuple[float, float | None, float | None]:
        """Clock in seconds, counter in joules, power in watts."""
        readings = [_number(path) for path in self.counters]
        known = [reading for reading in readings if reading is not None]
        discharging = (
            path for path in SUPPLIES.glob("*/power_now") if text_of(path.with_name("status")) == "Discharging"
        )
        power = None if known else _highest(discharging, 1e6)
        return time.perf_counter(), sum(known) / 1e6 if known else None, power


def _highest(paths: Iterable[Path], divisor: float) -> float | None:
    known = [reading for path in paths if (reading := _number(path)) is not None]
    return max(known) / divisor if known else None


def _is_package(zone: Path) -> bool:
    """A processor as a whole: its cores are zones of their own, and psys is all of the machine, it included."""
    return text_of(zone / "name").startswith("package-")


def _number(path: Path) -> float | None:
    try:
        return float(text_of(path))
    except ValueError:
        return None
