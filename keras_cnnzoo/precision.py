"""A network of half or mixed precision as one of float32, which is what leaves the house."""

import json

import keras


def in_float32(model: keras.Model) -> keras.Model:
    """A copy whose layers compute in float32, not compiled and trainable throughout.

    Args:
        model: of any dtype policy; fine-tuning may have frozen its normalisations.
    """
    config = json.dumps(keras.saving.serialize_keras_object(model))
    for policy in ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16"):
        config = config.replace(f'"{policy}"', '"float32"')
    described = json.loads(config)
    described.pop("compile_config", None)
    copy = keras.saving.deserialize_keras_object(described)
    copy.set_weights(model.get_weights())
    copy.trainable = True
    return copy
