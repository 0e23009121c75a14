"""What cnnzoo-bench adds to what a bare interpreter loop measures, on one .tflite file.

    python benchmarks/overhead.py model.tflite [rounds]

Three loops take turns over one interpreter, in random order, a block each per round: one without a clock inside, which
is read before and after the block; one written out here that times each call; and cnnzoo-bench's. What is shown is
the ratio of the last to the other two, with its bootstrap interval over the rounds.
"""

import random
import sys
from collections.abc import Callable
from time import perf_counter_ns

import numpy as np
from conversion import where
from numpy.typing import NDArray

from keras_cnnzoo.mobile_bench import Estimate, compare
from keras_cnnzoo.mobile_bench.environment import environment
from keras_cnnzoo.mobile_bench.measure import DISCARDED, Invoke, time_block, warm_up, without_garbage_collection
from keras_cnnzoo.mobile_bench.runners.litert import LiteRTRunner

CALLS = 20
LIMIT = 1.01


def untimed_loop(invoke: Invoke) -> NDArray[np.int64]:
    """The mean duration of a call, as the only sample, in nanoseconds."""
    for _ in range(DISCARDED):
        invoke()
    start = perf_counter_ns()
    for _ in range(CALLS - DISCARDED):
        invoke()
    return np.array([(perf_counter_ns() - start) // (CALLS - DISCARDED)])


def bare_loop(invoke: Invoke) -> NDArray[np.int64]:
    durations = []
    for _ in range(CALLS):
        start = perf_counter_ns()
        invoke()
        durations.append(perf_counter_ns() - start)
    return np.array(durations[DISCARDED:])


def bench_loop(invoke: Invoke) -> NDArray[np.int64]:
    return time_block(invoke, CALLS)[1][DISCARDED:]


def bench_block(invoke: Invoke) -> NDArray[np.int64]:
    """The mean of what cnnzoo-bench measures, as the only sample: what `untimed_loop` is compared with."""
    return np.array([bench_loop(invoke).mean().round()], np.int64)


def main() -> None:
    path, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200
    invoke = LiteRTRunner(path).invoke
    warm_up(lambda calls: time_block(invoke, calls))
    loops: list[Callable[[Invoke], NDArray[np.int64]]] = [untimed_loop, bare_loop, bench_loop, bench_block]
    taken: dict[str, list[NDArray[np.int64]]] = {loop.__name__: [] for loop in loops}
    order = random.Random(0)
    with without_garbage_collection():
        for _ in range(rounds):
            for loop in order.sample(loops, len(loops)):
                taken[loop.__name__].append(loop(invoke))
    here = environment()
    print(f"{path}: p10 of the bare loop {np.quantile(np.concatenate(taken['bare_loop']), 0.1) / 1e6:.4f} ms")
    show("p10 per call, to a bare loop that times each call", compare(taken["bench_loop"], taken["bare_loop"]))
    show("median of a block, to that loop's", compare(medians(taken["bench_loop"]), medians(taken["bare_loop"])))
    show("mean of a block, to a loop without a clock inside", compare(taken["bench_block"], taken["untimed_loop"]))
    print(f"{where()}; load {here.load_average}, NumPy {here.numpy}, ai-edge-litert {here.litert}")
    print(f"{rounds} rounds of {CALLS} calls")


def medians(blocks: list[NDArray[np.int64]]) -> list[NDArray[np.float64]]:
    return [np.array([np.median(block)]) for block in blocks]


def show(what: str, ratio: Estimate) -> None:
    low, high = ratio.low or ratio.value, ratio.high or ratio.value
    word = "under 1 %" if high < LIMIT else "not shown to be under 1 %"
    print(f"  {what}: {ratio.value:.4f} [{low:.4f}, {high:.4f}]  {word}")


if __name__ == "__main__":
    main()
