"""A float32 .tflite file in fewer bits: litert-quantizer with our ranges, and the types of input and output.

litert-quantizer's own ranges are a moving average seeded by the first sample; exact ones agree more often with the
float network (98.4 against 97.3 % on a CIFAR-10 ResNet-20). OCTAV's clipping of the weights adds 0.1 to 0.2 there.
What it cannot do, one scale for a whole kernel and kernels rounded with regard to their inputs, is written into its
file afterwards (`kernels.py`).
"""

import contextlib
import fnmatch
import io
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import InputError
from .calibration import Ranges
from .contents import normalisations, operator_names, operators, parse
from .emit.writer import operator_code, pack
from .joined import joined
from .kernels import Kernel, float_kernels, nearest_kernel, write_kernels
from .schemes import Boundary, Quantization, Scheme, quantization

LARGE = 32 << 20  # bytes; larger kernels are rounded slice by slice
FLOAT_AT_16_BITS = ("GELU",)  # litert-quantizer writes them of 16 bits, but LiteRT's kernels cannot run those


def quantize(
    content: bytes,
    scheme: Scheme | Quantization,
    ranges: Ranges | None = None,
    *,
    kept: tuple[str, ...] = (),
    kernels: Mapping[str, Kernel] | None = None,
    to_nearest: bool = False,
    ends: bool = True,
) -> bytes:
    """The file in the given scheme.

    Args:
        content: a float32 file with a signature.
        scheme: see `Quantization`.
        ranges: of each activation, for the static schemes.
        kept: operators, by the names of their outputs, that stay in `keep_in`.
        kernels: instead of its own, by the names of the operators' outputs.
        to_nearest: kernels reach to their largest weight, as they do in quantization-aware training; else OCTAV clips.
        ends: a static file reads and returns its own integers, whatever is kept; else it reads and returns float32.
    """
    options = quantization(scheme)
    if options.scheme == "float32":
        return content
    from litert_quantizer import quantizer

    tool = quantizer.Quantizer(content)
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()), _large_kernels():
        warnings.simplefilter("ignore")  # it warns of its own use of the interpreter, and always draws a bar
        _choose(tool, content, options, to_nearest)
        if options.static:
            _leave_out(tool, content, options, kept, ends)
        limits = None
        if options.static:
            found = joined(content, ranges or {})
            limits = {name: {"min": np.array([low]), "max": np.array([high])} for name, (low, high) in found.items()}
        done = tool.quantize(limits, enable_progress_report=False, enable_progress_bar=False)
    small = pack(parse(bytes(done.quantized_model)))  # large data, too, inside: TFLite-Micro does not look behind it
    if options.per_tensor and kernels is None:
        kernels = _one_scale_each(content)
    return write_kernels(small, kernels) if kernels else small


def kept_operators(content: bytes, options: Quantization) -> tuple[str, ...]:
    """The operators, by the names of their outputs, that any of the patterns of `keep` names: a layer's all together.

    Raises:
        InputError: a pattern that names none, or an operator that `keep_in` does not have.
    """
    found = {operator.output: operator.name for operator in operators(content)}
    for pattern in options.keep:
        if not any(_is_named(name, pattern) for name in found):
            raise InputError(f"keep={pattern!r}: no layer is named so; there are {', '.join(list(found)[:8])}, ...")
    kept = tuple(name for name in found if any(_is_named(name, pattern) for pattern in options.keep))
    beyond = [] if options.keep_in == "float32" else [name for name in kept if not has_16_bits(found[name])]
    if beyond:
        raise InputError(
            f"keep_in='int16': LiteRT has no {found[beyond[0]]} of 16 bits ({', '.join(beyond[:3])}); keep float32, or "
            "other layers"
        )
    return kept


def _is_named(operator: str, pattern: str) -> bool:
    """Whether the pattern names the operator, or the layer that it is a step of ("layer/step")."""
    return any(fnmatch.fnmatchcase(operator, each) for each in (pattern, f"{pattern}/*"))


def has_16_bits(kind: str) -> bool:
    """Whether an operator runs on activations of 16 bits: litert-quantizer's own list, less what LiteRT lacks of it."""
    from ai_edge_litert import schema_py_generated as schema
    from litert_quantizer.recipe_manager import RecipeManager
    from litert_quantizer.utils.tfl_flatbuffer_utils import TFL_OP_CODE_TO_NAME

    name = TFL_OP_CODE_TO_NAME.get(getattr(schema.BuiltinOperator, kind))
    if name is None or kind in FLOAT_AT_16_BITS:
        return False
    try:
        RecipeManager().add_static_config(".*", name, 16, 8)
    except ValueError:
        return False
    return True


