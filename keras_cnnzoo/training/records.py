"""Data sets too large for memory: TFRecord files of equal size, and a dataset.json that says what is in them."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import InputError
from ..files import refuse_overwrite, replacing, write
from .data import Arrays, Data, Records, Source

PER_SHARD = 1024


def write_shards(
    data: Data,
    folder: str | os.PathLike[str],
    *,
    per_shard: int = PER_SHARD,
    seed: int = 0,
    force: bool = False,
    step: Callable[[float], object] = lambda pictures: None,
) -> Path:
    """Writes pictures and labels as TFRecords `train-00000.tfrecord`, ..., `test-00000.tfrecord`, ... in random order.

    Each record is a tf.train.Example with `image/encoded` (a file's bytes as they are; arrays as PNG) and
    `image/class/label`.

    Args:
        data: from `dataset`.
        folder: where they shall stand.
        per_shard: pictures a file; some 100 to 200 MB a file suit a network file system.
        seed: of the order.
        force: replace what stands there: dataset.json and the files of an earlier one.
        step: told of each picture written.

    Returns:
        The dataset.json, which is written last.

    Raises:
        InputError: a folder that cannot be written, pictures of neither 1 nor 3 channels, one that cannot be read, or
            data that are TFRecords already.
    """
    if per_shard < 1:
        raise InputError(f"per_shard={per_shard}: expected 1 picture or more")
    _require_encodable(data)
    index = _cleared(Path(folder), force)
    parts = {
        part: _write_part(source, Path(folder), part, per_shard, seed, step)
        for part, source in (("train", data.train), ("test", data.test))
    }
    said = {"classes": data.classes, "name": data.name, "shape": data.shape}
    return write(index, json.dumps(said | parts, indent=2))


def _require_encodable(data: Data) -> None:
    if data.shape[2] not in (1, 3):
        raise InputError(f"{data.name}: pictures of {data.shape[2]} channels; shards hold those of 1 or 3")
    if any(isinstance(source, Records) for source in (data.train, data.test)):
        raise InputError(f"{data.name}: the data are TFRecords already; train on them, or give what they were made of")


def _cleared(folder: Path, force: bool) -> Path:
    """Where the dataset.json will stand, in a folder without files of an earlier one."""
    index = folder / "dataset.json"
    for file in (index, *sorted(folder.glob("t[er]*-[0-9][0-9][0-9][0-9][0-9].tfrecord"))):
        refuse_overwrite(file, force=force)
        file.unlink(missing_ok=True)  # dataset.json first: it must not name what is gone
    return index


def _write_part(
    source: Source, folder: Path, part: str, per_shard: int, seed: int, step: Callable[[float], object]
) -> dict[str, int]:
    import tensorflow as tf

    assert not isinstance(source, Records)
    order, counts = np.random.default_rng(seed).permutation(len(source)), {}
    for number, start in enumerate(range(0, len(source), per_shard)):
        file, chosen = f"{part}-{number:05}.tfrecord", order[start : start + per_shard]
        with replacing(folder / file) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
            for i in chosen:
                writer.write(_example(_encoded(source, i), int(source.labels[i])))
                step(1)
        counts[file] = len(chosen)
    return counts


def _encoded(source: Source, i: int) -> bytes:
    if isinstance(source, Arrays):
        buffer = io.BytesIO()
        Image.fromarray(source.pixels[i].squeeze()).save(buffer, "PNG")
        return buffer.getvalue()
    assert not isinstance(source, Records)
    item = source.encoded[i]
    if isinstance(item, bytes):
        return item
    try:
        return Path(item).read_bytes()
    except OSError as error:
        raise InputError(f"{item}: cannot be read ({error.strerror}); mend or remove it") from error


def _example(encoded: bytes, label: int) -> bytes:
    import tensorflow as tf

    feature = {
        "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded])),
        "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def read_shards(folder: str | os.PathLike[str], size: int | None, channels: int) -> Data:
    """The data that `write_shards` wrote, read as they are used.

    Args:
        folder: where they stand.
        size: height and width that they are read at; else those that they were written from.
        channels: at most so many.

    Raises:
        InputError: a dataset.json that says something else or what no classifier learns from, or missing files.
    """
    index = Path(folder) / "dataset.json"
    try:
        found: dict[str, Any] = json.loads(index.read_text())
        train, test = (
            Records(tuple(str(index.parent / file) for file in found[part]), tuple(map(int, found[part].values())))
            for part in ("train", "test")
        )
        classes, name = tuple(map(str, found["classes"])), str(found["name"])
        height, width, depth = map(int, found.get("shape", (224, 224, 3)))  # which older files lack
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{index}: not written by `cnnzoo shard` ({error!r}); write it again by that") from error
    if strange := next((n for part in ("train", "test") for n in found[part] if n != Path(n).name), None):
        raise InputError(f"{index}: names {strange!r}, a place outside of its folder; it is not opened")
    if len(classes) < 2 or depth not in (1, 3) or min(min(part.counts, default=0) for part in (train, test)) < 1:
        raise InputError(
            f"{index}: {len(classes)} classes, pictures of {depth} channels, {list(train.counts)} to train on and "
            f"{list(test.counts)} to test on; expected 2 classes or more, 1 or 3 channels, and no file or part without "
            "pictures"
        )
    missing = next((file for file in train.files + test.files if not Path(file).is_file()), None)
    if missing is not None:
        raise InputError(f"{missing}: missing, though {index} names it; copy it there, or run `cnnzoo shard` again")
    return Data(train, test, classes, (size or height, size or width, min(depth, channels)), name)
