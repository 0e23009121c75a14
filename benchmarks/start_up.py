"""How long the command-line tools take to answer, and that they load neither tensorflow nor keras for it.

python benchmarks/start_up.py [rounds]
"""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

COMMANDS = (["cnnzoo", "--help"], ["cnnzoo", "list"], ["cnnzoo-export", "--help"], ["cnnzoo-bench", "--help"])
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
        heavy = loaded(name, arguments) & HEAVY
        print(f"| {' '.join([name, *arguments])} | {np.median(seconds):.2f} | {', '.join(sorted(heavy)) or 'none'} |")


def loaded(name: str, arguments: list[str]) -> set[str]:
    """The modules of a process that answered a command."""
    module = {"cnnzoo": "cli", "cnnzoo-export": "export.cli", "cnnzoo-bench": "mobile_bench.cli"}[name]
    code = (
        f"import sys, atexit; sys.argv = {[name, *arguments]!r}; "
        "atexit.register(lambda: print('MODULES', *sys.modules)); "
        f"from keras_cnnzoo.{module} import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return set(done.stdout.rpartition("MODULES")[2].split())


if __name__ == "__main__":
    main()
