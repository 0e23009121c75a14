"""torch's state dicts under our names. Layers carry the reference's module path with "_" for ".", so this is a rule.

`layer1.0.conv1.weight` (OIHW) is `layer1_0_conv1/kernel` (HWIO), `bn1.weight` is `bn1/gamma`, and so on.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from .files import State

SUFFIXES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
# torchvision's DenseNet files are older than its module names: denselayer1.norm.1 is denselayer1.norm1
OLD_DENSENET = re.compile(r"(\.denselayer\d+\.(?:norm|conv))\.([12])\.")
STATISTICS = {"running_mean": "moving_mean", "running_var": "moving_variance"}


def is_torch(state: State) -> bool:
    """Whether the names are module paths of torch's."""
    return any(name.rpartition(".")[2] in SUFFIXES for name in state)


def from_torch(state: State, layers: Mapping[str, Any]) -> State:
    """The state under the names and in the layouts of `layers` (name -> Keras layer).

    A parameter whose module has no layer keeps a name that tells where it came from.
    """
    translated: State = {}
    for name, value in state.items():
        module, _, parameter = OLD_DENSENET.sub(r"\1\2.", name.removeprefix("module.")).rpartition(".")
        if parameter == "num_batches_tracked":
            continue
        layer = module.replace(".", "_")
        kind = type(layers[layer]).__name__ if layer in layers else ""
        value = _layout(kind, parameter, value)
        if kind == "Dense" and parameter == "weight":
            value = _channels_last(value, layers[layer])
        translated[f"{layer}/{_variable(kind, parameter, value)}"] = value
    return translated


def _variable(kind: str, parameter: str, value: np.ndarray) -> str:
    normalises = kind.endswith("Normalization")
    if parameter == "weight":
        return "gamma" if normalises or (not kind and value.ndim == 1) else "kernel"
    if parameter == "bias":
        return "beta" if normalises else "bias"
    return STATISTICS.get(parameter, parameter)


def _layout(kind: str, parameter: str, value: np.ndarray) -> np.ndarray:
    if parameter != "weight":
        return value
    if value.ndim == 2 and kind == "Conv2D":  # a dense layer that we write as a 1x1 convolution
        return np.ascontiguousarray(value.T)[None, None]
    if value.ndim == 2:
        return np.ascontiguousarray(value.T)
    if kind == "Dense" and value.shape[2:] == (1, 1):  # a 1x1 convolution that we write as a dense layer
        return np.ascontiguousarray(value[:, :, 0, 0].T)
    if value.ndim != 4:
        return value
    if kind == "DepthwiseConv2D":  # (channels * multiplier, 1, h, w) -> (h, w, channels, multiplier), multiplier 1
        return np.ascontiguousarray(value.transpose(2, 3, 0, 1))
    return np.ascontiguousarray(value.transpose(2, 3, 1, 0))


def _channels_last(kernel: np.ndarray, dense: Any) -> np.ndarray:
    """A dense kernel behind a flattened map, whose rows stand as (c, h, w) in torch and as (h, w, c) in Keras."""
    source = dense.input._keras_history.operation
    if type(source).__name__ != "Flatten" or kernel.shape[0] != dense.input.shape[-1]:
        return kernel
    height, width, channels = source.input.shape[1:]
    return kernel.reshape(channels, height, width, -1).transpose(1, 2, 0, 3).reshape(kernel.shape)
