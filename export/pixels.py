"""A network that reads pixels: its normalisation as its first layer, which lowering folds into the convolution.

A scale alone goes into the first convolution's kernel whatever its padding; a shift where no zero is padded (a padded
zero is not shifted). Else both are one 1x1 depthwise convolution before the padding, so that the border is exact.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import InputError
from ..preprocessing import Preprocessing
from ..preprocessing_layers import normalisation
from .calibration import Calibration
from .graph import functional

if TYPE_CHECKING:
    import keras


def reads_pixels(model: "keras.Model", spec: Preprocessing) -> tuple["keras.Model", Preprocessing]:
    """The model with `spec`'s normalisation in front, and what is left to do before it: resize and crop.

    Args:
        model: functional or sequential, one input.
        spec: what the model was trained on.

    Returns:
        A model of RGB pixels 0..255, and a spec that changes no pixel.

    Raises:
        InputError: several inputs, or one of pixels already, or neither functional nor sequential.
    """
    import keras

    network = functional(model)
    if len(network.inputs) != 1:
        raise InputError(f"{model.name} has {len(network.inputs)} inputs; --pixels is for networks of one picture")
    (image,) = network.inputs
    spec = spec.for_channels(image.shape[-1])
    pixels = keras.Input(image.shape[1:], name=image.name)
    normalised = normalisation(spec, name="pixels_normalised")(pixels)
    names = {layer.name for layer in model.layers}
    if "pixels_normalised" in names:
        raise InputError(f"{model.name} reads pixels already; drop --pixels")
    plain = replace(spec, scale=1.0, mean=(0.0,) * len(spec.mean), std=(1.0,) * len(spec.mean), channels="rgb")
    return keras.Model(pixels, network._run_through_graph(normalised, lambda layer: layer), name=model.name), plain


def spanning(data: Calibration) -> Calibration:
    """The images with a black and a white pixel in the first, so that the input's range is that of pixels: a uint8
    file's steps are then the pixels themselves, as MediaPipe takes them to be."""
    inputs = data.inputs.copy()
    inputs[0, 0, 0], inputs[0, 0, -1] = 0, 255
    return replace(data, inputs=inputs)
