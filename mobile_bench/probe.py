"""What a model costs a process of its own, which also takes the blow where a corrupt file crashes a runtime."""

import signal
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import InputError
from .child import CrashError, answer, ask
from .order import Configuration, Order

CALLS = 5  # enough for the memory to reach its peak

Cost = dict[str, str | int | float | bool | None]
"""In a fresh process: "peak_bytes", resident memory that loading and calling added at its highest, weights and some
of the runtime's own code included (None where Linux does not tell); "load_ns" until the model was ready; "first_ns",
the first call."""


def probe(configuration: Configuration, *, seed: int = 0) -> tuple[Cost, dict[str, Any]]:
    """Loads and calls the model in a fresh process: its cost, and what its runner says of itself.

    Raises:
        InputError: the runner refuses the file, crashes on it, or does not come back.
    """
    from .runners import RUNNERS

    path, runner = configuration.artifact, configuration.runner
    seconds = RUNNERS[runner].patience
    try:
        told = ask(__name__, Order((configuration,), seed=seed).to_json(), seconds=seconds)
    except TimeoutError as error:
        raise InputError(
            f"{path}: {runner} did not load and run it within {seconds} s; leave it out, or name another --runner"
        ) from error
    except CrashError as error:
        raise InputError(f"{path}: {_death(runner, error)}") from error
    except RuntimeError as error:
        raise InputError(
            f"{path}: {runner} refuses it ({error}); the file is corrupt, or needs another runtime"
        ) from error
    return told["cost"], told["description"]


def _death(runner: str, error: CrashError) -> str:
    if error.signal == signal.SIGKILL:
        return f"the system killed {runner} while loading it; it needs more memory than there is"
    if error.signal:
        return f"{runner} crashed while loading it; the file is corrupt"
    return f"{runner} failed on it in an unforeseen way ({error})"


def cost(order: dict[str, Any]) -> dict[str, Any]:
    """What this process pays to load and call a model: right in a fresh process only."""
    from .runners import OTHER_PROCESSES, check, import_software, open_runner

    (configuration,) = (asked := Order.from_fields(order)).configurations
    check(configuration)
    import_software(configuration.runner)  # its own size is not the model's
    before = _peak_bytes()
    start = time.perf_counter_ns()
    with closing(open_runner(configuration, seed=asked.seed)) as runner:
        loaded = time.perf_counter_ns()
        runner.invoke()
        first = time.perf_counter_ns()
        for _ in range(CALLS - 1):
            runner.invoke()
        after = _peak_bytes(reset=False)
        description = runner.describe()
    elsewhere = configuration.runner in OTHER_PROCESSES
    peak = None if elsewhere or before is None or after is None else after - before
    times = (loaded - start, first - loaded) if description.timed else (None, None)  # a simulator's are none
    return {
        "cost": {"peak_bytes": peak, "load_ns": times[0], "first_ns": times[1]},
        "description": asdict(description),
    }


def _peak_bytes(*, reset: bool = True) -> int | None:
    """The largest resident size of this process so far; `reset` makes it start from the present size."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), None)


if __name__ == "__main__":
    answer(cost)
