"""tf2onnx, for graphs that hold a layer without a rule. Needs the TensorFlow backend.

Its operators stop at opset 18. Grouped convolutions come out invalid with no more than a log line, hence the checks
behind it.
"""

import contextlib
import io
import logging
from typing import TYPE_CHECKING, Any

import onnx

from ...errors import InputError, first_line
from .emitter import TO_FIRST
from .options import Layout

if TYPE_CHECKING:
    import keras

LAST_OPSET = 18


def convert(model: "keras.Model", missing: list[str], opset: int, batch: int | None, layout: Layout) -> onnx.ModelProto:
    """A float32 model by tf2onnx; batch, layout and names of inputs and outputs as ours have them.

    Args:
        model: a Keras model.
        missing: the layers without a rule, for messages.
        opset: at most 18.
        batch: images a call; None leaves it open.
        layout: of the maps that the file reads and returns.

    Raises:
        InputError: another backend, a higher opset, or a layer that tf2onnx does not know either.
    """
    import keras

    reason = f"{model.name}: it holds layers without a rule of ours ({', '.join(missing)}), and tf2onnx"
    if keras.backend.backend() != "tensorflow":
        raise InputError(f"{reason} runs on TensorFlow alone; set KERAS_BACKEND=tensorflow")
    if opset > LAST_OPSET:
        raise InputError(
            f"{reason} knows operators up to opset {LAST_OPSET}, not {opset}; give a lower opset, and no int4"
        )
    try:
        import tf2onnx
    except ModuleNotFoundError as error:
        raise InputError(f"{reason} is not installed: pip install 'keras-cnnzoo[onnx]'") from error
    import tensorflow as tf

    specs = [tf.TensorSpec((batch, *tensor.shape[1:]), tf.float32, name=tensor.name) for tensor in model.inputs]
    maps = [spec.name for spec in specs if len(spec.shape) == 4] if layout == "NCHW" else []
    function = tf.function(lambda *images: keras.tree.flatten(model(_packed(images), training=False)))
    level = logging.getLogger("tf2onnx").level
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            found, _ = tf2onnx.convert.from_function(function, specs, opset=opset, inputs_as_nchw=maps)
    except Exception as error:  # whatever its optimiser trips over, of many types
        raise InputError(f"{reason} refuses it ({first_line(error)}); export a .tflite file") from error
    finally:
        logging.getLogger("tf2onnx").setLevel(level)
    return _named(found, model, layout)


def _packed(images: tuple[Any, ...]) -> Any:
    return images[0] if len(images) == 1 else list(images)


def _named(found: onnx.ModelProto, model: "keras.Model", layout: Layout) -> onnx.ModelProto:
    """Outputs named after the layers that make them, maps in the layout, as in our own files."""
    wanted = [tensor._keras_history.operation.name for tensor in model.outputs]
    unique = [f"{name}:{i}" if wanted.count(name) > 1 else name for i, name in enumerate(wanted)]
    for output, name in zip(found.graph.output, unique, strict=True):
        shape = output.type.tensor_type.shape
        if len(shape.dim) == 4 and layout == "NCHW":
            node = onnx.helper.make_node("Transpose", [output.name], [name], name=name, perm=TO_FIRST)
            shape.CopyFrom(_permuted(shape))
        else:
            node = onnx.helper.make_node("Identity", [output.name], [name], name=name)
        found.graph.node.append(node)
        output.name = name
    return found


def _permuted(shape: onnx.TensorShapeProto) -> onnx.TensorShapeProto:
    return onnx.TensorShapeProto(dim=[shape.dim[i] for i in TO_FIRST])
