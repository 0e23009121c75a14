"""TFLiteConverter, for graphs that hold a layer without a rule.

It needs Keras' TensorFlow backend, which is chosen once a process: under another one the model is saved and converted
in a process of TensorFlow's own.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, first_line
from .calibration import Calibration
from .contents import parse
from .emit.writer import pack, signature
from .graph import unasked
from .schemes import Boundary, Scheme

if TYPE_CHECKING:
    import keras


def convert(
    model: "keras.Model",
    scheme: Scheme,
    calibration: Calibration | None,
    inputs: Boundary,
    outputs: Boundary,
    batch: int,
) -> bytes:
    """A .tflite file by TensorFlow's own converter: batch fixed, variables frozen, signature put back.

    Raises:
        InputError: a layer that the converter does not know either, or one that another process cannot load; fewer
            calibration images than a batch has.
    """
    import keras

    if calibration is not None and len(calibration) < batch:
        raise InputError(
            f"{len(calibration)} calibration images do not fill a batch of {batch}; give more, or a smaller batch"
        )
    arguments = (scheme, calibration, inputs, outputs, batch)
    ours = keras.backend.backend() == "tensorflow"
    return _converted(model, *arguments) if ours else _by_another_process(model, *arguments)


def _by_another_process(
    model: "keras.Model",
    scheme: Scheme,
    calibration: Calibration | None,
    inputs: Boundary,
    outputs: Boundary,
    batch: int,
) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with unasked():
            model.save(folder / "model.keras")
        if calibration is not None:
            np.save(folder / "calibration.npy", calibration.inputs)
        (folder / "arguments.json").write_text(json.dumps([scheme, inputs, outputs, batch]))
        environment = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(
            [sys.executable, "-P", "-W", "ignore", "-m", __name__, name],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1][:300]
            raise InputError(
                f"{model.name}: TensorFlow's converter, in a process of its own, fails ({reason}); set "
                "KERAS_BACKEND=tensorflow, and it needs none"
            )
        return (folder / "model.tflite").read_bytes()


def _main(folder: Path) -> None:
    """Converts what `_by_another_process` put into the folder."""
    import keras

    from .. import layers  # noqa: F401  registers them

    scheme, inputs, outputs, batch = json.loads((folder / "arguments.json").read_text())
    data = folder / "calibration.npy"
    calibration = Calibration(np.load(data), "array") if data.exists() else None
    model = keras.saving.load_model(folder / "model.keras", compile=False)
    (folder / "model.tflite").write_bytes(convert(model, scheme, calibration, inputs, outputs, batch))


def _converted(
    model: "keras.Model",
    scheme: Scheme,
    calibration: Calibration | None,
    inputs: Boundary,
    outputs: Boundary,
    batch: int,
) -> bytes:
    import tensorflow as tf

    from ..precision import in_float32

    mixed = any(layer.compute_dtype != "float32" for layer in model._flatten_layers(include_self=False))
    plain = in_float32(model) if mixed else model  # LiteRT lacks operators of half precision
    converter = tf.lite.TFLiteConverter.from_concrete_functions([_frozen(plain, batch)])
    if scheme != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if scheme == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if scheme == "int8" and calibration is not None:
        converter.representative_dataset = lambda: (
            [calibration.inputs[i : i + batch]] for i in range(0, len(calibration) - batch + 1, batch)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type, converter.inference_output_type = tf.as_dtype(inputs), tf.as_dtype(outputs)
    try:
        content = converter.convert()
    except Exception as error:  # the converter raises whatever MLIR says, of many types
        raise InputError(
            f"{model.name}: TensorFlow's converter refuses it ({first_line(error)}); replace what it "
            "names, or export an .onnx file"
        ) from error
    return _signed(content, model)


def _frozen(model: "keras.Model", batch: int) -> Any:
    """One function of fixed batch with constants for variables: left in, they would be handles and the answers NaN."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    specs = [tf.TensorSpec((batch, *tensor.shape[1:]), tf.float32, name=tensor.name) for tensor in model.inputs]
    function = tf.function(lambda *images: model(images[0] if len(images) == 1 else list(images), training=False))
    return convert_variables_to_constants_v2(function.get_concrete_function(*specs))


def _signed(content: bytes, model: "keras.Model") -> bytes:
    """The file with the serving_default signature that the frozen path drops."""
    file = parse(content)
    graph = file.subgraphs[0]
    names = [tensor._keras_history.operation.name for tensor in model.outputs]
    unique = [f"{name}:{i}" if names.count(name) > 1 else name for i, name in enumerate(names)]
    inputs = {tensor.name: int(index) for tensor, index in zip(model.inputs, np.array(graph.inputs), strict=True)}
    outputs = {name: int(index) for name, index in zip(unique, np.array(graph.outputs), strict=True)}
    file.signatureDefs = [signature(inputs, outputs)]
    return pack(file)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
