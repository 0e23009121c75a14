"""TFLite Metadata inside the file: what Android's and MediaPipe's image classifiers read (labels, normalisation).

Schema: metadata_schema.fbs 1.5 of tflite-support (identifier M001). Its Python classes ship only in packages that do
not install beside TensorFlow's protobuf, so the few tables needed are written through flatbuffers' builder.
"""

import io
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import flatbuffers
import numpy as np

from ..preprocessing import Preprocessing
from .contents import parse, quantization_of
from .emit.writer import pack

ENTRY, IDENTIFIER, PARSER, LABELS = b"TFLITE_METADATA", b"M001", "1.0.0", "labels.txt"
AXIS_LABELS, IMAGE_PROPERTIES, NORMALIZATION, RGB = 2, 2, 1, 1  # the schema's enums and unions

Field = Callable[[flatbuffers.Builder, int], None]


def expressible(preprocessing: Preprocessing, content: bytes) -> bool:
    """Whether a reader of the metadata would feed the file right.

    The schema knows RGB pixels of which a mean is taken and which are divided, neither BGR nor grey ones. Into a uint8
    input the readers write pixels as they are, so these must be the tensor's steps, within one.
    """
    from ai_edge_litert import schema_py_generated as schema

    graph = parse(content).subgraphs[0]
    tensor = graph.tensors[graph.inputs[0]]
    if preprocessing.channels != "rgb" or tensor.shape[-1] != 3:
        return False
    if tensor.type != schema.TensorType.UINT8:
        return True
    scale, zero_point = quantization_of(tensor) or (1.0, 0)
    pixels = np.arange(256.0).reshape(1, 16, 16, 1).repeat(tensor.shape[-1], 3)
    return bool(np.abs(preprocessing(pixels) - scale * (pixels - zero_point)).max() <= 1.01 * scale)


def with_metadata(content: bytes, name: str, preprocessing: Preprocessing, labels: Sequence[str]) -> bytes:
    """The file with its normalisation in pixel units and its labels, one a line, as an appended zip member.

    Args:
        content: a .tflite file with one image input; the labels belong to its first output.
        name: of the model.
        preprocessing: in RGB.
        labels: by class index.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = parse(content)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(_model_metadata(name, preprocessing, len(model.subgraphs[0].outputs)), np.uint8)
    model.buffers.append(buffer)
    entry.name, entry.buffer = ENTRY, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    file = io.BytesIO(pack(model))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(zipfile.ZipInfo(LABELS), "\n".join(labels))
    return file.getvalue()


def _model_metadata(name: str, preprocessing: Preprocessing, outputs: int) -> bytes:
    builder = flatbuffers.Builder(1024)
    inputs = _vector(builder, [_image(builder, preprocessing)])
    answers = _vector(builder, [_scores(builder), *(_table(builder, 7, {}) for _ in range(outputs - 1))])
    graph = _table(builder, 10, {2: _offset(inputs), 3: _offset(answers)})
    title, parser, graphs = builder.CreateString(name), builder.CreateString(PARSER), _vector(builder, [graph])
    root = _table(builder, 8, {0: _offset(title), 3: _offset(graphs), 7: _offset(parser)})
    builder.Finish(root, IDENTIFIER)
    return bytes(builder.Output())


def _image(builder: flatbuffers.Builder, preprocessing: Preprocessing) -> int:
    """TensorMetadata of the input: an RGB image, (pixel - mean) / std."""
    pixels = 1 / preprocessing.scale
    mean = builder.CreateNumpyVector(np.array(preprocessing.mean, np.float32) * np.float32(pixels))
    std = builder.CreateNumpyVector(np.array(preprocessing.std, np.float32) * np.float32(pixels))
    options = _table(builder, 2, {0: _offset(mean), 1: _offset(std)})
    unit = _vector(builder, [_table(builder, 2, {0: _byte(NORMALIZATION), 1: _offset(options)})])
    properties = _table(builder, 2, {0: _byte(RGB)})
    content = _table(builder, 3, {0: _byte(IMAGE_PROPERTIES), 1: _offset(properties)})
    name = builder.CreateString("image")
    return _table(builder, 7, {0: _offset(name), 3: _offset(content), 4: _offset(unit)})


def _scores(builder: flatbuffers.Builder) -> int:
    """TensorMetadata of the output: a score for each line of the labels file."""
    file = builder.CreateString(LABELS)
    labels = _vector(builder, [_table(builder, 5, {0: _offset(file), 2: _byte(AXIS_LABELS)})])
    name = builder.CreateString("scores")
    return _table(builder, 7, {0: _offset(name), 6: _offset(labels)})


def _table(builder: flatbuffers.Builder, slots: int, fields: dict[int, Field]) -> int:
    builder.StartObject(slots)
    for slot, write in fields.items():
        write(builder, slot)
    return builder.EndObject()


def _offset(target: int) -> Field:
    return lambda builder, slot: builder.PrependUOffsetTRelativeSlot(slot, target, 0)


def _byte(value: int) -> Field:
    return lambda builder, slot: builder.PrependInt8Slot(slot, value, 0)


def _vector(builder: flatbuffers.Builder, tables: list[int]) -> Any:
    builder.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    return builder.EndVector()
