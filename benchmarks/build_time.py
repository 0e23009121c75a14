"""The time to build ResNet152, beside keras.applications', and what listing the networks loads.

    python benchmarks/build_time.py [rounds]

The two take turns in one process; what is shown is the median over rounds of each, and of their ratio.
"""

import sys
import time
from collections.abc import Callable

import keras
import numpy as np
from conversion import where
from start_up import loaded

import keras_cnnzoo as zoo


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    builders = (lambda: keras.applications.ResNet152(weights=None), zoo.ResNet152)
    for build in builders:  # what the first call alone pays: imports, TensorFlow's start
        _seconds(build)
    seconds = np.array([[_seconds(build) for build in builders] for _ in range(rounds)])
    theirs, ours = np.median(seconds, axis=0)
    ratio = np.median(seconds[:, 1] / seconds[:, 0])
    heavy = loaded("import keras_cnnzoo; keras_cnnzoo.list_models()")
    print("| what | keras.applications | keras_cnnzoo | ratio, at most 1.3 |\n|---|---|---|---|")
    print(f"| build ResNet152 | {theirs:.2f} s | {ours:.2f} s | {ratio:.2f} |")
    print(f"| heavy modules that `import keras_cnnzoo; keras_cnnzoo.list_models()` loads | | {heavy} | |")
    print(f"\n{where()}; keras {keras.__version__} on {keras.backend.backend()}")


def _seconds(build: Callable[[], keras.Model]) -> float:
    keras.backend.clear_session()
    start = time.perf_counter()
    build()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
