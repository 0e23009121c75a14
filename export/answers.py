"""What a Keras model answers in float32, be its precision mixed and its inputs in a dictionary."""

from typing import TYPE_CHECKING

import numpy as np

from ..complexity import functional_of

if TYPE_CHECKING:
    import keras

HALVES = ("float16", "bfloat16")


def answers_of(model: "keras.Model", inputs: list[np.ndarray]) -> list[np.ndarray]:
    """The model's outputs at inference, in their order; one array (n, ...) for each of its inputs, in theirs."""
    import keras

    model = _in_float32(model)
    structure = functional_of(model)._inputs_struct
    packed = keras.tree.pack_sequence_as(structure, inputs)
    # JAX compiles all at once there, else each operation by itself: a ShuffleNetV2's export takes 2 s in place of 6
    outputs = model.predict_on_batch(packed) if keras.backend.backend() == "jax" else model(packed, training=False)
    return [np.asarray(keras.ops.convert_to_numpy(output), np.float32) for output in keras.tree.flatten(outputs)]


def _in_float32(model: "keras.Model") -> "keras.Model":
    """The model, or a copy of one of mixed precision: files are of float32."""
    if not any(layer.compute_dtype in HALVES for layer in model._flatten_layers(include_self=False)):
        return model
    from ..precision import in_float32

    try:
        return in_float32(model)
    except (TypeError, ValueError):  # a layer of a class that Keras does not know
        return model
