"""What tfmot trained keeps its promise in the file: integers alone, two of four, a share of zeros, a few values."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnnzoo import InputError
from keras_cnnzoo.export import Calibration, to_tflite, train_aware
from keras_cnnzoo.export.calibration import by_tensor
from keras_cnnzoo.export.card import Card, card_path
from keras_cnnzoo.export.compress.aware import PACKAGES, Trained, card_section, require_packages, without_batch_norm
from keras_cnnzoo.export.compress.methods import METHODS
from keras_cnnzoo.export.contents import parse, require_integer
from keras_cnnzoo.export.graph import Graph, from_keras
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.origin import Origin
from keras_cnnzoo.layers import (
    AdaptiveAverage2D,
    ChannelPad,
    ChannelShuffle,
    ChannelSplit,
    GroupedConv2D,
    LocalResponseNorm,
)
from keras_cnnzoo.preprocessing import PRESETS

from .conftest import calibrated

pytestmark = pytest.mark.skipif(
    not all(map(find_spec, PACKAGES)), reason="tfmot is absent: install keras-cnnzoo[train-aware]"
)
SIZE, CLASSES, COUNT, CLUSTERS = (8, 8, 3), 4, 256, 8


def to_tf_keras(graph: Graph) -> Any:
    """The bridge, loaded where tfmot is there."""
    require_packages()
    from keras_cnnzoo.export.compress import bridge

    return bridge.to_tf_keras(graph)


def own_layers() -> keras.Model:
    """Every layer that Keras lacks, and the activations on which Keras 3 and tf_keras differ."""
    image = keras.Input((9, 9, 8), name="image")
    x = ChannelShuffle(4)(GroupedConv2D(8, 3, strides=2, padding="same", groups=2)(LocalResponseNorm(k=1.0)(image)))
    first, second = ChannelSplit()(layers.Activation("hard_sigmoid")(x))
    x = ChannelPad(1, 3)(layers.Concatenate()([layers.Activation("hard_silu")(second), first]))
    return keras.Model(image, layers.Activation("relu6")(AdaptiveAverage2D(2)(x)))


@pytest.fixture(scope="module")
def mobilenet(some_images: np.ndarray) -> keras.Model:
    from keras_cnnzoo import create

    keras.utils.set_random_seed(0)
    model = create("mobilenet_v3_small", input_shape=(32, 32, 3), classes=10, classifier_activation=None)
    return calibrated(model, some_images)


@pytest.mark.parametrize("network", ["resnet", "shufflenet", "mobilenet"])
def test_a_network_answers_in_tf_keras_as_in_keras_3(
    network: str, request: pytest.FixtureRequest, some_images: np.ndarray
) -> None:
    model, images = request.getfixturevalue(network), some_images[:8]
    bridged = to_tf_keras(from_keras(model))
    expected, answers = np.asarray(model(images)), np.asarray(bridged.model(images))
    assert np.ptp(expected, axis=0).max() > 0.1 * np.abs(expected).max()
    np.testing.assert_allclose(answers, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    kernel = next(w for w in bridged.model.trainable_weights if len(w.shape) == 4)
    kernel.assign(np.flip(np.array(kernel), 0))  # a wrong weight would be seen
    assert np.abs(np.asarray(bridged.model(images)) - expected).max() > 1e-3 * np.abs(expected).max()


def test_our_own_layers_answer_in_tf_keras_as_in_keras_3() -> None:
    model = own_layers()
    images = np.random.default_rng(0).standard_normal((4, 9, 9, 8)).astype(np.float32)
    bridged = to_tf_keras(from_keras(model))
    np.testing.assert_allclose(np.asarray(bridged.model(images)), np.asarray(model(images)), rtol=0, atol=1e-5)


def test_weights_come_back_by_name(network: keras.Model) -> None:
    graph = from_keras(network)
    bridged = to_tf_keras(graph)
    for layer in bridged.model.layers:
        layer.set_weights([w + 1 for w in layer.get_weights()])
    for name, node in bridged.graph(graph).nodes.items():
        for ours, theirs in zip(node.weights, graph.nodes[name].weights, strict=True):
            np.testing.assert_allclose(ours, theirs + 1)


def test_a_layer_called_twice_is_refused_by_name() -> None:
    image, shared = keras.Input((4, 4, 2)), layers.Conv2D(2, 1, name="shared")
    with pytest.raises(InputError, match="shared: it is called twice"):
        to_tf_keras(from_keras(keras.Model(image, shared(shared(image)))))


@pytest.fixture(scope="module")
def pictures() -> tuple[np.ndarray, np.ndarray]:
    """Four classes of noisy patterns."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, COUNT)
    patterns = rng.standard_normal((CLASSES, *SIZE))
    return (patterns[labels] + 0.7 * rng.standard_normal((COUNT, *SIZE))).astype(np.float32), labels


