"""Networks are found by name, options by the builder's signature."""

import pytest

import keras_cnnzoo as zoo
from keras_cnnzoo.options import typed_options
from keras_cnnzoo.registry import builder_of


def test_names_ignore_case_hyphens_and_underscores() -> None:
    assert zoo.info("ResNet-50").name == zoo.info("RESNET_50").name == "resnet50"
    assert zoo.info("ShuffleNetV2-x0_5").name == "shufflenet_v2_x0_5"


def test_patterns_list_names() -> None:
    assert "shufflenet_v2_x1_0" in zoo.list_models("shuffle*")
    assert zoo.list_models("VGG-1[1-6]") == ["vgg11", "vgg13", "vgg16"]
    assert zoo.list_models("nothing*") == []
    assert len(zoo.list_models()) > 10


def test_an_unknown_name_gets_the_nearest_offered() -> None:
    with pytest.raises(zoo.InputError, match=r"did you mean .*resnet50"):
        zoo.info("resnet5O")
    with pytest.raises(zoo.InputError, match="`cnnzoo list` shows them all"):
        zoo.info("zzzzzzzz")


def test_create_gives_the_builder_s_model_under_the_registry_s_name() -> None:
    model = zoo.create("shufflenet_v2_x0_5", input_shape=(64, 64, 3))
    assert model.name == "shufflenet_v2_x0_5"
    assert zoo.create("resnet20", name="mine").name == "mine"


@pytest.mark.parametrize(
    ("setting", "option", "value"),
    [
        ("classes=10", "classes", 10),
        ("include_top=false", "include_top", False),
        ("pooling=none", "pooling", None),
        ("norm=none", "norm", "none"),
        ("input_shape=96,96,3", "input_shape", (96, 96, 3)),
        ("input_shape=none,none,1", "input_shape", (None, None, 1)),
        ("shortcut=B", "shortcut", "B"),
        ("shortcut=none", "shortcut", "none"),
        ("se_ratio=none", "se_ratio", None),
    ],
)
def test_a_setting_has_the_type_of_the_builder_s_argument(setting: str, option: str, value: object) -> None:
    assert typed_options(builder_of("resnet20"), [setting], "resnet20") == {option: value}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("classes", "write key=value"),
        ("clases=3", "did you mean 'classes'"),
        ("classes=3.5", "expected int"),
        ("include_top=maybe", "expected true or false"),
        ("shortcut=Z", "expected one of A, B, C"),
        ("input_shape=96", "expected numbers like 96,96,3"),
        ("weights=w.npz", "has no option 'weights'"),
        ("classes={[]:1}", "expected int"),
        ("classes=" + "-" * 100_000 + "1", "expected int"),
        ("classes=" + "(" * 10_000, "expected int"),
    ],
)
def test_a_wrong_setting_is_refused_in_a_sentence(setting: str, words: str) -> None:
    with pytest.raises(zoo.InputError, match=words):
        typed_options(builder_of("resnet20"), [setting], "resnet20")
