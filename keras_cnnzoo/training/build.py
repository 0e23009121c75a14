"""A network of the zoo, built for a data set."""

import inspect
import os
from typing import Any, Literal

import keras

from .. import registry
from ..errors import InputError
from .data import Data

Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
SMALL = 64  # pixels up to which the stem does not subsample


def network(
    name: str,
    data: Data,
    *,
    weights: str | os.PathLike | None = None,
    precision: Precision = "float32",
    seed: int = 0,
    **options: Any,
) -> keras.Model:
    """Builds a network that reads the data and returns logits of their classes.

    Pictures of up to 64 pixels go into the stem that does not subsample, where the network has one (`small_input`).

    Args:
        name: of `list_models()`.
        data: its shape and classes are the network's.
        weights: to start from; the classifier stays new where the class count differs.
        precision: what layers compute in; variables and logits are float32 always.
        seed: of initialisation and dropout.
        options: those of the builder.

    Raises:
        InputError: no such network or option, or weights that do not fit.
    """
    chosen: dict[str, Any] = {"input_shape": data.shape, "classes": len(data.classes), "classifier_activation": None}
    known = inspect.signature(registry.builder_of(name)).parameters
    if "small_input" in known and max(data.shape[:2]) <= SMALL:
        chosen["small_input"] = True
    if weights is not None:
        chosen["weights"] = weights
    keras.utils.set_random_seed(seed)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        model = registry.create(name, **(chosen | options))
    finally:
        keras.config.set_dtype_policy(before)
    if options.get("classes", len(data.classes)) != len(data.classes):
        raise InputError(f"classes={options['classes']}: the data have {len(data.classes)}; leave it out")
    return model


def emulated(precision: Precision) -> bool:
    """Whether this machine only emulates a precision: no GPU, and no such instructions in the processor."""
    import tensorflow as tf

    if precision == "float32" or tf.config.list_physical_devices("GPU"):
        return False
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123  a device
            flags = set(next((line for line in file if line.startswith("flags")), "").split())
    except OSError:
        return False
    needed = {"avx512_bf16", "amx_bf16"} if precision == "mixed_bfloat16" else {"avx512_fp16", "amx_fp16"}
    return bool(flags) and not flags & needed
