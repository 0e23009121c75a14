"""Calls of Keras operations (`x + 3`, `keras.ops.mean(x, (1, 2))`, `x[..., :8]`) in the words of layers.

What a layer says as well becomes a node of that layer, so that passes and emitters know one vocabulary; a constant
operand, a scalar or a vector over the channels, becomes a Rescaling. What no layer says keeps the operation's class
with its module for a name, and its attributes for a config.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Spelling = tuple[str, dict[str, Any], tuple[np.ndarray, ...]]
"""A layer's class, its config, its weights."""
Rewrite = Callable[["Call"], Spelling | None]

ACTIVATIONS = {
    "Exp": "exponential",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "Relu": "relu",
    "Relu6": "relu6",
    "Sigmoid": "sigmoid",
    "Silu": "silu",
    "Softplus": "softplus",
    "Tanh": "tanh",
}
MERGES = {"Add", "Maximum", "Minimum", "Multiply", "Subtract"}
POOLS = {"Mean": "GlobalAveragePooling2D", "Max": "GlobalMaxPooling2D"}


class Call:
    """One call of an operation.

    Args:
        operation: Keras' Operation.
        arguments: its positional arguments and keywords, flattened one level; symbolic tensors among them.
        inputs: shapes of those tensors, with the batch.
        output: shape of the (first) output, with the batch.
    """

    def __init__(self, operation: Any, arguments: list[Any], symbolic: Any, output: tuple[int | None, ...]) -> None:
        self.operation, self.arguments, self.output = operation, arguments, output
        self.symbolic = [isinstance(a, symbolic) for a in arguments]
        self.inputs = [tuple(a.shape) for a in arguments if isinstance(a, symbolic)]

    def constant(self, index: int) -> np.ndarray | None:
        """Argument `index` as an array, where it is not a tensor of the graph."""
        if self.symbolic[index]:
            return None
        from keras import ops

        value = self.arguments[index]
        return value if isinstance(value, np.ndarray) else np.asarray(ops.convert_to_numpy(value))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.operation, name)


def spelled(operation: Any, call: Any) -> Spelling | None:
    """The layer that does the same as this call of an operation; None where there is none.

    Args:
        operation: an instance of a class of keras.src.ops.
        call: Keras' node of the call.
    """
    import keras

    arguments = [*call.arguments.args, *call.arguments.kwargs.values()]
    seen = Call(operation, arguments, keras.KerasTensor, tuple(call.outputs[0].shape))
    kind = type(operation).__name__
    if kind in ACTIVATIONS:
        return "Activation", {"activation": ACTIVATIONS[kind]}, ()
    if kind in MERGES and len(seen.inputs) == 2 and len(seen.inputs[0]) == len(seen.inputs[1]):
        return kind, {}, ()
    rewrite = REWRITES.get(kind)
    keeps_batch = all(shape[:1] == seen.output[:1] for shape in seen.inputs)
    return rewrite(seen) if rewrite and keeps_batch else None


def opened(call: Any) -> Any:
    """A call of a layer as the function of Keras' own layers and operations that it is made of.

    Args:
        call: Keras' node of the call.

    Returns:
        A keras.Function; None where the layer's `call` is not made of such, or does not run on symbolic tensors.
    """
    import keras

    layer = call.operation
    for batch in (None, 1):  # some write the batch into a shape
        fresh = {id(t): keras.KerasTensor((batch, *t.shape[1:]), t.dtype, name=t.name) for t in call.input_tensors}
        args, kwargs = call.arguments.convert(lambda a, fresh=fresh: fresh.get(id(a), a))
        if "training" in inspect.signature(layer.call).parameters:
            kwargs["training"] = False
        inputs = [fresh[id(t)] for t in call.input_tensors]  # as often as the call has each
        try:
            return keras.Function(inputs, keras.tree.flatten(layer.call(*args, **kwargs)))
        except Exception:  # what another's code raises on tensors without values is of any type
            continue
    return None


