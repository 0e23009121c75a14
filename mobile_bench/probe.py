"""What a model costs a process of its own, which also takes the blow where a corrupt file crashes a runtime.

python -m keras_cnnzoo.mobile_bench.probe < order.json    # of one configuration
"""

import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import InputError
from .order import Configuration, Order

CALLS = 5  # enough for the memory to reach its peak
TIMEOUT_SECONDS = 300

Cost = dict[str, str | int | float | bool | None]
"""In a fresh process: "peak_bytes", resident memory that loading and calling added at its highest, weights and some
of the runtime's own code included (None where Linux does not tell); "load_ns" until the model was ready; "first_ns",
the first call."""


def probe(configuration: Configuration, *, seed: int = 0) -> tuple[Cost, dict[str, Any]]:
    """Loads and calls the model in a fresh process: its cost, and what its runner says of itself.

    Raises:
        InputError: the runner refuses the file, crashes on it, or does not come back.
    """
    path, runner = configuration.artifact, configuration.runner
    order = Order((configuration,), seed=seed).to_json()
    command = [sys.executable, *([] if getattr(sys.flags, "safe_path", True) else ["-P"]), "-m", __name__]
    try:
        done = subprocess.run(
            command, input=order, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{path}: {runner} did not load and run it within {TIMEOUT_SECONDS} s") from error
    if done.returncode == -signal.SIGKILL:
        raise InputError(f"{path}: the system killed {runner} while loading it; it needs more memory than there is")
    if done.returncode < 0:
        raise InputError(f"{path}: {runner} crashed while loading it; the file is corrupt")
    if done.returncode > 0:
        raise RuntimeError(f"its probe failed: {done.stderr[-2000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    if "refused" in answer:
        raise InputError(answer["refused"])
    return answer["cost"], answer["description"]


def cost(configuration: Configuration, seed: int) -> dict[str, Any]:
    """What this process pays to load and call a model: right in a fresh process only."""
    from .runners import OTHER_PROCESSES, check, import_software, open_runner

    check(configuration)
    import_software(configuration.runner)  # its own size is not the model's
    before = _peak_bytes()
    start = time.perf_counter_ns()
    runner = open_runner(configuration, seed=seed)
    loaded = time.perf_counter_ns()
    runner.invoke()
    first = time.perf_counter_ns()
    for _ in range(CALLS - 1):
        runner.invoke()
    after = _peak_bytes(reset=False)
    elsewhere = configuration.runner in OTHER_PROCESSES
    peak = None if elsewhere or before is None or after is None else after - before
    description = runner.describe()
    runner.close()
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


def main() -> None:
    """Prints the cost, or {"refused": why}, as one line of JSON."""
    order = Order.from_json(sys.stdin.read())
    (configuration,) = order.configurations
    try:
        result = cost(configuration, order.seed)
    except InputError as error:
        result = {"refused": str(error)}
    except (ImportError, MemoryError, ValueError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())
        result = {
            "refused": f"{configuration.artifact}: {configuration.runner} refuses it ({reason}); "
            "the file is corrupt, or needs another runtime"
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
