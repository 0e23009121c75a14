"""What writing hard swish as a product costs an int8 network: SQNR, and top-1 where labelled images are given.

    python benchmarks/hard_swish.py mobilenet_v3_small mobilenet_v3_large
    python benchmarks/hard_swish.py mobilenet_v3_small --trained fashion_mnist --seeds 5

Without --trained weights are random, BN statistics, gammas and betas such that outputs vary, and images are noise; with
it they are those that ship in the package, and the images those of their data set. Over draws of 100 calibration images
(16 of noise): SQNR in dB of what varies between the images, and the paired difference in top-1 in points with its 95 %
interval.
"""

from typing import Annotated, Any

import numpy as np
import typer

WAYS = {"operator": "none", "product": "hard-swish"}


def main(
    networks: list[str],
    size: Annotated[int, typer.Option(help="Height and width of noise.")] = 96,
    trained: Annotated[str | None, typer.Option(help="The data set of weights in the package.")] = None,
    images: Annotated[int, typer.Option(help="Of its test set.")] = 10_000,
    seeds: Annotated[int, typer.Option(help="Draws of calibration images.")] = 2,
) -> None:
    from keras_cnnzoo.export.verify import correct, paired_difference

    print("| network | draw | operator dB | product dB | top-1 operator, product | difference |\n" + "|---" * 6 + "|")
    for network in networks:
        model = _model(network, size, trained)
        tests, labels, draws = _noise(size, seeds) if trained is None else _images(trained, images, seeds)
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


def _model(network: str, size: int, trained: str | None) -> Any:
    import keras

    from keras_cnnzoo.by_name import create
    from keras_cnnzoo.export.sweep import calibrate, pictures

    if trained is not None:
        return create(network, weights=trained, classifier_activation=None)
    keras.utils.set_random_seed(0)
    model = create(network, classifier_activation=None, input_shape=(size, size, 3))
    calibrate(model, pictures(8, (size, size, 3), seed=0))
    return model


def _noise(size: int, seeds: int) -> tuple[np.ndarray, None, list[np.ndarray]]:
    """Images, no labels, and `seeds` draws of calibration images."""
    from keras_cnnzoo.export.sweep import pictures

    tests, *draws = (pictures(16, (size, size, 3), 1 + i) for i in range(1 + seeds))
    return tests, None, draws


def _images(trained: str, count: int, seeds: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Test images, their labels, and `seeds` draws of calibration images."""
    from keras_cnnzoo.preprocessing import PRESETS
    from keras_cnnzoo.training import Arrays, dataset

    spec, data = PRESETS["torch"], dataset(trained)
    assert isinstance(data.train, Arrays)
    assert isinstance(data.test, Arrays)
    draws = [spec(data.train.pixels[100 * i : 100 * (i + 1)]) for i in range(seeds)]
    return spec(data.test.pixels[:count]), data.test.labels[:count], draws


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
