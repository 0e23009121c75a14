"""Activations: as an operator where LiteRT has one, else as its formula."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ...graph import Node
from .elementwise import scale_and_shift
from .registry import Call, rule

RELU, RELU6 = schema.ActivationFunctionType.RELU, schema.ActivationFunctionType.RELU6
FUSED = {"relu": RELU, "relu6": RELU6}
OPERATORS: dict[str, tuple[str, Any]] = {
    "elu": ("ELU", None),
    "exponential": ("EXP", schema.ExpOptionsT),
    "gelu": ("GELU", schema.GeluOptionsT),
    "hard_silu": ("HARD_SWISH", schema.HardSwishOptionsT),
    "hard_swish": ("HARD_SWISH", schema.HardSwishOptionsT),
    "relu": ("RELU", None),
    "relu6": ("RELU6", None),
    "sigmoid": ("LOGISTIC", None),
    "tanh": ("TANH", None),
}
FORMULAS = ("hard_sigmoid", "leaky_relu", "silu", "softmax", "swish")
APPROXIMATE_GELU = "keras.src.ops.nn.Gelu"


def _is_known(node: Node) -> bool:
    function = node.config["activation"]
    return isinstance(function, str) and (function in OPERATORS or function in FORMULAS)


@rule("Activation", when=_is_known)
def activation(call: Call) -> Any:
    match call.config["activation"]:
        case "softmax":
            options = schema.SoftmaxOptionsT()
            options.beta = 1.0
            call.operator("SOFTMAX", call.inputs, options=options)
            return None
        case "silu" | "swish":
            return silu(call)
        case "hard_sigmoid":
            return hard_sigmoid(call)
        case "leaky_relu":
            return _leaky_relu(call, 0.2)  # Keras' default
        case function:
            kind, options = OPERATORS[function]
            call.operator(kind, call.inputs, options=options() if options else None)
            return None


def silu(call: Call) -> Any:
    """x * sigmoid(x)."""
    gate = call.step("gate", "LOGISTIC", call.inputs)
    return call.operator("MUL", [*call.inputs, gate], options=schema.MulOptionsT())


def hard_sigmoid(call: Call) -> Any:
    """relu6(x + 3) / 6."""
    options = schema.AddOptionsT()
    options.fusedActivationFunction = RELU6
    shifted = call.step("shifted", "ADD", [*call.inputs, call.constant("three", [3])], options)
    return scale_and_shift(call, shifted, np.full(1, 1 / 6, np.float32), np.zeros(1, np.float32))


@rule(APPROXIMATE_GELU)
def gelu(call: Call) -> None:
    options = schema.GeluOptionsT()
    options.approximate = call.config.get("approximate", True)
    call.operator("GELU", call.inputs, options=options)


@rule("ELU", when=lambda node: node.config.get("alpha", 1.0) == 1.0)
def elu(call: Call) -> None:
    call.operator("ELU", call.inputs)


@rule("LeakyReLU")
def leaky_relu(call: Call) -> None:
    _leaky_relu(call, call.config["negative_slope"])


def _is_one_kernel(node: Node) -> bool:
    """With a slope, or with a limit; LiteRT has neither both nor a threshold."""
    config = node.config
    return not config["threshold"] and not (config["negative_slope"] and config["max_value"] is not None)


@rule("ReLU", when=_is_one_kernel)
def relu(call: Call) -> Any:
    slope, limit = call.config["negative_slope"], call.config["max_value"]
    if slope:
        return _leaky_relu(call, slope)
    if limit in (None, 6):
        return call.operator("RELU" if limit is None else "RELU6", call.inputs)
    positive = call.step("positive", "RELU", call.inputs)
    top = call.constant("limit", [limit])
    call.operator("MINIMUM", [positive, top], options=schema.MaximumMinimumOptionsT())
    return None


@rule("PReLU")
def prelu(call: Call) -> None:
    call.operator("PRELU", [*call.inputs, call.constant("alpha", call.node.weights[0])])


def _leaky_relu(call: Call, slope: float) -> None:
    options = schema.LeakyReluOptionsT()
    options.alpha = float(slope)
    call.operator("LEAKY_RELU", call.inputs, options=options)