@pytest.fixture(scope="module")
def network(pictures: tuple[np.ndarray, np.ndarray]) -> keras.Model:
    """A residual unit with BN, a depthwise and a grouped convolution, trained to tell the patterns apart."""
    keras.utils.set_random_seed(0)
    image = keras.Input(SIZE, name="image")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv")(image)
    x = layers.ReLU(6.0, name="relu")(layers.BatchNormalization(name="bn")(x))
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    y = layers.Activation("sigmoid", name="gate")(layers.BatchNormalization(name="bn_depthwise")(y))
    x = layers.Multiply(name="gated")([x, y])
    x = layers.Activation("relu", name="relu_grouped")(GroupedConv2D(8, 3, groups=2, name="grouped")(x))
    model = keras.Model(image, layers.Dense(CLASSES, name="logits")(layers.Flatten(name="flat")(x)), name="small")
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(True), jit_compile=False)
    model.fit(*pictures, epochs=8, verbose=0, shuffle=False)
    return model


def trained_by(method: str, network: keras.Model, pictures: tuple[np.ndarray, np.ndarray]) -> Trained:
    return train_aware(
        network, *pictures, method=method, epochs=2, batch=32, augment=False, clusters=CLUSTERS, learning_rate=0.01
    )


@pytest.fixture(scope="module")
def pruned(network: keras.Model, pictures: tuple[np.ndarray, np.ndarray]) -> Trained:
    return trained_by("prune-2:4+qat", network, pictures)


@pytest.fixture(scope="module")
def clustered(network: keras.Model, pictures: tuple[np.ndarray, np.ndarray]) -> Trained:
    return trained_by("cluster+qat", network, pictures)


@pytest.fixture(scope="module")
def both(network: keras.Model, pictures: tuple[np.ndarray, np.ndarray]) -> Trained:
    return trained_by("prune+cluster", network, pictures)


def exported(trained: Trained, images: np.ndarray, path: Path) -> bytes:
    int8 = trained.ranges is not None
    to_tflite(
        trained.model,
        path,
        quantize="int8" if int8 else "float32",
        calibration=Calibration(images, "test") if int8 else None,
        learned=trained.ranges,
        lower="none",
        origin=Origin(training=card_section(trained)),
    )
    return path.read_bytes()


