"""Parameters, multiply-accumulates (MACs) and activations of any functional Keras model, by layer and in total.

MACs are those of convolutions and dense layers alone, without bias, for one image: the definition under which papers,
torchvision and timm agree to the last digit. Parameters are the trainable ones. Activations are the outputs of those
same layers (pycls counts so).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import InputError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Cost:
    """What one layer, a stage or a network costs.

    Args:
        name: of the layer or stage.
        shape: of its output, without the batch.
        params: trainable parameters.
        macs: multiply-accumulates for one image.
        activations: outputs of convolutions and dense layers for one image.
    """

    name: str
    shape: tuple[int, ...]
    params: int
    macs: int
    activations: int


@dataclass(frozen=True)
class Complexity:
    """The cost of each layer of a model, in the order of its graph."""

    name: str
    layers: tuple[Cost, ...]
    stages: tuple[Cost, ...]

    @property
    def params(self) -> int:
        return sum(layer.params for layer in self.layers)

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def activations(self) -> int:
        return sum(layer.activations for layer in self.layers)


def complexity(model: "keras.Model") -> Complexity:
    """Counts a functional model whose input size is known.

    A layer that is called twice costs its MACs twice and its parameters once; nested models are counted through.

    Raises:
        InputError: a subclassed model, or one whose height and width are None.
    """
    if not hasattr(model, "_nodes_by_depth"):
        raise InputError(
            f"{model.name}: only a functional model can be counted; build it with keras.Model(inputs, outputs)"
        )
    costs, seen = [], set[int]()
    for layer, inputs, outputs in _calls(model):
        params = 0 if id(layer) in seen else _trainable(layer)
        seen.add(id(layer))
        shape = tuple(outputs[0].shape[1:])
        counted = _macs_of(layer, inputs, shape)
        costs.append(Cost(layer.name, shape, params, counted, math.prod(shape) if counted else 0))
    return Complexity(model.name, tuple(costs), tuple(_by_stage(costs, _end_points(model))))


def _calls(model: "keras.Model") -> Iterator[tuple[Any, list[Any], list[Any]]]:
    """(layer, input tensors, output tensors) of each call, in topological order, nested models opened."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if hasattr(node.operation, "_nodes_by_depth"):
                yield from _calls(node.operation)
            else:
                yield node.operation, list(node.input_tensors), list(node.outputs)


def _trainable(layer: Any) -> int:
    return sum(math.prod(variable.shape) for variable in getattr(layer, "trainable_variables", ()))


def _macs_of(layer: Any, inputs: list[Any], shape: tuple[int, ...]) -> int:
    """An output value of a convolution costs one MAC for each weight that makes it."""
    kind = {base.__name__ for base in type(layer).__mro__}
    if not kind & {"Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose", "Dense"}:
        return 0
    if None in shape or any(None in tensor.shape[1:] for tensor in inputs):
        raise InputError(f"{layer.name}: its size is not known; build the model with an input_shape of numbers")
    if "Conv2DTranspose" in kind:
        return math.prod(inputs[0].shape[1:3]) * math.prod(layer.kernel.shape)
    if "SeparableConv2D" in kind:
        return math.prod(shape[:2]) * (
            math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)
        )
    return math.prod(shape[:-1]) * math.prod(layer.kernel.shape)


def _end_points(model: "keras.Model") -> list[str]:
    """The stages' names: the zoo marks each stage's output with an Identity layer."""
    return [layer.name for layer in model.layers if type(layer).__name__ == "Identity"]


def _by_stage(costs: list[Cost], stages: list[str]) -> Iterator[Cost]:
    """Sums the layers up to each end point; what stands before the first stage is the stem, after the last the head."""
    groups: dict[str, list[Cost]] = {}
    reached = set[str]()
    for cost in costs:
        stage = next((s for s in stages if cost.name == s or cost.name.startswith(f"{s}_")), None)
        reached |= {stage} if stage else set()
        groups.setdefault(stage or ("head" if reached else "stem"), []).append(cost)
    for name, group in groups.items():
        params, macs, activations = (sum(getattr(c, what) for c in group) for what in ("params", "macs", "activations"))
        yield Cost(name, group[-1].shape, params, macs, activations)
