"""Runs a model through TFLite-Micro: a program of its own, since a small arena crashes it.

    python micro_process.py model.tflite inputs.npz outputs.npz NUMBER_OF_OUTPUTS ARENA_BYTES

Inputs and outputs are arrays by index, as "0", each with one more dimension in front: that of the runs. What
TFLite-Micro thinks of the model, and how much of the arena it used, stands on standard error.
"""

import sys

import numpy as np


def main() -> None:
    from tflite_micro import runtime

    model, inputs_file, outputs_file, outputs, arena = sys.argv[1:]
    interpreter = runtime.Interpreter.from_file(model, arena_size=int(arena))
    with np.load(inputs_file) as archive:
        inputs = [archive[str(index)] for index in range(len(archive.files))]
    results: dict[str, list[np.ndarray]] = {str(index): [] for index in range(int(outputs))}
    for run in range(len(inputs[0])):
        for index, values in enumerate(inputs):
            interpreter.set_input(values[run], index)
        interpreter.invoke()
        for name, taken in results.items():
            taken.append(np.array(interpreter.get_output(int(name))))
    np.savez(outputs_file, **{name: np.stack(taken) for name, taken in results.items()})  # type: ignore[arg-type]
    interpreter.print_allocations()


if __name__ == "__main__":
    main()