def _choose(tool: Any, content: bytes, options: Quantization, to_nearest: bool) -> None:
    """Loads the recipe; for int8 OCTAV weighs kernels, except where a channel of zeros would get the scale 0."""
    from litert_quantizer import qtyping, recipe
    from litert_quantizer.algorithm_manager import AlgorithmName

    conv, dense = qtyping.TFLOperationName.CONV_2D, qtyping.TFLOperationName.FULLY_CONNECTED
    recipes = {
        "float16": _float16,
        "dynamic": recipe.dynamic_wi8_afp32,
        "dynamic-int4": recipe.dynamic_wi8_afp32,
        "int16": recipe.static_wi8_ai16,
    }
    tool.load_quantization_recipe(recipes.get(options.scheme, recipe.static_wi8_ai8)())
    if options.scheme == "dynamic-int4":
        for operator in (conv, dense):
            tool.add_dynamic_config(".*", operator, 4)
    elif options.scheme == "int4":
        for operator in (conv, dense):
            tool.add_static_config(".*", operator, 8, 4)
    elif options.scheme == "int8" and not to_nearest:
        tool.add_static_config(_others(_with_zero_channels(content)), conv, 8, 8, algorithm_key=AlgorithmName.OCTAV)
    if options.per_tensor:  # the other kernels are written anew
        whole, transposed = qtyping.QuantGranularity.TENSORWISE, qtyping.TFLOperationName.CONV_2D_TRANSPOSE
        tool.add_static_config(".*", transposed, 8, 8, whole)


def _leave_out(tool: Any, content: bytes, options: Quantization, kept: tuple[str, ...], ends: bool) -> None:
    """What a static scheme's recipe does not quantize, and the file's ends, which it takes for operators of their
    tensors' names; of the rules that match, the last one counts."""
    from litert_quantizer.algorithm_manager import AlgorithmName
    from litert_quantizer.qtyping import TFLOperationName as Name

    layers = [rf"^{re.escape(layer)}(?:/.*)?;?$" for layer in normalisations(content)]
    names = [f"^{re.escape(name)};?$" for name in kept]
    for pattern in [*layers, *(names if options.keep_in == "float32" else ())]:
        tool.update_quantization_recipe(pattern, Name.ALL_SUPPORTED, algorithm_key=AlgorithmName.NO_QUANTIZE)
    for pattern in names if options.keep_in == "int16" else ():
        tool.add_static_config(pattern, Name.ALL_SUPPORTED, 16, 8)
    plain = [Name[kind] for kind in FLOAT_AT_16_BITS] if options.scheme == "int16" else []
    for operator in [*plain, *(() if ends else (Name.INPUT, Name.OUTPUT))]:
        tool.update_quantization_recipe("^", operator, algorithm_key=AlgorithmName.NO_QUANTIZE)
    if ends:
        tool.add_static_config("^", Name.OUTPUT, 16 if options.scheme == "int16" else 8, 8)


def _others(names: list[str]) -> str:
    """A pattern of every operator but these."""
    joined = "|".join(map(re.escape, names))
    return rf"^(?!(?:{joined});?$).*" if names else ".*"


