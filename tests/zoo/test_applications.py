"""keras.applications' files, read by name into our networks, give its answers; and the table tells what it tells."""

import importlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

import keras_cnnzoo as zoo
from keras_cnnzoo import InputError
from keras_cnnzoo.weights import read_state
from keras_cnnzoo.weights.catalogue import Checkpoint, checkpoint, checkpoints

from .conftest import TOLERANCE, calibrate, mutate, parity, pictures

LOGITS: dict[str, Any] = {"classifier_activation": None}
SLOW = pytest.mark.slow


@dataclass(frozen=True)
class Twin:
    """A network of both libraries."""

    theirs: str
    ours: str
    size: int
    theirs_options: dict[str, Any] = field(default_factory=dict)

    def reference(self) -> keras.Model:
        build = getattr(keras.applications, self.theirs)
        model = build(weights=None, input_shape=(self.size, self.size, 3), **LOGITS, **self.theirs_options)
        rng = np.random.default_rng(0)
        for layer in model.layers:  # fresh biases are 0, and any mistake in them would pass
            if isinstance(layer, keras.layers.Conv2D) and layer.use_bias:
                layer.bias.assign(rng.normal(0, 0.1, layer.bias.shape))
        if not any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers):
            widen(model)
        calibrate(model)
        return model

    def read(self, path: Path, **options: Any) -> keras.Model:
        options = {"variant": "keras", "input_shape": (self.size, self.size, 3)} | options
        return zoo.create(self.ours, weights=path, **LOGITS, **options)


