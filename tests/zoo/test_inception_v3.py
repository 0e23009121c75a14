"""Inception v3 against its references."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import keras_cnnzoo as zoo

LOGITS = {"classifier_activation": None}


@pytest.fixture
def torchvision_inception() -> Any:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    return models.inception_v3(weights=None, init_weights=False)


def test_torchvision_weights_give_torchvision_logits(torchvision_inception: Any, assert_torch_parity: Callable) -> None:
    assert_torch_parity(partial(zoo.InceptionV3, **LOGITS), torchvision_inception, 96)


def test_auxiliary_head_and_small_stem_give_torchvision_logits(
    torchvision_inception: Any, assert_torch_parity: Callable
) -> None:
    module, main, maps = torchvision_inception, torchvision_inception.forward, []
    for conv in (module.Conv2d_1a_3x3.conv, module.Conv2d_2a_3x3.conv, module.Conv2d_4a_3x3.conv):
        conv.stride, conv.padding = (1, 1), (1, 1)
    for pool in (module.maxpool1, module.maxpool2):
        pool.kernel_size, pool.stride = 1, 1
    module.AuxLogits.conv1.conv.padding = (2, 2)  # its map is smaller than its kernel
    module.Mixed_6e.register_forward_hook(lambda _module, _input, output: maps.append(output))
    module.forward = lambda x: [main(x), module.AuxLogits(maps.pop())]  # torchvision's own answers so in training only
    assert_torch_parity(partial(zoo.InceptionV3, aux_heads=True, small_input=True, **LOGITS), module, 13)


@pytest.mark.parametrize(("size", "sides"), [(299, (71, 35, 17, 8)), (75, (15, 7, 3, 1))])
@pytest.mark.usefixtures("zero_kernels")
def test_end_points(size: int, sides: tuple[int, ...]) -> None:
    model = zoo.InceptionV3(input_shape=(size, size, 3))
    stages = ("stem", "Mixed_5d", "Mixed_6e", "Mixed_7c")
    shapes = [model.get_layer(stage).output.shape[1:] for stage in stages]
    assert shapes == [(side, side, channels) for side, channels in zip(sides, (192, 288, 768, 2048), strict=True)]


def test_a_small_input_is_not_subsampled_by_the_stem() -> None:
    shapes = [output.shape[1:] for output in zoo.InceptionV3(small_input=True, features=True).outputs]
    assert shapes == [(32, 32, 192), (32, 32, 288), (15, 15, 768), (7, 7, 2048)]


@pytest.mark.parametrize(("small", "size"), [(False, 107), (True, 11)])
def test_the_auxiliary_head_stands_on_the_smallest_map_and_refuses_less(small: bool, size: int) -> None:
    build = partial(zoo.InceptionV3, small_input=small, aux_heads=True, classes=7)
    assert [output.shape for output in build(input_shape=(size, size, 3)).outputs] == [(None, 7), (None, 7)]
    with pytest.raises(zoo.InputError, match=f"at least {size}"):
        build(input_shape=(size - 1, size, 3))


def test_weights_with_an_auxiliary_head_load_without_it_and_for_other_classes(tmp_path: Path) -> None:
    build = partial(zoo.InceptionV3, small_input=True, input_shape=(11, 11, 3))
    path = tmp_path / "weights.safetensors"
    zoo.save_weights(build(aux_heads=True), path)
    build(weights=path)
    with pytest.warns(UserWarning, match="another class count"):
        assert len(build(weights=path, aux_heads=True, classes=7).outputs) == 2
    zoo.save_weights(build(), path)
    with pytest.raises(zoo.InputError, match="AuxLogits"):
        build(weights=path, aux_heads=True)


def test_average_pools_count_padded_zeros_unless_padding_is_tensorflows() -> None:
    def padded(**options: Any) -> bool:
        model = zoo.InceptionV3(small_input=True, **options)
        return any(layer.name == "Mixed_5b_branch_pool_avg_pad" for layer in model.layers)

    assert padded()
    assert not padded(padding="same")
