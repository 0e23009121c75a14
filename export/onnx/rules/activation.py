"""Activations, as functions and as layers."""

from collections.abc import Callable

import numpy as np

from ...graph import Node, Shape
from .registry import Call, axis, rule

SIMPLE = {
    "elu": "Elu",
    "exponential": "Exp",
    "leaky_relu": "LeakyRelu",
    "relu": "Relu",
    "selu": "Selu",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "tanh": "Tanh",
}
SYNONYMS = {"swish": "silu", "hard_swish": "hard_silu", "linear": "identity"}
ATTRIBUTES = {"elu": {"alpha": 1.0}, "leaky_relu": {"alpha": 0.2}}
HARD_SIGMOID = {"alpha": 1 / 6, "beta": 0.5}


def _is_known(node: Node, shapes: tuple[Shape, ...]) -> bool:
    function = node.config["activation"]
    return isinstance(function, str) and SYNONYMS.get(function, function) in {*SIMPLE, *WRITERS}


@rule("Activation", where=_is_known)
def activation(call: Call) -> None:
    name = SYNONYMS.get(call.node.config["activation"], call.node.config["activation"])
    if name in SIMPLE:
        call.last(SIMPLE[name], list(call.inputs), **ATTRIBUTES.get(name, {}))
    else:
        WRITERS[name](call)


def _relu6(call: Call) -> None:
    limits = call.constant("least", np.float32(0)), call.constant("most", np.float32(6))
    call.last("Clip", [call.inputs[0], *limits])


def _hard_sigmoid(call: Call) -> None:
    call.last("HardSigmoid", list(call.inputs), **HARD_SIGMOID)


def _hard_silu(call: Call) -> None:
    """An operator of its own since opset 14."""
    if call.writer.opset >= 14:
        call.last("HardSwish", list(call.inputs))
    else:
        call.last("Mul", [call.inputs[0], call.step("HardSigmoid", list(call.inputs), "gate", **HARD_SIGMOID)])


def _silu(call: Call) -> None:
    call.last("Mul", [call.inputs[0], call.step("Sigmoid", list(call.inputs), "gate")])


def _mish(call: Call) -> None:
    gate = call.step("Tanh", [call.step("Softplus", list(call.inputs), "softplus")], "gate")
    call.last("Mul", [call.inputs[0], gate])


def _gelu(call: Call) -> None:
    """x * (1 + erf(x / sqrt 2)) / 2, an operator of its own since opset 20."""
    if call.writer.opset >= 20:
        call.last("Gelu", list(call.inputs))
        return
    scaled = call.step("Mul", [call.inputs[0], call.constant("scale", np.float32(0.5**0.5))], "scaled")
    shifted = call.step("Add", [call.step("Erf", [scaled], "erf"), call.constant("one", np.float32(1))], "shifted")
    product = call.step("Mul", [call.inputs[0], shifted], "product")
    call.last("Mul", [product, call.constant("half", np.float32(0.5))])


@rule("keras.src.ops.nn.Gelu")
def approximate_gelu(call: Call) -> None:
    """x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2, unless it is the exact one."""
    if not call.node.config.get("approximate", True):
        _gelu(call)
        return
    if call.writer.opset >= 20:
        call.last("Gelu", list(call.inputs), approximate="tanh")
        return
    (x,) = call.inputs
    squared = call.step("Mul", [x, x], "squared")
    curved = call.step("Mul", [squared, call.constant("cubic", np.float32(0.044715))], "curved")
    raised = call.step("Add", [curved, call.constant("one", np.float32(1))], "raised")
    slope = call.step("Mul", [x, call.constant("slope", np.float32((2 / np.pi) ** 0.5))], "scaled")
    gate = call.step("Tanh", [call.step("Mul", [slope, raised], "inner")], "tanh")
    shifted = call.step("Add", [gate, f"{call.node.name}/one"], "shifted")
    product = call.step("Mul", [x, shifted], "product")
    call.last("Mul", [product, call.constant("half", np.float32(0.5))])


def _softmax(call: Call) -> None:
    call.last("Softmax", list(call.inputs), axis=axis(-1, len(call.shapes[0])))


def _log_softmax(call: Call) -> None:
    call.last("LogSoftmax", list(call.inputs), axis=axis(-1, len(call.shapes[0])))


def _identity(call: Call) -> None:
    call.last("Identity", list(call.inputs))


WRITERS: dict[str, Callable[[Call], None]] = {
    "gelu": _gelu,
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": _hard_silu,
    "identity": _identity,
    "log_softmax": _log_softmax,
    "mish": _mish,
    "relu6": _relu6,
    "silu": _silu,
    "softmax": _softmax,
}


def _has_no_threshold(node: Node, shapes: tuple[Shape, ...]) -> bool:
    return not node.config["threshold"] and (not node.config["negative_slope"] or node.config["max_value"] is None)


@rule("ReLU", where=_has_no_threshold)
def relu(call: Call) -> None:
    slope, most = call.node.config["negative_slope"], call.node.config["max_value"]
    if slope:
        call.last("LeakyRelu", list(call.inputs), alpha=float(slope))
    elif most is None:
        call.last("Relu", list(call.inputs))
    else:
        limits = call.constant("least", np.float32(0)), call.constant("most", np.float32(most))
        call.last("Clip", [call.inputs[0], *limits])


@rule("LeakyReLU")
def leaky_relu(call: Call) -> None:
    call.last("LeakyRelu", list(call.inputs), alpha=float(call.node.config["negative_slope"]))


@rule("ELU")
def elu(call: Call) -> None:
    call.last("Elu", list(call.inputs), alpha=float(call.node.config["alpha"]))


@rule("PReLU")
def prelu(call: Call) -> None:
    (slope,) = call.node.weights
    call.last("PRelu", [call.inputs[0], call.constant("slope", slope.transpose(2, 0, 1) if slope.ndim == 3 else slope)])


@rule("Softmax", where=lambda node, shapes: isinstance(node.config["axis"], int))
def softmax(call: Call) -> None:
    call.last("Softmax", list(call.inputs), axis=axis(call.node.config["axis"], len(call.shapes[0])))
