"""Runs a .tflite file through LiteRT; as a program, tells what that costs a process of its own, as JSON.

The file stands alone (numpy and ai-edge-litert apart), so that any Python can run it on any machine:

    python -P litert.py model.tflite 1 0    # threads, seed of the input
"""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CALLS = 5  # of the program: enough for the memory to reach its peak


class LiteRTRunner:
    """A model with random inputs set, ready to be called.

    Attributes:
        interpreter: LiteRT's, with tensors allocated.
        invoke: runs the model once; LiteRT's own function, nothing around it.

    Raises:
        ValueError, RuntimeError: LiteRT refuses the file, or it takes inputs that are not numbers.
    """

    def __init__(self, path: str | os.PathLike, *, threads: int = 1, seed: int = 0) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with _native_log_discarded():
            self.interpreter = Interpreter(model_path=str(path), num_threads=threads)
            self.interpreter.allocate_tensors()
        rng = np.random.default_rng(seed)
        for detail in self.interpreter.get_input_details():
            self.interpreter.set_tensor(detail["index"], random_input(detail["shape"], detail["dtype"], rng))
        self.invoke = self.interpreter.invoke

    def operators(self) -> dict[str, Any]:
        """The model's operators and what the XNNPACK delegate made of them.

        Returns:
            "operators": count by type; "undelegated": count by type of those that run outside the delegate;
            "partitions": pieces that the delegate runs, best 1.
        """
        nodes = self.interpreter._get_ops_details()  # LiteRT has no public way
        delegates = [node for node in nodes if node["op_name"] == "DELEGATE"]
        originals = [node for node in nodes if node["op_name"] != "DELEGATE"]
        taken = set().union(*(_replaced(delegate, originals) for delegate in delegates))
        return {
            "operators": _histogram(originals),
            "undelegated": _histogram(node for node in originals if node["index"] not in taken),
            "partitions": len(delegates),
        }


def random_input(shape: NDArray[np.int32], dtype: type, rng: np.random.Generator) -> NDArray:
    """Standard normal floats, 8-bit integers over their whole range, other integers from 0 to 127, true and false."""
    kind: np.dtype[Any] = np.dtype(dtype)
    if kind.kind == "f":
        return rng.standard_normal(shape).astype(kind)
    if kind in (np.int8, np.uint8):
        limits = np.iinfo(kind)
        return rng.integers(limits.min, limits.max, shape, kind, endpoint=True)
    if kind.kind in "iub":
        return rng.integers(0, 2 if kind.kind == "b" else 128, shape).astype(kind)
    raise ValueError(f"it takes an input of type {kind}, only numbers can be made up")


def _histogram(nodes: Any) -> dict[str, int]:
    return dict(Counter(node["op_name"] for node in nodes).most_common())


def _replaced(delegate: dict[str, Any], originals: list[dict[str, Any]]) -> set[int]:
    """Indices of the operators that stand between a delegate's inputs and its outputs."""
    producer = {tensor: node for node in originals for tensor in node["outputs"]}
    inputs, wanted, found = set(delegate["inputs"]), list(delegate["outputs"]), set()
    while wanted:
        tensor = wanted.pop()
        node = producer.get(tensor)
        if node is not None and tensor not in inputs and node["index"] not in found:
            found.add(node["index"])
            wanted.extend(node["inputs"])
    return found


@contextmanager
def _native_log_discarded() -> Iterator[None]:
    """LiteRT announces its delegate on file descriptor 2, whatever the log level."""
    sys.stderr.flush()
    kept, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(sink)


def cost(path: str, *, threads: int, seed: int) -> dict[str, Any]:
    """What this process pays to load and call a model: right in a fresh process only.

    Returns:
        "peak_bytes": resident memory added at its highest, weights included (None where Linux does not tell);
        "load_ns": until tensors are allocated; "first_ns": the first call; and LiteRTRunner.operators().
    """
    import ai_edge_litert.interpreter  # noqa: F401  # its own size is not the model's

    before = _peak_bytes()
    start = time.perf_counter_ns()
    runner = LiteRTRunner(path, threads=threads, seed=seed)
    loaded = time.perf_counter_ns()
    runner.invoke()
    first = time.perf_counter_ns()
    for _ in range(CALLS - 1):
        runner.invoke()
    after = _peak_bytes(reset=False)
    peak = None if before is None or after is None else after - before
    return {"peak_bytes": peak, "load_ns": loaded - start, "first_ns": first - loaded, **runner.operators()}


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
    path, threads, seed = sys.argv[1:]
    try:
        result = cost(path, threads=int(threads), seed=int(seed))
    except (ImportError, MemoryError, ValueError, RuntimeError) as error:
        result = {"refused": str(error)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
