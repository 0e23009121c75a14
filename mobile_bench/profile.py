"""Time by operator, taken in a process of its own: a profiler slows what it watches, and may crash.

python -m keras_cnnzoo.mobile_bench.profile < order.json    # of one configuration
"""

import json
import subprocess
import sys
from dataclasses import asdict

from ..errors import InputError
from .order import Configuration, Order

RUNS = 30
TIMEOUT_SECONDS = 300


def profile(configuration: Configuration) -> list[dict[str, str | float]]:
    """Operators in the order in which they ran, each a `runners.Layer` as an object.

    Raises:
        InputError: the runner has no profiler, or it failed; a sentence.
    """
    subject = f"{configuration.artifact}: no profile by operator"
    command = [sys.executable, "-P", "-m", __name__]
    order = Order((configuration,)).to_json()
    try:
        done = subprocess.run(
            command, input=order, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
        answer = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, IndexError, ValueError) as error:
        raise InputError(f"{subject}; the profiler of {configuration.runner} did not survive it") from error
    if "refused" in answer:
        raise InputError(f"{subject}; {answer['refused']}")
    layers: list[dict[str, str | float]] = answer["layers"]
    return layers


def main() -> None:
    """Prints the layers, or {"refused": why}, as one line of JSON."""
    from .runners import open_runner

    (configuration,) = Order.from_json(sys.stdin.read()).configurations
    try:
        taken = getattr(open_runner(configuration), "profile", None)
        if taken is None:
            raise InputError(f"the runner {configuration.runner} has no profiler")
        result: dict[str, object] = {"layers": [asdict(layer) for layer in taken(RUNS)]}
    except (InputError, ImportError, ValueError, RuntimeError, OSError, KeyError) as error:
        result = {"refused": " ".join(str(error).split())}
    print(f"\n{json.dumps(result)}")


if __name__ == "__main__":
    main()