def widen(model: keras.Model) -> None:
    """He's variance in place of Glorot's: without norms, sixteen layers of the latter leave nothing but the biases."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
            inputs, outputs = layer.kernel.shape[-2:]
            layer.kernel.assign(layer.kernel * (1 + outputs / inputs) ** 0.5)


V3 = {"include_preprocessing": False}
SMALL = Twin("MobileNetV3Small", "mobilenet_v3_small", 64, V3)
RESNET = Twin("ResNet50", "resnet50", 64)
MOBILE = Twin("MobileNet", "mobilenet_v1_x0_25", 64, {"alpha": 0.25})
TWINS = [
    RESNET,
    MOBILE,
    SMALL,
    Twin("MobileNetV2", "mobilenet_v2_x0_35", 64, {"alpha": 0.35}),
    Twin("InceptionV3", "inception_v3", 96),
    pytest.param(
        Twin("MobileNetV3Large", "mobilenet_v3_large_minimalistic", 64, V3 | {"minimalistic": True}), marks=SLOW
    ),
    pytest.param(Twin("MobileNetV3Large", "mobilenet_v3_large", 64, V3), marks=SLOW),
    pytest.param(Twin("DenseNet121", "densenet121", 64), marks=SLOW),
    pytest.param(Twin("ResNet50V2", "resnet50_v2", 64), marks=SLOW),
    pytest.param(Twin("Xception", "xception", 96), marks=SLOW),
    pytest.param(Twin("InceptionResNetV2", "inception_resnet_v2", 96), marks=SLOW),
    pytest.param(Twin("VGG16", "vgg16", 32), marks=SLOW),
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Twin], tuple[Path, np.ndarray]]:
    """A network of keras.applications in a .h5 file, and its logits of four pictures; each made once."""
    made: dict[str, tuple[Path, np.ndarray]] = {}

    def make(twin: Twin) -> tuple[Path, np.ndarray]:
        if twin.ours not in made:
            model = twin.reference()
            path = tmp_path_factory.mktemp("h5") / f"{twin.ours}.h5"
            model.save(path)
            made[twin.ours] = path, answers(model, twin.size)
        return made[twin.ours]

    return make


def answers(model: keras.Model, size: int) -> np.ndarray:
    output = np.asarray(keras.ops.convert_to_numpy(model(pictures(4, (size, size, 3), seed=1), training=False)))
    return output.reshape(4, -1)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.ours)
def test_an_h5_of_keras_applications_gives_its_logits(twin: Twin, saved: Callable) -> None:
    path, expected = saved(twin)
    model = twin.read(path)
    assert parity(expected, answers(model, twin.size)) <= TOLERANCE
    mutate(model)
    assert parity(expected, answers(model, twin.size)) > TOLERANCE, "a swapped kernel went unnoticed"


def test_resnet_s_biases_fold_into_the_means_of_a_network_without_them(saved: Callable) -> None:
    path, expected = saved(RESNET)
    model = RESNET.read(path, variant="torch", stride_on="1x1")
    assert model.get_layer("layer1_0_conv1").bias is None
    assert parity(expected, answers(model, RESNET.size)) <= TOLERANCE


@pytest.mark.parametrize("twin", [RESNET, SMALL], ids=lambda twin: twin.ours)
def test_another_function_refuses_the_file_though_every_shape_agrees(twin: Twin, saved: Callable) -> None:
    with pytest.raises(InputError, match="built by other conventions; give variant='keras'"):
        twin.read(saved(twin)[0], variant="torch")


def test_files_of_older_versions_name_layers_with_slashes(saved: Callable, tmp_path: Path) -> None:
    path, expected = saved(SMALL)
    old = tmp_path / "old.h5"
    with h5py.File(path) as source, h5py.File(old, "w") as target:
        weights, names = source["model_weights"], []
        for name in weights.attrs["layer_names"]:
            name = name.decode() if isinstance(name, bytes) else name
            names.append(re.sub(r"^conv", "Conv", name).replace("_bn", "/BatchNorm").replace("conv_", "conv/", 1))
            group = target.require_group(names[-1])
            found = [weights[name][key][()] for key in weights[name].attrs["weight_names"]]
            group.attrs["weight_names"] = [f"{number}:0" for number in range(len(found))]
            for number, value in enumerate(found):
                group[f"{number}:0"] = value
        target.attrs["layer_names"] = names
    assert "Conv/BatchNorm" in names
    assert parity(expected, answers(SMALL.read(old), SMALL.size)) <= TOLERANCE


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_keras_own_forms_of_the_same_network_are_read(suffix: str, tmp_path: Path) -> None:
    reference, path = MOBILE.reference(), tmp_path / f"mobile{suffix}"
    (reference.save_weights if suffix == ".weights.h5" else reference.save)(path)
    assert parity(answers(reference, 64), answers(MOBILE.read(path), 64)) <= TOLERANCE


def test_a_file_of_another_network_is_refused(saved: Callable) -> None:
    with pytest.raises(InputError, match=r"does not fit the model: .* missing"):
        Twin("", "mobilenet_v1", 64).read(saved(SMALL)[0])


def test_a_keras_file_that_names_code_is_refused(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    x = keras.layers.Lambda(lambda pixels: pixels / 255)(keras.layers.Conv2D(4, 3, name="conv1")(image))
    keras.Model(image, x).save(tmp_path / "lambda.keras")
    with pytest.raises(InputError, match=r"holds Lambda .* it is not loaded"):
        read_state(tmp_path / "lambda.keras")

    class Own(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x

    keras.Model(image, Own()(keras.layers.Conv2D(4, 3)(image))).save(tmp_path / "own.keras")
    with pytest.raises(InputError, match=r"holds Own .* it is not loaded"):
        read_state(tmp_path / "own.keras")


def test_a_keras_file_of_our_own_layers_is_read(tmp_path: Path) -> None:
    model = zoo.ShuffleNetV2(width=0.5, input_shape=(32, 32, 3), classes=5)
    model.save(tmp_path / "ours.keras")
    again = zoo.ShuffleNetV2(width=0.5, input_shape=(32, 32, 3), classes=5, weights=tmp_path / "ours.keras")
    assert np.array_equal(answers(model, 32), answers(again, 32))


# the table

OURS = [row for row in checkpoints() if row.origin == "keras.applications"]


def family_of(row: Checkpoint) -> str:
    """keras.applications' module that a row's network is built in."""
    family = re.match(r"vgg1\d|resnet|inception_v3|inception_resnet_v2|xception|mobilenet_v\d|densenet", row.network)[0]
    return family.replace("_v1", "")


@pytest.mark.parametrize("row", OURS, ids=lambda row: f"{row.network}-{row.name}")
def test_the_table_has_keras_applications_address_and_hash(row: Checkpoint) -> None:
    pytest.importorskip("keras.src.applications", reason="this Keras keeps its sources elsewhere")
    module = importlib.import_module(f"keras.src.applications.{family_of(row)}")
    source = re.sub(r'"\s*f?"', "", inspect.getsource(module))  # neighbouring literals are one
    assert row.url.rpartition("/")[0].rpartition("keras-applications/")[2] in source
    assert row.variant == "keras"
    if row.hash == "server":
        assert "file_hash" not in source
    else:
        assert row.hash.removeprefix("md5:") in source


@pytest.mark.parametrize("row", OURS, ids=lambda row: f"{row.network}-{row.name}")
def test_the_table_s_preprocessing_is_keras_applications(row: Checkpoint) -> None:
    module = "resnet_v2" if re.fullmatch(r"resnet\d+_v2", row.network) else family_of(row)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 3, 3), np.uint8)
    # MobileNetV3 has it in its graph, where V3 above leaves it out
    theirs = getattr(keras.applications, module.replace("mobilenet_v3", "mobilenet_v2"))
    np.testing.assert_allclose(row.preprocessing(pixels), theirs.preprocess_input(pixels), atol=1e-4)


def test_mobilenet_v3_s_top_1_is_its_documentation_s() -> None:
    table = keras.applications.MobileNetV3Large.__doc__
    rows = [row for row in OURS if row.network.startswith("mobilenet_v3")]
    assert rows
    for row in rows:
        theirs = row.network.replace("_x0_75", "_0.75") if "x0" in row.network else f"{row.network}_1.0"
        assert re.search(rf"{theirs}_224 *\|[^|]*\|[^|]*\| *{row.top1} ", table)


def test_the_file_s_address_is_what_keras_applications_would_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def get_file(fname: str, origin: str, **options: Any) -> None:
        asked.append(origin)
        raise InterruptedError

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    with pytest.raises(InterruptedError):
        keras.applications.MobileNet(alpha=0.25, input_shape=(128, 128, 3))
    with pytest.raises(InterruptedError):
        keras.applications.MobileNetV2(alpha=0.35, input_shape=(96, 96, 3))
    first = checkpoint("keras.applications:imagenet_128", "mobilenet_v1_x0_25")
    assert asked == [first.url, checkpoint("keras.applications:imagenet_96", "mobilenet_v2_x0_35").url]


def test_create_chooses_the_variant_that_a_checkpoint_needs(monkeypatch: pytest.MonkeyPatch, saved: Callable) -> None:
    path, expected = saved(SMALL)
    monkeypatch.setattr("keras_cnnzoo.weights.load.fetch_shown", lambda row: path)
    model = zoo.create("mobilenet_v3_small", weights="keras.applications", input_shape=(64, 64, 3), **LOGITS)
    assert parity(expected, answers(model, 64)) <= TOLERANCE
    with pytest.raises(InputError, match="build it with variant='keras'"):
        zoo.MobileNetV3Small(weights="keras.applications", input_shape=(64, 64, 3))
