"""Weights load by name and strictly, from every kind of file, and from none that is not one."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import keras_cnnzoo as zoo
from keras_cnnzoo.preprocessing import PRESETS
from keras_cnnzoo.weights import preprocessing_of, read_state, state_of


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return zoo.ResNet20()


@pytest.fixture
def file(model: keras.Model, tmp_path: Path) -> Path:
    zoo.save_weights(model, tmp_path / "w.safetensors", preprocessing=PRESETS["tf"])
    return tmp_path / "w.safetensors"


def changed(file: Path, **changes: np.ndarray | None) -> Path:
    """The file with "/" written "__": a tensor replaced, added, or (None) left out."""
    state = load_file(file) | {name.replace("__", "/"): value for name, value in changes.items()}
    other = file.with_name("changed.safetensors")
    save_file({name: value for name, value in state.items() if value is not None}, other)
    return other


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".weights.h5", ".keras"])
def test_every_kind_of_file_gives_back_every_variable(model: keras.Model, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix}"
    if suffix == ".keras":
        model.save(path)
    elif suffix == ".weights.h5":
        model.save_weights(path)
    else:
        zoo.save_weights(model, path)
    loaded, expected = state_of(zoo.ResNet20(weights=path)), state_of(model)
    assert loaded.keys() == expected.keys()
    assert all(np.array_equal(loaded[name], expected[name]) for name in expected)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_a_fitted_model_s_file_is_read_without_its_optimizer(suffix: str, tmp_path: Path) -> None:
    fitted = small(keras.Input((8, 8, 3)))
    fitted.compile(keras.optimizers.Adam(), "mse")
    fitted.fit(np.ones((2, 8, 8, 3)), np.ones((2, 2)), verbose=0)
    (fitted.save if suffix == ".keras" else fitted.save_weights)(tmp_path / f"w{suffix}")
    other = small(keras.Input((8, 8, 3)))
    zoo.load_weights(other, tmp_path / f"w{suffix}")
    assert all(np.array_equal(state_of(other)[name], value) for name, value in state_of(fitted).items())


def small(image: object) -> keras.Model:
    x = keras.layers.Conv2D(4, 3, name="first")(image)
    x = keras.layers.BatchNormalization(name="norm")(keras.layers.Conv2D(4, 3, name="second")(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(2, name="fc")(x), name="small")


def nested() -> keras.Model:
    return keras.Sequential([small(keras.Input((8, 8, 3))), keras.layers.Dense(3, name="answer")])


def test_every_variable_of_a_nested_model_is_saved_and_loaded(tmp_path: Path) -> None:
    model, other = nested(), nested()
    zoo.save_weights(model, tmp_path / "w.safetensors")
    zoo.load_weights(other, tmp_path / "w.safetensors")
    pairs = list(zip(model.weights, other.weights, strict=True))
    assert len(state_of(model)) == len(pairs)
    assert all(np.array_equal(a, b) for a, b in pairs)
    assert {"small/second/kernel", "answer/kernel"} < set(state_of(model))


def test_a_layer_whose_inner_variables_differ_in_name_keeps_short_names() -> None:
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="inner")], name="part")
    assert set(state_of(keras.Sequential([keras.Input((4,)), inner]))) == {"part/kernel", "part/bias"}


def test_two_variables_of_one_name_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    class Twice(keras.layers.Layer):
        def build(self, input_shape: tuple) -> None:
            self.both = [self.add_weight(name="kernel", shape=(1,)) for _ in range(2)]

        def call(self, inputs: object) -> object:
            return inputs * self.both[0] * self.both[1]

    model = keras.Sequential([keras.Input((4,)), Twice(name="twice")])
    with pytest.raises(zoo.InputError, match="two of its variables are twice/kernel; give the layers names"):
        zoo.save_weights(model, tmp_path / "w.npz")
    assert not list(tmp_path.iterdir())


def test_weights_load_behind_layers_of_the_caller_s(model: keras.Model, file: Path) -> None:
    image = keras.Input((32, 32, 1))
    coloured = keras.layers.Conv2D(3, 1, name="colours")(image)
    behind = zoo.ResNet20(input_tensor=coloured, weights=file)
    assert behind.inputs[0] is image
    kernel = behind.get_layer("conv1").kernel
    np.testing.assert_array_equal(kernel, model.get_layer("conv1").kernel)


def test_a_wrong_stem_is_no_matter_of_the_class_count(tmp_path: Path) -> None:
    zoo.save_weights(zoo.ResNet18(input_shape=(64, 64, 3), classes=3), tmp_path / "w.npz")
    with pytest.raises(
        zoo.InputError, match=r"conv1/kernel \(7.* another form .* small_input, width, variant"
    ) as error:
        zoo.ResNet18(input_shape=(64, 64, 3), classes=3, small_input=True, weights=tmp_path / "w.npz")
    assert "classes" not in str(error.value)


def test_a_file_whose_layer_numbers_no_network_has_is_refused(tmp_path: Path) -> None:
    states = {f"conv_dw_{i}/0": np.zeros((3, 3, 8, 1), np.float32) for i in (0, 14)}
    np.savez(tmp_path / "w.npz", **states)
    with pytest.raises(zoo.InputError, match="does not fit the model"):
        zoo.MobileNetV1(input_shape=(32, 32, 3), weights=tmp_path / "w.npz")


def test_a_name_that_is_nearly_a_checkpoint_s_is_told_which() -> None:
    for given, meant in (("imagnet", "imagenet"), ("torchvision:IMAGENET1K_V3", "torchvision:IMAGENET1K_V")):
        with pytest.raises(zoo.InputError, match=f"no such checkpoint of resnet50; did you mean '{meant}"):
            zoo.ResNet50(input_shape=(32, 32, 3), weights=given)


def test_a_file_knows_what_its_network_was_trained_on(file: Path) -> None:
    assert preprocessing_of(file) == PRESETS["tf"]


@pytest.mark.parametrize(
    ("said", "sentence"),
    [("torch", r"changed\.safetensors: truncated, .*broken metadata"), ('"torch"', "expected an object with the keys")],
)
def test_a_file_whose_preprocessing_is_none_is_named_in_a_sentence(file: Path, said: str, sentence: str) -> None:
    other = file.with_name("changed.safetensors")
    save_file(load_file(file), other, {"preprocessing": said})
    with pytest.raises(zoo.InputError, match=sentence):
        preprocessing_of(other)


def test_a_file_that_cannot_be_opened_is_named_in_a_sentence(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("safetensors.safe_open", refuse)
    with pytest.raises(zoo.InputError, match=r"w\.safetensors: .*Permission denied"):
        preprocessing_of(file)


def test_what_is_missing_unexpected_and_of_the_wrong_shape_is_listed(file: Path) -> None:
    wrong = changed(file, conv1__kernel=np.zeros((5, 5, 3, 16)), bn1__gamma=None, spare__kernel=np.zeros(3))
    with pytest.raises(zoo.InputError) as caught:
        zoo.ResNet20(weights=wrong)
    sentence = str(caught.value)
    assert "1 missing: bn1/gamma" in sentence
    assert "1 unexpected: spare/kernel" in sentence
    assert "1 of the wrong shape: conv1/kernel (5, 5, 3, 16) for (3, 3, 3, 16)" in sentence


def test_a_file_that_does_not_fit_changes_nothing(model: keras.Model, file: Path) -> None:
    before = state_of(model)
    with pytest.raises(zoo.InputError):
        zoo.load_weights(model, changed(file, bn1__gamma=None))
    assert all(np.array_equal(before[name], value) for name, value in state_of(model).items())


def test_only_a_class_count_that_the_caller_passed_may_differ(file: Path) -> None:
    with pytest.warns(UserWarning, match="another class count"):
        other = zoo.ResNet20(weights=file, classes=3)
    assert other.output_shape == (None, 3)
    loaded, kept = state_of(other), load_file(file)
    assert {name for name in kept if not np.array_equal(loaded[name], kept[name])} == {"linear/kernel", "linear/bias"}
    wide = changed(file, linear__kernel=np.zeros((64, 7), np.float32), linear__bias=np.zeros(7, np.float32))
    with pytest.raises(zoo.InputError, match="pass classes="):
        zoo.ResNet20(weights=wide)


def test_a_first_convolution_of_other_channels_answers_alike_to_equal_channels(file: Path, model: keras.Model) -> None:
    with pytest.warns(UserWarning, match="reads 3 channels, the model 1"):
        grey = zoo.ResNet20(weights=file, input_shape=(32, 32, 1))
    image = np.random.default_rng(0).standard_normal((1, 32, 32, 1)).astype(np.float32)
    expected = np.asarray(model(np.repeat(image, 3, -1)))
    np.testing.assert_allclose(np.asarray(grey(image)), expected, atol=1e-5)


def test_the_mean_rule_gives_every_channel_the_file_s_average(model: keras.Model, file: Path) -> None:
    for rule, factor in (("mean", 1), ("sum", 3 / 5)):
        five = zoo.ResNet20(input_shape=(32, 32, 5))
        with pytest.warns(UserWarning, match="conv1/kernel reads 3 channels, the model 5: its kernel was averaged"):
            zoo.load_weights(five, file, channels=rule)
        average = np.asarray(model.get_layer("conv1").kernel).mean(axis=2)
        kernel = np.asarray(five.get_layer("conv1").kernel)
        assert all(np.allclose(kernel[:, :, channel], factor * average, atol=1e-6) for channel in range(5))
    with pytest.raises(zoo.InputError, match="channels='max': choose one of sum, mean"):
        zoo.load_weights(zoo.ResNet20(input_shape=(32, 32, 5)), file, channels="max")  # type: ignore[arg-type]


def test_another_input_size_of_a_flattened_map_is_named_as_such(tmp_path: Path) -> None:
    options = {"variant": "keras", "classes": 3}
    small = zoo.VGG11(input_shape=(32, 32, 3), **options)
    zoo.save_weights(small, tmp_path / "w.npz")
    with pytest.raises(zoo.InputError, match=r"classifier_0/kernel .* pass the file's input_shape"):
        zoo.VGG11(input_shape=(32, 64, 3), weights=tmp_path / "w.npz", **options)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".weights.h5", ".keras"])
@pytest.mark.parametrize("content", [b"", b"a shopping list" * 20])
def test_a_foreign_file_is_named_in_a_sentence(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(zoo.InputError, match="truncated, or not a"):
        read_state(path)


def test_a_broken_compressed_file_is_named_in_a_sentence(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "w.npz", kernel=np.arange(100_000) % 251)
    content = bytearray((tmp_path / "w.npz").read_bytes())
    content[200:260] = b"\xff" * 60
    (tmp_path / "w.npz").write_bytes(content)
    with pytest.raises(zoo.InputError, match="truncated, or not a"):
        read_state(tmp_path / "w.npz")


def test_a_truncated_file_is_named_in_a_sentence(model: keras.Model, tmp_path: Path) -> None:
    for suffix in (".safetensors", ".npz"):
        path = tmp_path / f"w{suffix}"
        zoo.save_weights(model, path)
        path.write_bytes(path.read_bytes()[:-1000])
        with pytest.raises(zoo.InputError, match="truncated"):
            read_state(path)


def test_a_pickle_in_an_npz_is_not_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", a=np.array([{"x": 1}], dtype=object))
    with pytest.raises(zoo.InputError, match="truncated, or not a"):
        read_state(tmp_path / "w.npz")


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(zoo.InputError, match=r"weights are read from \.safetensors"):
        read_state(tmp_path / "w.onnx")
    with pytest.raises(zoo.InputError, match=r"written as \.safetensors or \.npz"):
        zoo.save_weights(zoo.ResNet20(), tmp_path / "w.h5")


def test_existing_weights_are_kept_without_force(model: keras.Model, file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(zoo.InputError, match="exists already"):
        zoo.save_weights(model, file, force=False)
    assert file.read_bytes() == before


def test_a_trained_reference_loads_by_its_own_names(data: Path) -> None:
    expected = json.loads((data / "expected.json").read_text())["models"]["resnet20"]
    model = zoo.ResNet20(weights=data / "weights" / "cifar_resnet20.safetensors", classifier_activation=None)
    with np.load(data / "cifar10" / "test.npz") as images:
        inputs = PRESETS["torch"](images["images"][:8])
    logits = np.array(expected["first8_test_logits"])
    assert np.abs(np.asarray(model(inputs)) - logits).max() <= 1e-4 * np.abs(logits).max()