@contextlib.contextmanager
def _large_kernels() -> Iterator[None]:
    """litert-quantizer 0.11 splits tensors above 32 MB and then fails on scales of four axes; here they come split."""
    from litert_quantizer.algorithms.uniform_quantize import uniform_quantize_tensor as rounding

    whole = rounding.uniform_quantize

    def in_slices(tensor_data: np.ndarray, quantization_params: Any, is_blockwise_quant: bool = False) -> Any:
        parameters = quantization_params
        if is_blockwise_quant or tensor_data.ndim != 4 or tensor_data.nbytes <= LARGE:
            return whole(tensor_data, parameters, is_blockwise_quant)
        import dataclasses

        ready = rounding.fix_quantization_params_rank(tensor_data, parameters)
        each = max(1, LARGE // tensor_data[0].nbytes)
        parts = []
        for start in range(0, len(tensor_data), each):
            part = slice(start, start + each) if ready.scale.shape[0] > 1 else slice(None)
            some = dataclasses.replace(ready, scale=ready.scale[part], zero_point=ready.zero_point[part])
            parts.append(whole(tensor_data[start : start + each], some))
        return np.concatenate(parts)

    rounding.uniform_quantize = in_slices
    try:
        yield
    finally:
        rounding.uniform_quantize = whole


def _one_scale_each(content: bytes) -> dict[str, Kernel]:
    """Each kernel of a float file rounded to nearest by one scale."""
    layers = float_kernels(content).items()
    return {name: nearest_kernel(rows, bias, 8, per_tensor=True) for name, (rows, bias) in layers}


def _with_zero_channels(content: bytes) -> list[str]:
    """Outputs of the operators that have an output channel of zero weights."""
    return [name for name, (rows, _) in float_kernels(content).items() if not np.abs(rows).max(axis=1).all()]


def _float16() -> list[dict[str, Any]]:
    """Weights as float16, widened where they are read."""
    weights = {"num_bits": 16, "dtype": "FLOAT", "symmetric": True, "granularity": "TENSORWISE"}
    config = {"weight_tensor_config": weights, "compute_precision": "FLOAT", "explicit_dequantize": True}
    return [{"regex": ".*", "operation": "*", "algorithm_key": "float_casting", "op_config": config}]


def with_boundary(content: bytes, inputs: Boundary, outputs: Boundary) -> bytes:
    """A static file that reads and returns the given types instead of its own.

    uint8 is int8 moved by 128; float32 is quantized by the first operator and dequantized by the last, if that is not
    of float32 itself.
    """
    model = parse(content)
    graph, (signature,) = model.subgraphs[0], model.signatureDefs
    changed = False
    for index in [int(i) for i in graph.inputs if not _is(graph.tensors[i], inputs)]:
        outer = _converted(model, index, inputs)
        graph.operators.insert(0, _conversion(model, outer, index, inputs == "float32", into=True))
        graph.inputs, changed = _renamed(graph.inputs, signature.inputs, index, outer), True
    for index in [int(i) for i in graph.outputs if not _is(graph.tensors[i], outputs)]:
        outer = inner = _before_rounding(model, index) if outputs == "float32" else index
        if not _is(graph.tensors[inner], outputs):
            outer = _converted(model, inner, outputs)
            graph.operators.append(_conversion(model, inner, outer, outputs == "float32", into=False))
        graph.outputs, changed = _renamed(graph.outputs, signature.outputs, index, outer), True
    return pack(model) if changed else content


def _before_rounding(model: Any, index: int) -> int:
    """The tensor of a kept layer that an output is the rounding of, which is left out; else the output itself."""
    graph = model.subgraphs[0]
    for operator, kind in zip(graph.operators, operator_names(model), strict=True):
        if kind == "QUANTIZE" and index in operator.outputs and not any(index in op.inputs for op in graph.operators):
            graph.operators.remove(operator)
            return int(operator.inputs[0])
    return index


def _is(tensor: Any, boundary: Boundary) -> bool:
    from ai_edge_litert import schema_py_generated as schema

    return bool(tensor.type == getattr(schema.TensorType, boundary.upper()))


def _converted(model: Any, index: int, boundary: Boundary) -> int:
    """A new tensor beside tensor `index`, of another type; it takes the name over."""
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    inner, outer = graph.tensors[index], schema.TensorT()
    outer.name, outer.shape, outer.type = inner.name, inner.shape, getattr(schema.TensorType, boundary.upper())
    inner.name = inner.name + b"/quantized"
    if boundary == "uint8":
        outer.quantization = schema.QuantizationParametersT()
        outer.quantization.scale = inner.quantization.scale
        outer.quantization.zeroPoint = np.asarray(inner.quantization.zeroPoint) + 128
    graph.tensors.append(outer)
    return len(graph.tensors) - 1


def _conversion(model: Any, source: int, target: int, real: bool, *, into: bool) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    operator = schema.OperatorT()
    name = schema.BuiltinOperator.DEQUANTIZE if real and not into else schema.BuiltinOperator.QUANTIZE
    operator.opcodeIndex = operator_code(model, name)
    operator.inputs, operator.outputs = np.array([source], np.int32), np.array([target], np.int32)
    return operator


def _renamed(tensors: np.ndarray, names: Any, old: int, new: int) -> np.ndarray:
    """The graph's inputs or outputs with tensor `new` for `old`; the signature's `names` are changed in place."""
    for entry in names:
        if entry.tensorIndex == old:
            entry.tensorIndex = new
    return np.where(tensors == old, new, tensors).astype(np.int32)
