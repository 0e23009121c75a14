"""What writing hard swish as a product costs an int8 network: SQNR, and top-1 where labelled images are given.

    python benchmarks/hard_swish.py mobilenet_v3_small mobilenet_v3_large
    python benchmarks/hard_swish.py mobilenet_v3_small --weights W.weights.h5 --options '{"classes": 10}' --size 32 \\
        --data cifar10 --seeds 5

`--data` is a folder with train.npz and test.npz (uint8 images, labels), prepared as for torchvision. Without it weights
are random, BN statistics, gammas and betas such that outputs vary, and images are noise. Over draws of 100 calibration
images (16 of noise): SQNR in dB of what varies between the images, and the paired difference in top-1 in points with
its 95 % interval.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

WAYS = {"operator": "none", "product": "hard-swish"}


def main(
    networks: list[str],
    size: int = 96,
    weights: Path | None = None,
    options: Annotated[str, typer.Option(help="Of the builder, as JSON.")] = "{}",
    data: Path | None = None,
    images: Annotated[int, typer.Option(help="Of the test set.")] = 2000,
    seeds: int = 2,
) -> None:
    from keras_cnnzoo.export.verify import correct, paired_difference

    print("| network | draw | operator dB | product dB | top-1 operator, product | difference |\n" + "|---" * 6 + "|")
    for network in networks:
        model = _model(network, size, weights, json.loads(options))
        tests, labels, draws = _images(size, data, images, seeds)
        expected = np.concatenate([np.asarray(model(tests[i : i + 100])) for i in range(0, len(tests), 100)])
        for draw, calibration in enumerate(draws):
            answers = {way: _answers(model, passes, calibration, tests) for way, passes in WAYS.items()}
            cells = [f"{_varying(expected, answers[way]):.2f}" for way in WAYS]
            if labels is not None:
                right = [correct(answers[way], labels) for way in WAYS]
                mean, (low, high) = paired_difference(right[1], right[0])
                cells += [f"{100 * right[0].mean():.2f}, {100 * right[1].mean():.2f}"]
                cells += [f"{mean:+.2f} ({low:+.2f} to {high:+.2f})"]
            print(f"| {network} | {draw} | {' | '.join(cells)} |", flush=True)


def _model(network: str, size: int, weights: Path | None, options: dict[str, Any]) -> Any:
    import keras

    from keras_cnnzoo.export.sweep import calibrate, pictures
    from keras_cnnzoo.registry import create

    keras.utils.set_random_seed(0)
    model = create(network, classifier_activation=None, input_shape=(size, size, 3), **options)
    if weights is None:
        calibrate(model, pictures(8, (size, size, 3), seed=0))
    else:
        model.load_weights(weights)
    return model


def _images(size: int, data: Path | None, count: int, seeds: int) -> tuple[np.ndarray, np.ndarray | None, list[Any]]:
    """Test images, their labels, and `seeds` draws of calibration images."""
    from keras_cnnzoo.export.sweep import pictures
    from keras_cnnzoo.preprocessing import PRESETS

    if data is None:
        return pictures(16, (size, size, 3), 1), None, [pictures(16, (size, size, 3), 2 + i) for i in range(seeds)]
    spec, train, test = PRESETS["torch"], np.load(data / "train.npz"), np.load(data / "test.npz")
    draws = [spec(train["images"][100 * i : 100 * (i + 1)]) for i in range(seeds)]
    return spec(test["images"][:count]), test["labels"][:count], draws


def _answers(model: Any, passes: str, calibration: np.ndarray, tests: np.ndarray) -> np.ndarray:
    from keras_cnnzoo.export.calibration import Calibration
    from keras_cnnzoo.export.graph import from_keras
    from keras_cnnzoo.export.interpreter import LiteRT
    from keras_cnnzoo.export.lowering.guard import lower_under
    from keras_cnnzoo.export.lowering.passes import choose
    from keras_cnnzoo.export.tflite import emitted

    graph = lower_under(from_keras(model), choose(passes, "int8")).graph
    return LiteRT(emitted(graph, "int8", Calibration(calibration, "a draw")))(tests)[0]


def _varying(expected: np.ndarray, answers: np.ndarray) -> float:
    from keras_cnnzoo.export.lowering.accuracy import sqnr

    return sqnr(expected - expected.mean(0), answers - expected.mean(0))


if __name__ == "__main__":
    typer.run(main)
