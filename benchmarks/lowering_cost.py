"""What lowering adds to an export: time of the passes and of their guard, and memory for weights.

    python benchmarks/lowering_cost.py [mobilenet_v2 resnet50 ...] [--repeats 5] [--images 100]

Exports to float32 and to int8 (calibrated with so many images of noise, 224x224) in turn. "passes" and "guard" (the
Keras model's answers for one or two inputs, and the lowered graph's) are repeated after each export, and shares of the
rest of its time; the median over repeats, and the least and greatest.
"copies": the most that was allocated at once while the passes ran, in units of the network's weights.
"""

import statistics
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Annotated, Any

import typer

SIZE = 224
Shares = tuple[float, float]  # of the passes, of the guard


def main(
    networks: Annotated[list[str], typer.Argument(help="Names of the registry.")] = ["mobilenet_v2", "resnet50"],  # noqa: B006
    repeats: Annotated[int, typer.Option(help="Exports of each.")] = 5,
    images: Annotated[int, typer.Option(help="For the calibration of int8.")] = 100,
) -> None:
    from keras_cnnzoo.by_name import create
    from keras_cnnzoo.export.calibration import Calibration

    data = Calibration.noise(images, (SIZE, SIZE, 3))
    models = {name: create(name, classifier_activation=None) for name in networks}
    shares: dict[tuple[str, str], list[Shares]] = {(n, s): [] for n in networks for s in ("float32", "int8")}
    for _ in range(repeats):
        for (name, scheme), found in shares.items():
            found.append(exported(models[name], scheme, data))
    print("| network | scheme | passes | guard | copies of the weights |\n" + "|---" * 5 + "|")
    for (name, scheme), found in shares.items():
        cells = [_percent([share[index] for share in found]) for index in (0, 1)]
        print(f"| {name} | {scheme} | {' | '.join(cells)} | {copies(models[name], scheme):.2f} |")


def exported(model: Any, scheme: Any, data: Any) -> Shares:
    """Time of the passes and of the guard by that of all else in one export."""
    from keras_cnnzoo.export import to_tflite
    from keras_cnnzoo.export.graph import from_keras
    from keras_cnnzoo.export.lowering.guard import lower_under
    from keras_cnnzoo.export.lowering.parity import Parity
    from keras_cnnzoo.export.lowering.passes import choose

    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        to_tflite(model, Path(folder) / "a.tflite", quantize=scheme, calibration=data)
    total = time.perf_counter() - start
    graph = from_keras(model)
    start = time.perf_counter()
    lowered = lower_under(graph, choose("auto", scheme)).graph
    passes = time.perf_counter() - start
    Parity.of(model, None if scheme == "float32" else data)(graph, lowered)
    guard = time.perf_counter() - start - passes
    rest = total - passes - guard
    return passes / rest, guard / rest


def copies(model: Any, scheme: Any) -> float:
    """The most bytes allocated at once by the passes, by the bytes of the weights."""
    from keras_cnnzoo.export.graph import from_keras
    from keras_cnnzoo.export.lowering.guard import lower_under
    from keras_cnnzoo.export.lowering.passes import choose

    graph = from_keras(model)
    weights = sum(w.nbytes for node in graph.nodes.values() for w in node.weights)
    tracemalloc.start()
    lowered = lower_under(graph, choose("auto", scheme))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert lowered.graph.nodes
    return peak / weights


def _percent(shares: list[float]) -> str:
    return f"{statistics.median(shares):.1%} ({min(shares):.1%} to {max(shares):.1%})"


if __name__ == "__main__":
    typer.run(main)
