"""Runs a model through TFLite-Micro: a program of its own, since a small arena crashes it.

    python micro_process.py model.tflite inputs.npz outputs.npz NUMBER_OF_OUTPUTS ARENA_BYTES

Inputs and outputs are arrays in order, as numpy.savez names them, each with one more dimension in front: that of the
runs. What TFLite-Micro thinks of the model, and how much of the arena it used, stands on standard error.
"""

import sys

import numpy as np


def main() -> None:
    from tflite_micro import runtime

    model, inputs_file, outputs_file, outputs, arena = sys.argv[1:]
    interpreter = runtime.Interpreter.from_file(model, arena_size=int(arena))
    with np.load(inputs_file) as archive:
        inputs = [archive[f"arr_{index}"] for index in range(len(archive.files))]
    results: list[list[np.ndarray]] = [[] for _ in range(int(outputs))]
    for run in range(len(inputs[0])):
        for index, values in enumerate(inputs):
            interpreter.set_input(values[run], index)
        interpreter.invoke()
        for index, taken in enumerate(results):
            taken.append(np.array(interpreter.get_output(index)))
    np.savez(outputs_file, *(np.stack(taken) for taken in results))
    interpreter.print_allocations()


if __name__ == "__main__":
    main()
