"""A .tflite classifier as a network of the zoo: dequantized, and matched operator by operator with the builder's graph.

A file has its batch normalisation folded, so the network is built without (`norm="none"`, biases). Where the two differ
in one operator, kernel, stride, padding, dilation or activation, nothing is read. What a file says in other words is
the same: a pool of the whole map is a mean, a 1x1 convolution of a 1x1 map a dense layer. A softmax at the end is left
out: the network gives logits.
"""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from ..by_name import create
from ..errors import InputError
from ..export.card import Card, card_path
from ..export.graph import Graph, Node, from_keras
from ..export.lowering.activation import separate_activations
from ..export.lowering.identity import remove_identities
from ..preprocessing import Preprocessing
from ..registry import builder_of, info
from ..weights.load import assign
from .tflite_steps import WEIGHTED, Classifier, Step, read_classifier, vector, windowed

if TYPE_CHECKING:
    import keras

UNORDERED = {"Add", "Multiply"}


@dataclass(frozen=True)
class LayerStep:
    """A step of the graph between layers, which are names.

    Args:
        step: what it does.
        inputs: the layers that it reads.
        output: the last layer of which it is made.
        layer: the first, which has the weights.
    """

    step: Step
    inputs: tuple[str, ...]
    output: str
    layer: Node


class MatchError(Exception):
    """Where the file is not the network."""


def read_tflite(
    path: str | PathLike[str], network: str, **options: Any
) -> tuple["keras.Model", dict[str, Any], Preprocessing | None]:
    """The zoo's network with a file's weights.

    Args:
        path: of a .tflite classifier with one image input: float32, float16, int8 or uint8.
        network: a name of the registry.
        options: of its builder; without them norm="none", padding="same", and input size and classes from the file.

    Returns:
        The network, giving logits; the options that it was built with; and how its pixels are prepared: from the
        file's card, or from scale and zero point of a uint8 input, else None.

    Raises:
        InputError: not a .tflite file, or one of another network; the first difference is named.
    """
    file = read_classifier(path)
    known = inspect.signature(builder_of(network)).parameters
    usual = {
        "norm": "none",
        "padding": "same",
        "input_shape": file.input_shape,
        "classes": file.classes,
        "classifier_activation": None,
    }
    chosen = {key: value for key, value in usual.items() if key in known} | options
    model = create(network, **chosen)
    graph = separate_activations(remove_identities(from_keras(model)))
    try:
        assign(model, dict(_matched(file, graph)))
    except MatchError as error:
        settings = ", ".join(f"{key}={value}" for key, value in chosen.items())
        raise InputError(
            f"{path}: not the weights of {info(network).name} ({settings}): {error}; name the network that it is "
            "(--builder), and its options (--set)"
        ) from error
    return model, chosen, _preprocessing(path, file)


def _matched(file: Classifier, graph: Graph) -> Iterator[tuple[str, np.ndarray]]:
    """The file's weights by `layer/variable`; each operator of the file is matched with one layer of the graph."""
    names: dict[int, str] = {file.input: graph.inputs[0].name}
    left = list(_layer_steps(graph))
    for found in file.steps:
        step, inputs = found.step, [names.get(i, "") for i in found.inputs]
        fits = [other for other in left if other.step == step and _same(step, list(other.inputs), inputs)]
        if len(fits) != 1:
            there = [str(other.step) for other in left if set(other.inputs) & set(inputs)] or ["its end"]
            fault = f"could be any of {len(fits)} layers" if fits else f"stands where the network has {there[0]}"
            raise MatchError(f"the file's {step} {fault}")
        left.remove(fits[0])
        names[found.output] = fits[0].output
        if found.weights:
            yield from _variables(fits[0].layer, *found.weights)
    if left:
        raise MatchError(f"the file ends before {left[0].step}")


def _variables(node: Node, kernel: np.ndarray, bias: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield f"{node.name}/kernel", kernel.reshape(node.weights[0].shape)
    if len(node.weights) > 1:
        yield f"{node.name}/bias", bias
    elif bias.any():
        raise MatchError(f"{node.name} has no bias, but the file has one there")


def _layer_steps(graph: Graph) -> Iterator[LayerStep]:
    """The graph's layers, an activation with the layer that it alone reads."""
    readers = graph.readers()
    fused = {
        node.inputs[0]: node
        for node in graph.nodes.values()
        if node.op == "Activation"
        and readers[node.inputs[0]] == 1
        and node.config["activation"] in ("relu", "relu6")
        and graph.producer(node.inputs[0]).op in {*WEIGHTED.values(), "Add"}
    }
    behind = {node.name for node in fused.values()}
    for node in graph.nodes.values():
        if node.op == "InputLayer" or node.name in behind:
            continue
        activation = fused.get(node.name)
        function = "" if activation is None else activation.config["activation"]
        yield LayerStep(_step_of(graph, node, function), node.inputs, (activation or node).name, node)


def _step_of(graph: Graph, node: Node, activation: str) -> Step:
    if node.op == "Activation":
        return Step(node.config["activation"], vector(node.shape))
    if node.op == "ZeroPadding2D":
        return Step(node.op, node.shape, pads=tuple(side for axis in node.config["padding"] for side in axis))
    window = node.config.get("kernel_size") or node.config.get("pool_size")
    if window is None:
        kernel = tuple(node.weights[0].shape) if node.weights else ()
        return Step(node.op, vector(node.shape), kernel, activation=activation)
    source = graph.producer(node.inputs[0])
    kernel = tuple(node.weights[0].shape) if node.weights else tuple(window)
    same = node.config["padding"] == "same"
    strides, dilation = tuple(node.config["strides"]), tuple(node.config.get("dilation_rate", (1, 1)))
    return windowed(node.op, source.shape, node.shape, kernel, strides, same, activation, dilation)


def _preprocessing(path: str | PathLike[str], file: Classifier) -> Preprocessing | None:
    if card_path(path).is_file():
        spec = Card.read(card_path(path)).preprocessing
        return None if spec is None else Preprocessing.from_dict(spec)
    return file.pixels


def _same(step: Step, one: list[str], other: list[str]) -> bool:
    return sorted(one) == sorted(other) if step.op in UNORDERED else one == other