def _add(call: Call) -> Spelling | None:
    return _affine(call, lambda c, first: (1.0, c))


def _subtract(call: Call) -> Spelling | None:
    return _affine(call, lambda c, first: (-1.0, c) if first else (1.0, -c))


def _multiply(call: Call) -> Spelling | None:
    return _affine(call, lambda c, first: (c, 0.0))


def _divide(call: Call) -> Spelling | None:
    return None if call.constant(0) is not None else _affine(call, lambda c, first: (1.0 / c, 0.0))


def _affine(call: Call, parts: Callable[[np.ndarray, bool], tuple[Any, Any]]) -> Spelling | None:
    """Rescaling by a constant operand: `parts` gives scale and offset from it and whether it stands first."""
    if len(call.inputs) != 1 or len(call.arguments) != 2:
        return None
    first = not call.symbolic[0]
    value = call.constant(0 if first else 1)
    if value is None or value.dtype.kind not in "iuf" or value.size not in (1, call.output[-1]):
        return None
    if call.inputs[0] != call.output or (value.size > 1 and value.shape[-1] != value.size):
        return None
    scale, offset = (np.asarray(p, np.float64).ravel() for p in parts(value.astype(np.float64), first))
    return "Rescaling", {"scale": _plain(scale), "offset": _plain(offset)}, ()


def _plain(values: np.ndarray) -> Any:
    return values.item() if values.size == 1 else values.tolist()


def _negative(call: Call) -> Spelling:
    return "Rescaling", {"scale": -1.0, "offset": 0.0}, ()


def _pool(call: Call) -> Spelling | None:
    axes = call.axis if isinstance(call.axis, tuple | list) else (call.axis,)
    if len(call.inputs[0]) != 4 or sorted(a % 4 for a in axes if a is not None) != [1, 2]:
        return None
    if getattr(call.operation, "initial", None) is not None:  # a maximum's least answer
        return None
    return POOLS[type(call.operation).__name__], {"keepdims": call.keepdims, "data_format": "channels_last"}, ()


def _reshape(call: Call) -> Spelling:
    return "Reshape", {"target_shape": call.output[1:]}, ()


def _transpose(call: Call) -> Spelling | None:
    axes = tuple(call.axes or ())
    return ("Permute", {"dims": axes[1:]}, ()) if axes[:1] == (0,) else None


def _concatenate(call: Call) -> Spelling | None:
    """Of tensors alone: a constant among them would be lost."""
    import keras

    parts = call.arguments[0]
    plain = isinstance(parts, list | tuple) and all(isinstance(part, keras.KerasTensor) for part in parts)
    return ("Concatenate", {"axis": call.axis}, ()) if plain and call.axis != 0 else None


def _cast(call: Call) -> Spelling | None:
    return ("Identity", {}, ()) if call.operation.dtype in (None, "float32", "float16", "bfloat16") else None


def _elu(call: Call) -> Spelling:
    return "ELU", {"alpha": call.alpha}, ()


def _leaky_relu(call: Call) -> Spelling:
    return "LeakyReLU", {"negative_slope": call.negative_slope}, ()


def _gelu(call: Call) -> Spelling | None:
    return None if call.approximate else ("Activation", {"activation": "gelu"}, ())


def _softmax(call: Call) -> Spelling | None:
    last = call.axis in (-1, len(call.output) - 1)
    return ("Activation", {"activation": "softmax"}, ()) if last else None


def _clip(call: Call) -> Spelling | None:
    if call.x_min != 0 or call.x_max is None:
        return None
    return "ReLU", {"max_value": float(call.x_max), "negative_slope": 0.0, "threshold": 0.0}, ()


