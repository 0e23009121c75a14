"""How long the command-line tools take to answer, and that they load neither tensorflow nor keras for it.

python benchmarks/start_up.py [rounds]
"""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

COMMANDS = (["cnnzoo", "--help"], ["cnnzoo", "list"], ["cnnzoo-export", "--help"], ["cnnzoo-bench", "--help"])
MODULES = {"cnnzoo": "cli", "cnnzoo-export": "export.cli", "cnnzoo-bench": "mobile_bench.cli"}
HEAVY = {"tensorflow", "keras", "jax", "torch"}


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    scripts = Path(sys.executable).parent
    print("| command | median s | heavy modules |\n|---|---|---|")
    for name, *arguments in COMMANDS:
        seconds = []
        for _ in range(rounds):
            start = time.perf_counter()
            subprocess.run([scripts / name, *arguments], capture_output=True, check=True)
            seconds.append(time.perf_counter() - start)
        heavy = loaded(f"sys.argv = {[name, *arguments]!r}; from keras_cnnzoo.{MODULES[name]} import main; main()")
        print(f"| {' '.join([name, *arguments])} | {np.median(seconds):.2f} | {heavy} |")


def loaded(code: str) -> str:
    """The heavy modules of a process that ran some code, however that ended, in words."""
    code = f"import sys, atexit; atexit.register(lambda: print('MODULES', *sys.modules)); {code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return ", ".join(sorted(HEAVY.intersection(done.stdout.rpartition("MODULES")[2].split()))) or "none"


if __name__ == "__main__":
    main()
