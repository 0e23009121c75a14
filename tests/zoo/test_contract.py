"""Every builder keeps keras.applications' contract, and is stricter where that is lax."""

import inspect
from pathlib import Path

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

import keras_cnnzoo as zoo
from keras_cnnzoo.registry import VARIANTS
from keras_cnnzoo.weights import state_of

from .conftest import NAMES, built, by_cost, each_family, each_family_by_cost, shape_of, side

ARGUMENTS = [
    "include_top",
    "weights",
    "input_tensor",
    "input_shape",
    "pooling",
    "classes",
    "classifier_activation",
    "name",
]
RNG = np.random.default_rng(0)


def batch(model: keras.Model, count: int = 2) -> np.ndarray:
    return RNG.standard_normal((count, *model.inputs[0].shape[1:])).astype(np.float32)


@pytest.mark.parametrize("builder", sorted({v.builder for v in VARIANTS.values()}))
def test_arguments_come_in_the_order_of_keras_applications_and_options_are_keyword_only(builder: str) -> None:
    parameters = inspect.signature(getattr(zoo, builder)).parameters.values()
    kinds = {p.name: p.kind for p in parameters}
    assert list(kinds)[: len(ARGUMENTS)] == ARGUMENTS
    assert {"features", "norm", "activation", "padding"} <= set(list(kinds)[len(ARGUMENTS) :])
    assert all(kinds[name] is inspect.Parameter.KEYWORD_ONLY for name in list(kinds)[len(ARGUMENTS) :])
    assert all(p.annotation is not inspect.Parameter.empty for p in parameters)


@pytest.mark.parametrize("builder", sorted({v.builder for v in VARIANTS.values()}))
def test_every_option_is_documented(builder: str) -> None:
    function = getattr(zoo, builder)
    doc = inspect.getdoc(function) or ""
    assert [p for p in inspect.signature(function).parameters if f"{p}:" not in doc] == []


def test_names_are_unique_without_their_separators() -> None:
    plain = [name.lower().replace("-", "").replace("_", "") for name in VARIANTS]
    assert len(set(plain)) == len(plain)


@each_family_by_cost
def test_a_model_has_the_classes_and_activation_asked_for(name: str) -> None:
    model = built(name)
    assert model.output.shape == (None, 7)
    assert model.name == name
    answers = np.asarray(model(batch(model)))
    np.testing.assert_allclose(answers.sum(-1), 1, atol=1e-5)
    logits = zoo.create(name, input_shape=shape_of(name), classifier_activation=None, classes=7)
    assert logits.get_config()["layers"][-1]["config"].get("activation", "linear") == "linear"


@each_family_by_cost
def test_without_top_the_last_stage_comes_whole_or_pooled(name: str) -> None:
    shape = shape_of(name)
    whole = zoo.create(name, include_top=False, input_shape=shape).output.shape
    assert len(whole) == 4
    for pooling in ("avg", "max"):
        assert zoo.create(name, include_top=False, pooling=pooling, input_shape=shape).output.shape == (None, whole[-1])


@each_family_by_cost
def test_height_and_width_may_be_unknown(name: str) -> None:
    model = zoo.create(name, include_top=False, pooling="avg", input_shape=(None, None, 3))
    size = side(name)
    for height, width in ((size, size), (size + 17, size + 5)):
        assert np.isfinite(np.asarray(model(RNG.standard_normal((1, height, width, 3))))).all()


@each_family_by_cost
def test_images_may_have_another_channel_count(name: str) -> None:
    assert zoo.create(name, input_shape=shape_of(name, 4)).input_shape[-1] == 4


@each_family_by_cost
def test_an_input_tensor_is_read_where_it_stands(name: str) -> None:
    image = keras.Input(shape_of(name), name="pixels")
    scaled = keras.layers.Rescaling(1 / 255)(image)
    model = zoo.create(name, input_tensor=scaled)
    assert [tensor.name for tensor in model.inputs] == ["pixels"]
    assert any(isinstance(layer, keras.layers.Rescaling) for layer in model.layers)