def _pad(call: Call) -> Spelling | None:
    amounts = [(a, a) if isinstance(a, int) else tuple(a) for a in call.pad_width]
    if call.mode != "constant" or len(amounts) != 4 or (len(call.arguments) > 1 and call.arguments[1] not in (None, 0)):
        return None
    if not any(map(sum, (amounts[0], amounts[3]))):
        return "ZeroPadding2D", {"padding": tuple(amounts[1:3]), "data_format": "channels_last"}, ()
    if not any(map(sum, amounts[:3])):
        return "ChannelPad", {"before": amounts[3][0], "after": amounts[3][1]}, ()
    return None


def _get_item(call: Call) -> Spelling | None:
    """Slices of step 1 over the axes behind the batch, which is kept whole."""
    key = call.arguments[1]
    key = list(key) if isinstance(key, tuple) else [key]
    rank = len(call.inputs[0])
    if Ellipsis in key:
        at = key.index(Ellipsis)
        key[at : at + 1] = [slice(None)] * (rank - len(key) + 1)
    key += [slice(None)] * (rank - len(key))
    if key[0] != slice(None) or not all(isinstance(k, slice) and k.step in (None, 1) for k in key):
        return None
    limits = [k.indices(side)[:2] for k, side in zip(key[1:], call.inputs[0][1:], strict=True)]
    return "Slice", {"begin": [start for start, _ in limits], "size": [stop - start for start, stop in limits]}, ()


def _split(call: Call) -> Spelling | None:
    halves = call.indices_or_sections == 2 and call.axis in (-1, 3) and len(call.output) == 4
    return ("ChannelSplit", {}, ()) if halves else None


def _convolution(call: Call) -> Spelling | None:
    """Of a kernel that is constant, by a layer of one's own."""
    kernel = call.constant(1)
    if kernel is None or len(call.output) != 4 or call.data_format == "channels_first":
        return None
    config = {
        "kernel_size": kernel.shape[:2],
        "strides": _pair(call.strides),
        "padding": call.padding,
        "dilation_rate": _pair(call.dilation_rate),
        "use_bias": False,
        "activation": "linear",
        "data_format": "channels_last",
    }
    if type(call.operation).__name__ == "DepthwiseConv":
        return "DepthwiseConv2D", config | {"depth_multiplier": kernel.shape[3]}, (kernel,)
    config |= {"filters": kernel.shape[3], "groups": call.inputs[0][-1] // kernel.shape[2]}
    return "Conv2D", config, (kernel,)


def _pair(value: int | Sequence[int]) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _window(call: Call) -> Spelling | None:
    if len(call.output) != 4 or call.data_format == "channels_first":
        return None
    size = _pair(call.pool_size)
    strides = size if call.strides is None else _pair(call.strides)
    config = {"pool_size": size, "strides": strides, "padding": call.padding, "data_format": "channels_last"}
    return ("MaxPooling2D" if type(call.operation).__name__ == "MaxPool" else "AveragePooling2D"), config, ()


def _dense(call: Call) -> Spelling | None:
    kernel = call.constant(1)
    if kernel is None or kernel.ndim != 2:
        return None
    return "Dense", {"units": kernel.shape[1], "use_bias": False, "activation": "linear"}, (kernel,)


REWRITES: dict[str, Rewrite] = {
    "Add": _add,
    "AveragePool": _window,
    "Cast": _cast,
    "Clip": _clip,
    "Concatenate": _concatenate,
    "ConvertToTensor": _cast,
    "Conv": _convolution,
    "DepthwiseConv": _convolution,
    "Divide": _divide,
    "Elu": _elu,
    "ExpandDims": _reshape,
    "Gelu": _gelu,
    "GetItem": _get_item,
    "LeakyRelu": _leaky_relu,
    "Matmul": _dense,
    "Max": _pool,
    "MaxPool": _window,
    "Mean": _pool,
    "Multiply": _multiply,
    "Negative": _negative,
    "Pad": _pad,
    "Reshape": _reshape,
    "Softmax": _softmax,
    "Split": _split,
    "Squeeze": _reshape,
    "Subtract": _subtract,
    "Transpose": _transpose,
    "TrueDivide": _divide,
}
