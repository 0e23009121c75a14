"""GoogLeNet against its references."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest

import keras_cnnzoo as zoo

LOGITS = {"classifier_activation": None}


@pytest.fixture
def torchvision_googlenet() -> Any:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    return models.googlenet(weights=None, init_weights=False)


def with_auxiliary_heads(module: Any) -> Any:
    """torchvision's GoogLeNet, answering in evaluation what it answers in training alone."""
    main, maps = module.forward, {}
    for tap in ("inception4a", "inception4d"):
        getattr(module, tap).register_forward_hook(lambda _module, _input, output, tap=tap: maps.update({tap: output}))
    module.forward = lambda x: [main(x), module.aux1(maps["inception4a"]), module.aux2(maps["inception4d"])]
    return module


def test_torchvision_weights_give_torchvision_logits(torchvision_googlenet: Any, assert_torch_parity: Callable) -> None:
    # the file holds auxiliary heads, the network has none; calibration reaches all but those
    assert_torch_parity(partial(zoo.create, "googlenet", **LOGITS), torchvision_googlenet, 75)


def test_auxiliary_heads_give_torchvision_logits(torchvision_googlenet: Any, assert_torch_parity: Callable) -> None:
    build = partial(zoo.create, "googlenet", aux_heads=True, **LOGITS)
    assert_torch_parity(build, with_auxiliary_heads(torchvision_googlenet), 96)


def test_the_papers_form_with_its_auxiliary_heads_equals_its_torch_modules(
    torchvision_googlenet: Any, assert_torch_parity: Callable
) -> None:
    nn, module = pytest.importorskip("torch").nn, torchvision_googlenet

    def plain(block: Any, kernel: int | None = None) -> None:
        old, side = block.conv, kernel or block.conv.kernel_size[0]
        block.conv = nn.Conv2d(old.in_channels, old.out_channels, side, old.stride, side // 2)
        block.bn = nn.Identity()
        nn.init.kaiming_normal_(block.conv.weight)  # else the outputs are the last layer's bias, whatever the image

    def local_norm() -> Any:
        return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)

    for name, block in list(module.named_modules()):
        if hasattr(block, "conv") and hasattr(block, "bn"):
            plain(block, 5 if name.endswith("branch3.1") else None)
    module.maxpool1.register_forward_hook(lambda _module, _input, output: local_norm()(output))
    module.conv3.register_forward_hook(lambda _module, _input, output: local_norm()(output))
    module.maxpool4 = nn.MaxPool2d(3, 2, ceil_mode=True)
    for head in (module.aux1, module.aux2):
        head.register_forward_pre_hook(lambda _module, args: nn.functional.avg_pool2d(args[0], 5, 3))
    build = partial(zoo.GoogLeNet, variant="paper", aux_heads=True, **LOGITS)
    assert_torch_parity(build, with_auxiliary_heads(module), 224)


def test_auxiliary_heads_come_with_the_classifier_alone() -> None:
    answers = zoo.GoogLeNet(aux_heads=True, input_shape=(32, 32, 3), classes=7).outputs
    assert [answer.shape for answer in answers] == [(None, 7)] * 3
    assert len(zoo.GoogLeNet(aux_heads=True, input_shape=(32, 32, 3), include_top=False).outputs) == 1


@pytest.mark.parametrize(
    ("options", "sides"),
    [
        ({}, (56, 28, 14, 7)),
        ({"input_shape": (129, 129, 3)}, (32, 16, 8, 4)),
        ({"input_shape": (129, 129, 3), "padding": "same"}, (33, 17, 9, 5)),
        ({"input_shape": (15, 15, 3)}, (4, 2, 1, 1)),
        ({"input_shape": (31, 31, 3), "variant": "paper"}, (8, 4, 2, 1)),
        ({"small_input": True}, (32, 32, 16, 8)),
    ],
    ids=str,
)
@pytest.mark.usefixtures("zero_kernels")
def test_end_points(options: dict, sides: tuple[int, ...]) -> None:
    model = zoo.GoogLeNet(**options)
    stages = ("stem", "inception3", "inception4", "inception5")
    shapes = [model.get_layer(stage).output.shape[1:] for stage in stages]
    assert shapes == [(side, side, channels) for side, channels in zip(sides, (192, 480, 832, 1024), strict=True)]


def test_inception_block_costs_what_it_costs_in_the_paper() -> None:
    x = keras.Input((28, 28, 192))
    y = zoo.InceptionBlock(x, 64, (96, 128), (16, 32), 32)
    cost = zoo.complexity(keras.Model(x, y))
    assert y.shape == (None, 28, 28, 256)
    assert (cost.params, cost.macs) == (163_696, 128_049_152)


def test_inception_block_is_its_four_paths_side_by_side() -> None:
    x = keras.Input((6, 5, 4))
    y = zoo.InceptionBlock(x, 3, (2, 4), (2, 5), 6, name="block")
    model = keras.Model(x, y)
    image = np.random.default_rng(0).standard_normal((2, 6, 5, 4)).astype("float32")
    ops, weights = keras.ops, {layer.name: layer.get_weights() for layer in model.layers}

    def conv(value: Any, name: str) -> Any:
        kernel, bias = weights[f"block_{name}_conv"]
        return ops.relu(ops.conv(value, kernel, padding="same") + bias)

    paths = [
        conv(image, "branch1"),
        conv(conv(image, "branch2_0"), "branch2_1"),
        conv(conv(image, "branch3_0"), "branch3_1"),
        conv(ops.max_pool(image, 3, 1, "same"), "branch4_1"),
    ]
    assert [weights[f"block_branch{i}_1_conv"][0].shape[:2] for i in (2, 3, 4)] == [(3, 3), (5, 5), (1, 1)]
    expected = ops.convert_to_numpy(ops.concatenate(paths, -1))
    np.testing.assert_allclose(ops.convert_to_numpy(model(image)), expected, atol=1e-5)