@each_family_by_cost
def test_features_have_the_strides_and_channels_that_info_lists(name: str) -> None:
    variant = VARIANTS[name]
    size = variant.size
    model = zoo.create(name, features=True, input_shape=(size, size, 3))
    shapes = [tuple(output.shape[1:]) for output in model.outputs]
    assert tuple(shape[-1] for shape in shapes) == variant.channels
    assert len(shapes) == len(variant.strides)
    for (height, width, _), stride in zip(shapes, variant.strides, strict=True):
        assert height == width
        assert abs(size / height - stride) < stride / 4  # "valid" stems lose a border


@each_family
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"pooling": "foo", "include_top": False}, "pooling='foo'"),
        ({"pooling": "avg"}, "include_top=False"),
        ({"classes": 0}, "classes=0"),
        ({"classes": True}, "classes=True"),
        ({"classes": 2.5}, "classes=2.5"),
        ({"classifier_activation": "swoosh"}, "classifier_activation='swoosh'"),
        ({"norm": "instance"}, "norm='instance'"),
        ({"activation": "swoosh"}, "activation='swoosh'"),
        ({"activation": "glu"}, "activation='glu'"),
        ({"padding": "valid"}, "padding='valid'"),
        ({"input_shape": (4, 4, 3)}, "expected a height and a width of at least"),
        ({"input_shape": (64, 64)}, "expected (height, width, channels)"),
        ({"input_shape": 96}, "input_shape=96: expected (height, width, channels)"),
        ({"speed": 11}, "has no option 'speed'"),
    ],
    ids=str,
)
def test_what_is_out_of_its_limits_is_refused_in_a_sentence(name: str, wrong: dict, words: str) -> None:
    with pytest.raises(zoo.InputError) as caught:
        zoo.create(name, **wrong)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("alexnet", "dropout"),
        ("densenet_bc_40_12", "drop_rate"),
        ("mobilenet_v2", "dropout"),
        ("mobilenet_v2", "drop_path"),
        ("mobilenet_v3_small", "drop_path"),
        ("resnet20", "drop_path"),
        ("squeezenet1_1", "dropout"),
        ("vgg11", "dropout"),
        ("wrn28_10", "dropout"),
    ],
)
@pytest.mark.parametrize("value", [1.0, -0.1, float("nan")])
def test_a_share_of_what_is_dropped_is_below_one(name: str, option: str, value: float) -> None:
    with pytest.raises(zoo.InputError, match=f"{option}={value}: expected a share from 0 up to, not including, 1"):
        zoo.create(name, input_shape=(64, 64, 3), **{option: value})


def test_features_are_maps_which_no_pooling_changes() -> None:
    with pytest.raises(zoo.InputError, match="pooling='avg': features=True returns maps; drop one of them"):
        zoo.create("resnet20", include_top=False, pooling="avg", features=True)


def test_a_class_count_may_be_numpy_s() -> None:
    labels = np.array([0, 4, 2])
    assert zoo.create("resnet20", classes=labels.max() + 1).output_shape == (None, 5)


@pytest.mark.parametrize("weights", ["absent.safetensors", "imagenot"])
def test_weights_that_are_not_there_are_refused_in_a_sentence(weights: str) -> None:
    with pytest.raises(zoo.InputError, match=weights):
        zoo.create("resnet20", weights=weights)


