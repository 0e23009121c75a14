"""Inception with batch normalisation against its reference, which torchvision and timm lack, written out in torch."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import keras_cnnzoo as zoo

LOGITS = {"classifier_activation": None}

# Cadene/pretrained-models.pytorch: module, pool, filters of 1x1, 3x3_reduce, 3x3, double_3x3_reduce, double_3x3, proj
REFERENCE = """
3a avg 64 64 64 64 96 32
3b avg 64 64 96 64 96 64
3c max - 128 160 64 96 -
4a avg 224 64 96 96 128 128
4b avg 192 96 128 96 128 128
4c avg 160 128 160 128 160 128
4d avg 96 128 192 160 192 128
4e max - 128 192 192 256 -
5a avg 352 192 320 160 224 128
5b max 352 192 320 192 224 128
"""


def torch_reference() -> Any:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    nn, functional = torch.nn, torch.nn.functional

    class Reference(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.forward(torch.zeros(2, 3, 64, 64))

        def conv(self, x: Any, name: str, filters: int, side: int, stride: int = 1) -> Any:
            if not hasattr(self, name):
                self.add_module(name, nn.Conv2d(x.shape[1], filters, side, stride, side // 2))
                self.add_module(f"{name}_bn", nn.BatchNorm2d(filters))
            return functional.relu(getattr(self, f"{name}_bn")(getattr(self, name)(x)))

        def module(self, x: Any, name: str, pool: str, *widths: str) -> Any:
            name, conv = f"inception_{name}", self.conv
            one, reduce, wide, reduce2, wide2, proj = (int(width) if width != "-" else 0 for width in widths)
            stride = 1 if one else 2
            paths = [conv(x, f"{name}_1x1", one, 1)] if one else []
            paths.append(conv(conv(x, f"{name}_3x3_reduce", reduce, 1), f"{name}_3x3", wide, 3, stride))
            y = conv(conv(x, f"{name}_double_3x3_reduce", reduce2, 1), f"{name}_double_3x3_1", wide2, 3)
            paths.append(conv(y, f"{name}_double_3x3_2", wide2, 3, stride))
            if pool == "avg":
                x = functional.avg_pool2d(x, 3, 1, 1, ceil_mode=True, count_include_pad=True)
            else:
                x = functional.max_pool2d(x, 3, stride, 1 if one else 0, ceil_mode=True)
            paths.append(conv(x, f"{name}_pool_proj", proj, 1) if proj else x)
            return torch.cat(paths, 1)

        def forward(self, x: Any) -> Any:
            x = self.conv(x, "conv1_7x7_s2", 64, 7, 2)
            x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
            x = self.conv(self.conv(x, "conv2_3x3_reduce", 64, 1), "conv2_3x3", 192, 3)
            x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
            for row in REFERENCE.split("\n")[1:-1]:
                x = self.module(x, *row.split())
            if not hasattr(self, "last_linear"):
                self.last_linear = nn.Linear(x.shape[1], 1000)
            return self.last_linear(x.mean((2, 3)))

    return Reference()


def test_the_references_weights_give_its_logits(assert_torch_parity: Callable) -> None:
    assert_torch_parity(partial(zoo.create, "inception_bn", **LOGITS), torch_reference(), 96)


@pytest.mark.parametrize(
    ("options", "sides"),
    [
        ({}, (56, 28, 14, 7)),
        ({"input_shape": (299, 299, 3)}, (75, 37, 19, 10)),  # odd maps, where the reference's branches do not fit
        ({"input_shape": (299, 299, 3), "padding": "same"}, (75, 38, 19, 10)),
        ({"input_shape": (7, 7, 3)}, (2, 1, 1, 1)),
        ({"small_input": True}, (32, 32, 16, 8)),
    ],
    ids=str,
)
@pytest.mark.usefixtures("zero_kernels")
def test_end_points(options: dict, sides: tuple[int, ...]) -> None:
    model = zoo.InceptionBN(**options)
    stages = ("stem", "inception_3", "inception_4", "inception_5")
    shapes = [model.get_layer(stage).output.shape[1:] for stage in stages]
    assert shapes == [(side, side, channels) for side, channels in zip(sides, (192, 320, 608, 1024), strict=True)]


def test_the_pools_are_those_of_the_papers_table() -> None:
    model = zoo.InceptionBN()
    pools = {m: type(model.get_layer(f"inception_{m}_pool")).__name__ for m in ("3a", "3c", "4d", "4e", "5a", "5b")}
    assert [module for module, kind in pools.items() if kind == "MaxPooling2D"] == ["3c", "4e", "5b"]
