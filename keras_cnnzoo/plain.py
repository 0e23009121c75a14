"""A network without a class of ours: it loads where this package is not installed."""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from .complexity import functional_of
from .errors import InputError
from .layers import ChannelShuffle, GroupedConv2D

OURS = __name__.partition(".")[0]


def to_plain_keras(model: keras.Model) -> keras.Model:
    """The same function with the same weights, of Keras' own layers and operations alone.

    GroupedConv2D becomes Conv2D, which trains far slower on a CPU under TensorFlow.

    Args:
        model: a functional or Sequential model, nested ones in it, of known height and width where it shuffles
            channels.

    Raises:
        InputError: a subclassed model, or a channel shuffle of a map whose size is not known.
    """
    functional = functional_of(model)
    if not hasattr(functional, "_nodes_by_depth"):
        raise InputError(
            f"{model.name}: only a functional model can be copied; build it by keras.Model(inputs, outputs), or begin "
            "keras.Sequential with a keras.Input"
        )
    plain = keras.models.clone_model(functional, clone_function=_without_our_class, call_function=_call)
    plain.name = model.name
    weighted = {layer.name: layer for layer in plain.layers if layer.weights}
    for layer in functional.layers:
        if layer.weights:
            weighted[layer.name].set_weights(layer.get_weights())
    return plain


def _without_our_class(layer: Any) -> Any:
    if isinstance(layer, keras.Model):
        return to_plain_keras(layer)
    kind = layers.Conv2D if isinstance(layer, GroupedConv2D) else type(layer)
    return kind.from_config(layer.get_config())


def _call(layer: Any, *args: Any, **kwargs: Any) -> Any:
    """The layer's output; one of ours is opened into the operations that it calls."""
    if isinstance(layer, ChannelShuffle):
        return _shuffled(args[0], layer)
    ours = type(layer).__module__.partition(".")[0] == OURS
    function: Callable[..., Any] = layer.call if ours else layer
    return function(*args, **kwargs)


def _shuffled(x: Any, shuffle: ChannelShuffle) -> Any:
    height, width, channels = x.shape[1:]
    if height is None or width is None:
        raise InputError(f"{shuffle.name}: the size of its map is not known; build the model with an input_shape")
    split = layers.Reshape((height, width, shuffle.groups, -1), name=f"{shuffle.name}_split")(x)
    moved = layers.Permute((1, 2, 4, 3), name=f"{shuffle.name}_move")(split)
    return layers.Reshape((height, width, channels), name=shuffle.name)(moved)