@each_family
def test_channels_first_is_refused_in_a_sentence(name: str) -> None:
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(zoo.InputError, match="channels_last only"):
            zoo.create(name)
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize(
    ("name", "norm"),
    [
        ("resnet20", "layer"),  # a single group of all channels
        *(
            pytest.param(name, norm, marks=by_cost(name).marks)
            for name in NAMES
            for norm in ("sync_batch", "group", "none")
        ),
    ],
)
def test_every_normalisation_builds_and_answers(name: str, norm: str) -> None:
    model = zoo.create(name, norm=norm, input_shape=shape_of(name), classes=7)
    kinds = {type(layer).__name__ for layer in model.layers}
    assert ("BatchNormalization" in kinds) == (norm == "sync_batch")
    assert ("GroupNormalization" in kinds) == (norm in ("group", "layer"))
    assert np.isfinite(np.asarray(model(batch(model)))).all()


@each_family_by_cost
def test_a_saved_model_comes_back_whole(name: str, tmp_path: Path) -> None:
    model = built(name)
    images = batch(model)
    expected = np.asarray(model(images))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(np.asarray(loaded(images)), expected, atol=1e-6)
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    assert loaded.count_params() == model.count_params()
    model.save_weights(tmp_path / "model.weights.h5")
    zoo.save_weights(model, tmp_path / "model.safetensors")
    for file in ("model.weights.h5", "model.safetensors"):
        other = zoo.create(name, weights=tmp_path / file, input_shape=shape_of(name), classes=7)
        np.testing.assert_allclose(np.asarray(other(images)), expected, atol=1e-6)


@each_family_by_cost
def test_weights_load_into_other_class_counts_and_channels_with_a_warning(name: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    saved = {key: RNG.standard_normal(v.shape, np.float32) for key, v in state_of(built(name)).items()}
    save_file(saved, path)

    def others(model: keras.Model) -> set[str]:
        """The layers that are not as saved."""
        state = state_of(model)
        return {key.rpartition("/")[0] for key in state if not np.array_equal(state[key], saved.get(key))}

    first, *_, classifier = (key.rpartition("/")[0] for key in saved)
    with pytest.warns(UserWarning, match="another class count"):
        assert others(zoo.create(name, weights=path, input_shape=shape_of(name), classes=5)) == {classifier}
    with pytest.warns(UserWarning, match="averaged"):
        assert others(zoo.create(name, weights=path, input_shape=shape_of(name, 1), classes=7)) == {first}
    assert others(zoo.create(name, weights=path, input_shape=shape_of(name), include_top=False)) == set()
    with pytest.raises(zoo.InputError, match="does not fit"):
        zoo.create(name, weights=path, input_shape=shape_of(name))


@pytest.mark.parametrize(
    "name", ["resnet18", "resnext29_8x64d", "inception_resnet_v1", "xception", "mobilenet_v2_x0_35", "shufflenet_v1"]
)
def test_families_with_residual_units_take_a_squeeze_and_excitation_gate(name: str) -> None:
    options = {"resnext29_8x64d": {"cardinality": 2, "width": 8}}.get(name, {"small_input": True})
    plain = zoo.create(name, classes=7, **options)
    gated = zoo.create(name, classes=7, se_ratio=4, **options)
    added = {layer.name for layer in gated.layers} - {layer.name for layer in plain.layers}
    assert len([layer for layer in added if layer.endswith("_scale")]) >= 8
    assert gated.count_params() > plain.count_params()
    with pytest.raises(zoo.InputError, match="se_ratio=0"):
        zoo.create(name, se_ratio=0, **options)


@pytest.mark.parametrize(
    ("builder", "words"), [("GoogLeNet", "torchvision's"), ("AlexNet", "one-tower"), ("VGG16", "without batch")]
)
def test_the_first_line_of_a_docstring_says_which_form_is_the_default(builder: str, words: str) -> None:
    assert words in (inspect.getdoc(getattr(zoo, builder)) or "").splitlines()[0]


def test_stages_and_logits_come_from_one_model_by_the_stages_names() -> None:
    model = zoo.ResNet20()
    both = keras.Model(model.input, [model.get_layer("layer2").output, model.output])
    assert [output.shape[1:] for output in both.outputs] == [(16, 16, 32), (10,)]
