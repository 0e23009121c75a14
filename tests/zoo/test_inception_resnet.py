"""Inception-ResNet against its references."""

from collections.abc import Callable
from functools import partial

import keras
import pytest

import keras_cnnzoo as zoo

LOGITS = {"classifier_activation": None}


@pytest.mark.slow
def test_v2_gives_timm_logits(assert_torch_parity: Callable) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    assert_torch_parity(partial(zoo.InceptionResNetV2, **LOGITS), timm.create_model("inception_resnet_v2"), 75)


def test_v1_gives_facenets_logits(assert_torch_parity: Callable) -> None:
    facenet = pytest.importorskip("facenet_pytorch", reason="facenet-pytorch is not installed")
    module = facenet.InceptionResnetV1(classify=True, num_classes=1000)
    assert_torch_parity(partial(zoo.InceptionResNetV1, **LOGITS), module, 96)


def test_keras_variant_computes_keras_applications_function(assert_keras_parity: Callable) -> None:
    shape = (75, 75, 3)
    reference = keras.applications.InceptionResNetV2(weights=None, input_shape=shape, **LOGITS)
    assert_keras_parity(zoo.InceptionResNetV2(variant="keras", input_shape=shape, **LOGITS), reference)


def test_keras_applications_has_no_v1() -> None:
    with pytest.raises(zoo.InputError, match="variant='keras'"):
        zoo.InceptionResNetV1(variant="keras")


V1 = {"stem": 192, "repeat_1": 256, "repeat_2": 896, "block8": 1792}
V2 = {"stem": 192, "repeat": 320, "repeat_1": 1088, "conv2d_7b": 1536}


@pytest.mark.parametrize(
    ("name", "widths", "options", "sides"),
    [
        ("inception_resnet_v1", V1, {}, (71, 35, 17, 8)),
        ("inception_resnet_v1", V1, {"input_shape": (160, 160, 3)}, (36, 17, 8, 3)),
        ("inception_resnet_v1", V1, {"small_input": True}, (32, 32, 15, 7)),
        ("inception_resnet_v2", V2, {}, (71, 35, 17, 8)),
        ("inception_resnet_v2", V2, {"small_input": True}, (32, 32, 15, 7)),
    ],
)
@pytest.mark.usefixtures("zero_kernels")
def test_end_points(name: str, widths: dict[str, int], options: dict, sides: tuple[int, ...]) -> None:
    model = zoo.create(name, **options)
    shapes = [model.get_layer(stage).output.shape[1:] for stage in widths]
    assert shapes == [(side, side, width) for side, width in zip(sides, widths.values(), strict=True)]


def test_branches_are_scaled_by_stage_and_the_last_neither_scaled_nor_activated() -> None:
    model = zoo.InceptionResNetV1(small_input=True)
    layers = {layer.name: layer for layer in model.layers}
    scales = {name: layer.scale for name, layer in layers.items() if name.endswith("_scaled")}
    expected = {"repeat_1": (0.17, 5), "repeat_2": (0.1, 10), "repeat_3": (0.2, 5)}
    assert scales == {f"{s}_{i}_scaled": scale for s, (scale, depth) in expected.items() for i in range(depth)}
    assert "repeat_3_4_act" in layers
    assert "block8_act" not in layers


def test_every_unit_is_gated_at_the_ratio_asked_for() -> None:
    model = zoo.InceptionResNetV1(small_input=True, se_ratio=16)
    gates = [layer.filters for layer in model.layers if layer.name.endswith("_se_fc1")]
    assert gates == [256 // 16] * 5 + [896 // 16] * 10 + [1792 // 16] * 6
    with pytest.raises(zoo.InputError, match="se_ratio=0"):
        zoo.InceptionResNetV1(se_ratio=0)