@pytest.fixture(scope="module")
def pruned_file(
    pruned: Trained, pictures: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("pruned") / "pruned.tflite"
    exported(pruned, pictures[0], path)
    return path


def kernels(content: bytes) -> dict[str, np.ndarray]:
    """(filters, height, width, channels) integers or reals of each kernel, by layer."""
    model = parse(content)
    graph, found = model.subgraphs[0], {}
    for tensor in graph.tensors:
        if tensor.name.endswith(b"/kernel"):
            dtype = {0: np.float32, 9: np.int8}[tensor.type]
            values = np.frombuffer(bytes(model.buffers[tensor.buffer].data), dtype)
            found[tensor.name.decode().removesuffix("/kernel")] = values.reshape(tensor.shape)
    return found


def accuracy(answers: np.ndarray, labels: np.ndarray) -> float:
    return float((answers.argmax(-1) == labels).mean())


def test_two_of_four_input_channels_are_zero_in_the_int8_file_and_no_operator_is_float(
    pruned: Trained, pruned_file: Path, network: keras.Model, pictures: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = pictures
    content = pruned_file.read_bytes()
    require_integer(content)
    assert pruned.sparsity.keys() == {"grouped", "logits"}  # the stem's three channels are no four
    for name in pruned.sparsity:
        fours = kernels(content)[name].reshape(-1, 4)
        assert ((fours != 0).sum(1) <= 2).all()
        assert (fours != 0).any()
    assert not ((kernels(content)["conv"] == 0).mean() > 0.3)
    card = Card.read(card_path(pruned_file))
    assert card.model["training"]["method"] == "prune-2:4+qat"
    assert card.model["training"]["sparsity"]["grouped"] == 0.5
    assert accuracy(LiteRT(content)(images)[0], labels) > accuracy(np.asarray(network(images)), labels) - 0.1


def test_the_int8_file_answers_like_the_network_that_was_trained_for_it(
    pruned: Trained, pruned_file: Path, pictures: tuple[np.ndarray, np.ndarray]
) -> None:
    images, _ = pictures
    expected = np.asarray(pruned.model(images))
    answers = LiteRT(pruned_file.read_bytes())(images)[0]
    assert 10 * np.log10(np.square(expected).sum() / np.square(expected - answers).sum()) > 20


def test_learned_ranges_reach_the_file(pruned: Trained, pruned_file: Path) -> None:
    assert pruned.ranges is not None
    graph = parse(pruned_file.read_bytes()).subgraphs[0]
    scales = {t.name.decode(): t.quantization.scale for t in graph.tensors if t.quantization is not None}
    for layer, tensor in (("gated", "gated"), ("relu_grouped", "grouped"), ("logits", "logits")):  # one is fused
        low, high = pruned.ranges[layer]
        assert float(scales[tensor][0]) == pytest.approx((high - low) / 255, rel=0.01)


def test_a_kernel_has_a_few_values_and_a_channel_of_the_int8_file_no_more(
    clustered: Trained, pictures: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    assert clustered.clusters.keys() == {"conv", "grouped", "logits"}
    for name, values in clustered.clusters.items():
        kernel = clustered.model.get_layer(name).get_weights()[0]
        assert 2 <= len(np.unique(kernel)) == values <= CLUSTERS
    content = exported(clustered, pictures[0], tmp_path / "clustered.tflite")
    require_integer(content)
    for name in clustered.clusters:
        assert all(len(np.unique(channel)) <= CLUSTERS for channel in kernels(content)[name])


def test_learned_ranges_and_two_of_four_reach_the_onnx_file(
    pruned: Trained, network: keras.Model, pictures: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    from keras_cnnzoo.export import to_onnx
    from keras_cnnzoo.export.onnx.runtime import OnnxRuntime

    images, labels = pictures
    path = tmp_path / "qdq.onnx"
    to_onnx(pruned.model, path, quantize="int8", calibration=images, learned=pruned.ranges)
    model = onnx.load(path)
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    kernels = [values for values in constants.values() if values.dtype == np.int8 and values.ndim == 4]
    assert any(((k.swapaxes(1, -1).reshape(-1, 4) != 0).sum(1) <= 2).all() for k in kernels if k.shape[1] % 4 == 0)
    scales = [float(values) for values in constants.values() if values.dtype == np.float32 and values.size == 1]
    assert pruned.ranges is not None
    low, high = pruned.ranges["gated"]  # what the grouped convolution reads
    assert any(scale == pytest.approx(max(-low, high) / 127, rel=0.01) for scale in scales)
    answers = OnnxRuntime(path.read_bytes())(images)[0]
    assert accuracy(answers, labels) > accuracy(np.asarray(network(images)), labels) - 0.1


def test_clusters_and_zeros_stand_together_in_the_float_file(
    both: Trained, pictures: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    found = kernels(exported(both, pictures[0], tmp_path / "both.tflite"))
    for name in both.clusters:
        assert len(np.unique(found[name])) <= CLUSTERS
        assert (found[name] == 0).mean() >= 0.45
    assert both.ranges is None


def test_a_range_of_a_fused_activation_is_the_layer_s_before_it(network: keras.Model) -> None:
    graph = without_batch_norm(network)
    known = {"conv": (0.0, 1.0), "gated": (0.0, 1.0)}
    assert by_tensor({"relu": (0.0, 5.0), "gated": (0.0, 2.0), "other": (0.0, 9.0)}, graph, known) == {
        "conv": (0.0, 5.0),
        "gated": (0.0, 2.0),
    }


def test_keras_3_stays_keras_3(clustered: Trained) -> None:
    assert "TF_USE_LEGACY_KERAS" not in os.environ
    assert isinstance(clustered.model, keras.Model)
    assert keras.version().startswith("3.")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": "magic"}, "choose one of qat, prune"),
        ({"method": "prune+cluster+qat", "epochs": 2}, "3 stages"),
        ({"batch": 1000}, "do not fill one batch of 1000"),
        ({"sparsity": 1.0}, "above 0 and below 1"),
        ({"clusters": 2}, "3 to 256"),
        ({"learning_rate": -1.0}, "above 0"),
        ({"labels": np.full(COUNT, CLASSES)}, f"labels run from 4 to 4 but the model has {CLASSES} classes"),
        ({"labels": np.zeros(3, int)}, "256 images but 3 labels"),
        ({"images": np.zeros((COUNT, 9, 9, 3), np.float32)}, r"the images are \(9, 9, 3\)"),
        ({"images": np.full((COUNT, *SIZE), np.nan, np.float32)}, "NaN"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_sentence(
    change: dict, words: str, network: keras.Model, pictures: tuple[np.ndarray, np.ndarray]
) -> None:
    given = {"images": pictures[0], "labels": pictures[1], "method": "qat"} | change
    images, labels = given.pop("images"), given.pop("labels")
    with pytest.raises(InputError, match=words):
        train_aware(network, images, labels, **given)


def test_a_loss_that_is_no_number_stops_and_says_where(
    network: keras.Model, pictures: tuple[np.ndarray, np.ndarray]
) -> None:
    broken = keras.models.clone_model(network)
    broken.get_layer("logits").set_weights([np.full((288, CLASSES), np.nan), np.zeros(CLASSES)])
    with pytest.raises(InputError, match="epoch 1, step 1: the loss is nan"):
        train_aware(broken, *pictures, method="float", epochs=1, batch=32)


def test_a_missing_package_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, network: keras.Model, pictures: tuple[np.ndarray, np.ndarray]
) -> None:
    monkeypatch.setattr("keras_cnnzoo.export.compress.aware.PACKAGES", ("no_such_package",))
    with pytest.raises(InputError, match=r"no_such_package: pip install 'keras-cnnzoo\[train-aware\]'"):
        train_aware(network, *pictures, method="qat")


def test_the_command_trains_exports_and_verifies(
    network: keras.Model, pictures: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras_cnnzoo.export.cli import app

    images = np.clip(pictures[0] * 32 + 128, 0, 255).astype(np.uint8)
    np.savez(tmp_path / "train.npz", images=images, labels=pictures[1], classes=np.array(list("abcd")))
    network.save(tmp_path / "small.keras")
    line = ["train-aware", tmp_path / "small.keras", "--data", tmp_path / "train.npz", "--preprocess", "torch"]
    line += ["--method", "qat", "--epochs", 1, "--batch", 64, "--verify", tmp_path / "train.npz", "--no-augment"]
    line += ["--save", tmp_path / "kept.keras", "-o", tmp_path / "out", "--quiet"]
    app(list(map(str, line)), standalone_mode=False)
    card = Card.read(tmp_path / "out" / "small_qat_int8.tflite.json")
    assert card.model["training"]["method"] == "qat"
    assert card.labels == list("abcd")
    assert card.verification is not None
    assert card.verification["images"] == COUNT
    require_integer((tmp_path / "out" / "small_qat_int8.tflite").read_bytes())
    assert keras.saving.load_model(tmp_path / "kept.keras").output_shape == (None, CLASSES)
    with pytest.raises(InputError, match="exists already"):
        app(list(map(str, line)), standalone_mode=False)
    with pytest.raises(InputError, match="qat trains for int8"):
        app([*map(str, line), "--quantize", "float16", "--force"], standalone_mode=False)


@pytest.fixture
def by_class(network: keras.Model, pictures: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> list[str]:
    """A line that trains a network on pictures sorted by class, and the files that it names."""
    order = np.argsort(pictures[1], kind="stable")
    images = np.clip(pictures[0] * 32 + 128, 0, 255).astype(np.uint8)
    np.savez(tmp_path / "sorted.npz", images=images[order], labels=pictures[1][order])
    (tmp_path / "three.txt").write_text("a\nb\nc\n")
    network.save(tmp_path / "small.keras")
    line = ["train-aware", tmp_path / "small.keras", "--data", tmp_path / "sorted.npz", "--preprocess", "torch", "-q"]
    return [*map(str, line)]


def untrained(model: keras.Model, images: np.ndarray, labels: np.ndarray, *, method: str, **how: Any) -> Trained:
    recipe = {"epochs": 1, "images": len(images)}
    return Trained(model, method, None, {}, {}, recipe)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--method prune --verify absent.npz -o out", "absent.npz: expected a folder"),
        ("--method prune --labels absent.txt -o out", "absent.txt: not a readable list"),
        ("--method prune --labels {}/three.txt -o out", "3 names, but small answers 4 classes"),
        ("--method prune --to onnx --quantize int16 -o out", "quantize='int16': choose one of float32"),
        ("--method prune --to onnx --quantize dynamic -o out", "quantize='dynamic': choose one of float32"),
        ("--method qat --inputs int16 -o out", "a file of int8 takes int8, uint8, float32"),
        ("--method qat --to onnx --inputs uint8 -o out", "--inputs uint8 is of .tflite files"),
        ("--method qat --to onnx -o out/x.tflite", "an ONNX file's name ends in .onnx"),
        ("--method qat -o out/x.onnx", "a TFLite file's name ends in .tflite"),
    ],
)
def test_what_could_not_be_written_is_refused_before_the_training(
    by_class: list[str], line: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras_cnnzoo.export.cli import app

    def trains(*arguments: Any, **options: Any) -> Trained:
        raise AssertionError("it trains")

    monkeypatch.setattr("keras_cnnzoo.export.compress.aware.train_aware", trains)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        app([*by_class, *line.replace("{}", str(tmp_path)).split()], standalone_mode=False)
    assert words in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("classes", "names", "expected"),
    [
        ("abcd", "dcba", [3, 2, 1, 0]),
        ("abcd", None, [0, 1, 2, 3]),
        ("abcd", "wxyz", [0, 1, 2, 3]),
        ("abc", "wxyz", None),
    ],
)
def test_pictures_are_of_the_classes_that_labels_name(
    by_class: list[str],
    classes: str,
    names: str | None,
    expected: list[int] | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from keras_cnnzoo.export.cli import app

    seen: list[np.ndarray] = []

    def trains(model: keras.Model, images: np.ndarray, labels: np.ndarray, **how: Any) -> Trained:
        seen.append(labels)
        raise InputError("seen")

    arrays = dict(np.load(tmp_path / "sorted.npz"))
    few = arrays["labels"] < len(classes)
    content = {"images": arrays["images"][few], "labels": arrays["labels"][few], "classes": list(classes)}
    np.savez(tmp_path / "sorted.npz", **content)  # type: ignore[arg-type]
    monkeypatch.setattr("keras_cnnzoo.export.compress.aware.train_aware", trains)
    line = [*by_class, "--method", "prune", "-o", str(tmp_path / "out")]
    if names is not None:
        (tmp_path / "names.txt").write_text("\n".join(names))
        line += ["--labels", str(tmp_path / "names.txt")]
    with pytest.raises(InputError, match="seen" if expected else r"holds 3 classes but small answers 4"):
        app(line, standalone_mode=False)
    if expected:  # drawn in another order, so counted
        counts = np.bincount(content["labels"], minlength=4)
        assert np.bincount(seen[0], minlength=4).tolist() == [counts[expected.index(place)] for place in range(4)]


@pytest.mark.parametrize("scheme", ["int16", "int4"])
def test_every_scheme_of_integers_is_calibrated(
    by_class: list[str], scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras_cnnzoo.export.cli import app

    monkeypatch.setattr("keras_cnnzoo.export.compress.aware.train_aware", untrained)
    monkeypatch.setattr("keras_cnnzoo.export.cli.train_aware.COUNT", 16)
    app([*by_class, "--method", "prune", "--quantize", scheme, "-o", str(tmp_path)], standalone_mode=False)
    card = Card.read(tmp_path / f"small_prune_{scheme}.tflite.json")
    assert card.quantization["calibration"] == {"source": "sorted.npz", "count": 16, "random": False}
    assert card.inputs[0]["dtype"] == ("int16" if scheme == "int16" else "int8")


def test_calibration_images_are_drawn_from_all_classes(
    by_class: list[str], pictures: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras_cnnzoo.export.cli import app

    seen: list[np.ndarray] = []

    def to_tflite(model: keras.Model, path: Path, *, calibration: Calibration, **options: Any) -> None:
        seen.append(calibration.inputs)
        raise InputError("seen")

    monkeypatch.setattr("keras_cnnzoo.export.compress.aware.train_aware", untrained)
    monkeypatch.setattr("keras_cnnzoo.export.tflite.to_tflite", to_tflite)
    monkeypatch.setattr("keras_cnnzoo.export.cli.train_aware.COUNT", 32)
    with pytest.raises(InputError, match="seen"):
        app([*by_class, "--method", "prune", "--quantize", "int8", "-o", str(tmp_path)], standalone_mode=False)
    images = PRESETS["torch"](np.load(tmp_path / "sorted.npz")["images"])
    labels = np.sort(pictures[1])
    found = {int(labels[np.argmin(np.abs(images - image).sum((1, 2, 3)))]) for image in seen[0]}
    assert found == set(range(CLASSES))


def test_every_method_is_named_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    from keras_cnnzoo.export.cli import app

    with pytest.raises(SystemExit):
        app(["train-aware", "--help"])
    shown = "".join(capsys.readouterr().out.split())
    assert all(method in shown for method in METHODS)
    assert "cnnzoo-exporttrain-aware" in shown
