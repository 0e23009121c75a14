"""A network of the zoo, built for a data set."""

import inspect
import os
from contextlib import nullcontext
from typing import Any

import keras

from ..by_name import create
from ..errors import InputError
from ..registry import builder_of
from .data import Data
from .recipes import Precision, require_precision

SMALL = 64  # pixels up to which the stem does not subsample


def network(
    name: str,
    /,
    data: Data,
    *,
    weights: str | os.PathLike[str] | None = None,
    precision: Precision = "float32",
    devices: int = 1,
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
        devices: of this host, each of which takes its part of every batch (TensorFlow's MirroredStrategy).
        seed: of initialisation and dropout.
        options: those of the builder, its `name` too.

    Raises:
        InputError: no such network, option or precision, or weights that do not fit.
    """
    require_precision(precision)
    chosen: dict[str, Any] = {"input_shape": data.shape, "classes": len(data.classes), "classifier_activation": None}
    chosen |= small_stem(name, data)
    if weights is not None:
        chosen["weights"] = weights
    keras.utils.set_random_seed(seed)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        with mirrored(devices).scope() if devices > 1 else nullcontext():
            model = create(name, **(chosen | options))
    finally:
        keras.config.set_dtype_policy(before)
    if options.get("classes", len(data.classes)) != len(data.classes):
        raise InputError(f"classes={options['classes']}: the data have {len(data.classes)}; leave it out")
    return model


def small_stem(name: str, data: Data) -> dict[str, Any]:
    """The builder's option for pictures of up to 64 pixels, where the network has such a stem; else nothing."""
    takes = "small_input" in inspect.signature(builder_of(name)).parameters
    return {"small_input": True} if takes and max(data.shape[:2]) <= SMALL else {}


def mirrored(devices: int) -> Any:
    """A strategy over the first GPUs, or CPUs where there is no GPU; a model built under its scope trains on all.

    Batch normalisations take the statistics of their own device's part; norm="sync_batch" those of the whole batch.

    Raises:
        InputError: fewer devices, or another backend than TensorFlow.
    """
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        raise InputError(f"devices={devices}: several devices are TensorFlow's here; set KERAS_BACKEND=tensorflow")
    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if devices > len(found):
        raise InputError(
            f"devices={devices}: this host has {len(found)} of {found[0].device_type}; give at most so many"
        )
    return tf.distribute.MirroredStrategy([device.name for device in found[:devices]])


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
