"""The zoo's networks in int8 run as one delegate partition, and the passes cost a trained network no accuracy."""

from pathlib import Path

import numpy as np
import pytest

from keras_cnnzoo.by_name import create
from keras_cnnzoo.export.calibration import Calibration
from keras_cnnzoo.export.emit import without_rule
from keras_cnnzoo.export.graph import from_keras
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.lowering.guard import lower_under
from keras_cnnzoo.export.lowering.lint import lint
from keras_cnnzoo.export.lowering.passes import choose
from keras_cnnzoo.export.sweep import calibrate, pictures
from keras_cnnzoo.export.tflite import emitted
from keras_cnnzoo.export.verify import correct, paired_difference
from keras_cnnzoo.preprocessing import PRESETS
from keras_cnnzoo.registry import list_models

# partitions do not depend on the size, but for an adaptive pool, which these have: of 7x7 it is none
SMALLEST = {"inception": 96, "googlenet": 96, "xception": 96, "alexnet": 224, "vgg": 224}


def lowered_file(name: str) -> tuple[bytes, list[str]]:
    size = next((size for start, size in SMALLEST.items() if name.startswith(start)), 64)
    model = create(name, classifier_activation=None, input_shape=(size, size, 3))
    images = pictures(4, (size, size, 3), seed=0)
    calibrate(model, images)  # a fresh network's activations vanish, and XNNPACK refuses scales that far apart
    graph = lower_under(from_keras(model), choose("auto", "int8")).graph
    if without_rule(graph):
        pytest.skip(f"{name}: no rule for {without_rule(graph)[0].op}")
    nearest = emitted(graph, "int8", Calibration(images, "noise"), learned={})  # no search for clips: that is quick
    return nearest, list(graph.nodes)


QUICK, SLOW = ("shufflenet_v1", "shufflenet_v2_x0_5"), ("mobilenet_v3_small", "resnet18_v2")
MARKS = dict.fromkeys(QUICK, ()) | dict.fromkeys(SLOW, pytest.mark.slow)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=MARKS.get(name, pytest.mark.nightly)) for name in list_models()]
)
def test_an_int8_file_of_the_zoo_is_one_delegate_partition(name: str) -> None:
    content, layers = lowered_file(name)
    found = lint(content, layers)
    assert [finding for finding in found.findings if finding.splits] == []
    assert found.partitions == 1


@pytest.mark.slow
def test_the_passes_cost_a_trained_network_no_int8_accuracy(data: Path) -> None:
    """CIFAR-10 ResNet-20, trained: with every pass, hard swish's and those that auto leaves out too."""
    spec = PRESETS["torch"]
    train, test = np.load(data / "cifar10" / "train.npz"), np.load(data / "cifar10" / "test.npz")
    model = create("resnet20", weights=str(data / "weights" / "cifar_resnet20.safetensors"), classifier_activation=None)
    calibration, labels = Calibration(spec(train["images"][:100]), "train"), test["labels"][:2000]
    right = []
    for passes in ("none", "auto,hard-swish,wide-groups,subsample,average-pool"):
        graph = lower_under(from_keras(model), choose(passes, "int8")).graph
        answers = LiteRT(emitted(graph, "int8", calibration))(spec(test["images"][:2000]))[0]
        right.append(correct(answers, labels))
    assert right[0].mean() > 0.75
    _, (_, high) = paired_difference(right[1], right[0])
    assert high >= 0
