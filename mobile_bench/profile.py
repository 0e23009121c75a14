"""Time by operator, taken in a process of its own: a profiler slows what it watches, and may crash."""

from contextlib import closing
from dataclasses import asdict
from typing import Any

from ..errors import InputError
from .child import CrashError, answer, ask
from .order import Configuration, Order

RUNS = 30


def profile(configuration: Configuration) -> list[dict[str, str | float]]:
    """Operators in the order in which they ran, each a `runners.Layer` as an object.

    Raises:
        InputError: the runner has no profiler, or it failed; a sentence.
    """
    from .runners import RUNNERS

    runner, subject = configuration.runner, f"{configuration.artifact}: no profile by operator"
    try:
        layers: list[dict[str, str | float]] = ask(
            __name__, Order((configuration,)).to_json(), seconds=RUNNERS[runner].patience
        )["layers"]
    except (TimeoutError, CrashError) as error:
        raise InputError(
            f"{subject}: the profiler of {runner} did not survive it; measure without --profile"
        ) from error
    except (InputError, RuntimeError) as error:
        raise InputError(f"{subject}: {error}") from error
    return layers


def layers(order: dict[str, Any]) -> dict[str, Any]:
    """What a runner's profiler says, in this process."""
    from .runners import open_runner

    (configuration,) = Order.from_fields(order).configurations
    with closing(open_runner(configuration)) as runner:
        taken = getattr(runner, "profile", None)
        if taken is None:
            raise InputError(f"the runner {configuration.runner} has no profiler; litert and onnxruntime have one")
        return {"layers": [asdict(layer) for layer in taken(RUNS)]}


if __name__ == "__main__":
    answer(layers)
