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


Call = tuple[Any, list[Any], list[Any]]
"""A layer, its input tensors, its output tensors."""


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
    if not hasattr(functional_of(model), "_nodes_by_depth"):
        raise InputError(
            f"{model.name}: only a functional model can be counted; build it with keras.Model(inputs, outputs)"
        )
    calls, seen = list(ordered_calls(model)), set[int]()
    costs = []
    for layer, inputs, outputs in calls:
        params = 0 if id(layer) in seen else _trainable(layer)
        seen.add(id(layer))
        shape = tuple(outputs[0].shape[1:])
        counted = _macs_of(layer, inputs, shape)
        costs.append(Cost(layer.name, shape, params, counted, math.prod(shape) if counted else 0))
    return Complexity(model.name, tuple(costs), tuple(_by_stage(calls, costs)))


def millions(count: int) -> str:
    """1,814,073,344 as "1,814.07 M"."""
    return f"{count / 1e6:,.2f} M"


def ordered_calls(model: "keras.Model") -> Iterator[Call]:
    """Each call in topological order, nested models opened."""
    nodes = functional_of(model)._nodes_by_depth
    for depth in sorted(nodes, reverse=True):
        for node in nodes[depth]:
            if hasattr(functional_of(node.operation), "_nodes_by_depth"):
                yield from ordered_calls(node.operation)
            else:
                yield node.operation, list(node.input_tensors), list(node.outputs)


def functional_of(model: Any) -> Any:
    """A Sequential model's is that of the functional one within."""
    return getattr(model, "_functional", None) or model


def _trainable(layer: Any) -> int:
    return sum(math.prod(variable.shape) for variable in getattr(layer, "trainable_variables", ()))


def _macs_of(layer: Any, inputs: list[Any], shape: tuple[int, ...]) -> int:
    """Each weight of a convolution costs one MAC at each position of its output's map (transposed: its input's)."""
    kind = {base.__name__ for base in type(layer).__mro__}
    if not kind & {"BaseConv", "BaseDepthwiseConv", "BaseSeparableConv", "BaseConvTranspose", "Dense"}:
        return 0
    if None in shape or any(None in tensor.shape[1:] for tensor in inputs):
        raise InputError(f"{layer.name}: its size is not known; build the model with an input_shape of numbers")
    map_shape = tuple(inputs[0].shape[1:]) if "BaseConvTranspose" in kind else shape
    first = getattr(layer, "data_format", None) == "channels_first"
    positions = math.prod(map_shape[1:] if first else map_shape[:-1])
    separable = "BaseSeparableConv" in kind
    kernels = (layer.depthwise_kernel, layer.pointwise_kernel) if separable else (layer.kernel,)
    return positions * sum(math.prod(kernel.shape) for kernel in kernels)


def _by_stage(calls: list[Call], costs: list[Cost]) -> Iterator[Cost]:
    """Sums what leads to each end point (the zoo marks them by Identity layers) and to none before; then the head."""
    producers = {id(tensor): index for index, (_, _, outputs) in enumerate(calls) for tensor in outputs}
    claimed = set[int]()
    for end, (layer, _, _) in enumerate(calls):
        if type(layer).__name__ == "Identity":
            yield _sum(layer.name, [costs[i] for i in sorted(_claim(end, calls, producers, claimed))])
    yield _sum("head", [cost for i, cost in enumerate(costs) if i not in claimed])


def _claim(end: int, calls: list[Call], producers: dict[int, int], claimed: set[int]) -> set[int]:
    """The calls that lead to call `end` and were not claimed before; they are claimed now."""
    found, waiting = set[int](), [end]
    while waiting:
        index = waiting.pop()
        if index not in claimed:
            claimed.add(index)
            found.add(index)
            waiting += [producers[id(tensor)] for tensor in calls[index][1] if id(tensor) in producers]
    return found


def _sum(name: str, costs: list[Cost]) -> Cost:
    shape = costs[-1].shape if costs else ()
    return Cost(
        name,
        shape,
        sum(cost.params for cost in costs),
        sum(cost.macs for cost in costs),
        sum(cost.activations for cost in costs),
    )
