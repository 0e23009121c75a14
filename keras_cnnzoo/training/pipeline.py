"""tf.data pipelines in which each batch is a function of seed and step, so that a run goes on where it was left."""

import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from PIL import Image

from ..errors import InputError
from ..images import UNDECODABLE, of_channels
from ..preprocessing import ROUNDING, Preprocessing
from .augment import Draws, augmented, boxes, mixed
from .data import Arrays, Data, Pictures, Records, Source
from .recipes import Recipe

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG"  # how their files begin
KERNELS = {"nearest": "box", "bilinear": "triangle", "bicubic": "keyscubic"}  # of ScaleAndTranslate
SHUFFLED, READERS = 4096, 16  # records in a window that is shuffled, files read at once


def steps_per_epoch(source: Source, batch: int) -> int:
    """Whole batches in an epoch; the rest comes up in another one.

    Raises:
        InputError: fewer pictures than one batch.
    """
    if len(source) < batch:
        raise InputError(f"{len(source)} training images are fewer than a batch of {batch}; lower --batch")
    return len(source) // batch


def training_batches(
    data: Data,
    recipe: Recipe,
    preprocessing: Preprocessing,
    seed: int,
    start: int,
    part: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """From step `start` to the last one: ((n, h, w, c) float32 images, (n, classes) float32 targets).

    Args:
        data: from `dataset`.
        recipe: its batch, epochs and augmentation.
        preprocessing: normalises pixels 0..255.
        seed: of order and augmentation.
        start: steps done.
        part: (number, of how many equal ones) of each batch that is wanted: a host's. Mixup and cutmix then mix within
            the part.
    """
    steps = steps_per_epoch(data.train, recipe.batch)
    order = _Order(len(data.train), recipe.batch, steps, recipe.epochs, seed, part)
    normalised, spread = _normaliser(preprocessing, data.shape[2]), recipe.label_smoothing / len(data.classes)

    def finished(step: tf.Tensor, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        draws = Draws(seed, step, part)
        images = normalised(augmented(images, draws, recipe))
        targets = tf.one_hot(labels, len(data.classes), 1 - recipe.label_smoothing + spread, spread)
        return mixed(images, targets, draws, recipe)

    def crops(step: tf.Tensor) -> tf.Tensor | None:
        return boxes(Draws(seed + 1, step, part), order.own, recipe.area) if recipe.area < 1 else None

    batches = _training_pictures(data.train, order, start, _Fit(data.shape, preprocessing), crops)
    return batches.map(finished, tf.data.AUTOTUNE, deterministic=True).prefetch(4)


def test_batches(data: Data, preprocessing: Preprocessing, batch: int) -> tf.data.Dataset:
    """The test images in order, whole and unchanged, normalised, with one-hot targets."""
    return _in_order(data.test, data, preprocessing, batch)


def sample_batches(data: Data, preprocessing: Preprocessing, batch: int, count: int) -> Iterator[np.ndarray]:
    """About so many training images, always the same, unchanged and normalised, in whole batches where they suffice."""
    batches = -(-count // batch)
    source = data.limited(batches * batch).train
    return (images for images, _ in _in_order(source, data, preprocessing, batch).take(batches).as_numpy_iterator())


def training_images(data: Data, preprocessing: Preprocessing, count: int) -> np.ndarray:
    """At most so many training images, unchanged and normalised, drawn at random; float32."""
    return _first(data.limited(count).train, data, preprocessing, count)[0]


def test_images(data: Data, preprocessing: Preprocessing, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` test images, at most, unchanged and normalised, float32, and their classes, (n,)."""
    images, targets = _first(data.test, data, preprocessing, count)
    return images, targets.argmax(-1)


def _first(source: Source, data: Data, preprocessing: Preprocessing, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, h, w, c) images and (n, classes) targets."""
    batches = _in_order(source, data, preprocessing, 100).take(-(-count // 100)).as_numpy_iterator()
    images, targets = zip(*batches, strict=True)
    return np.concatenate(images)[:count], np.concatenate(targets)[:count]


def _in_order(source: Source, data: Data, preprocessing: Preprocessing, batch: int) -> tf.data.Dataset:
    normalised, fit = _normaliser(preprocessing, data.shape[2]), _Fit(data.shape, preprocessing)
    if isinstance(source, Records):
        read = _parsed(fit)
        records = tf.data.TFRecordDataset(list(map(os.fsencode, source.files)))
        pairs = records.batch(batch).map(lambda part: read(part, None))
    else:
        of = _reader(source, fit)
        pairs = tf.data.Dataset.range(len(source)).batch(batch).map(lambda chosen: of(chosen, None), tf.data.AUTOTUNE)
    return pairs.map(
        lambda images, labels: (normalised(images), tf.one_hot(labels, len(data.classes))), tf.data.AUTOTUNE
    ).prefetch(2)


class _Order:
    """Which pictures a step sees: in each epoch another permutation, cut into batches, of which a host takes a part."""

    def __init__(self, count: int, batch: int, steps: int, epochs: int, seed: int, part: tuple[int, int]) -> None:
        self.count, self.batch, self.steps, self.total, self.seed = count, batch, steps, steps * epochs, seed
        self.own = batch // part[1]
        self.first = self.own * part[0]

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """(own,) int64 indices."""
        positions = step % self.steps * self.batch + self.first + tf.range(self.own, dtype=tf.int64)
        return tf.random.experimental.index_shuffle(positions, self.key(step // self.steps), self.count - 1)

    def key(self, epoch: tf.Tensor) -> tf.Tensor:
        """(2,) of seed and epoch."""
        return tf.cast(tf.stack([tf.constant(self.seed, tf.int64), epoch]), tf.int32)


def _training_pictures(source: Source, order: _Order, start: int, fit: "_Fit", crops: Callable) -> tf.data.Dataset:
    """(step, images, labels) of each step from `start` on."""
    steps = tf.data.Dataset.range(start, order.total)
    if isinstance(source, Records):
        read = _parsed(fit)
        records = _shuffled_records(source, order, start).batch(order.batch, drop_remainder=True)
        return tf.data.Dataset.zip(steps, records).map(
            lambda step, batch: (step, *read(batch[order.first :][: order.own], crops(step))),
            tf.data.AUTOTUNE,
            deterministic=True,
        )
    of = _reader(source, fit)
    return steps.map(lambda step: (step, *of(order(step), crops(step))), tf.data.AUTOTUNE, deterministic=True)


def _shuffled_records(source: Records, order: _Order, start: int) -> tf.data.Dataset:
    """Serialized records, epoch after epoch: the files in random order, several at once, shuffled window by window.

    tf.data's own shuffle draws by TensorFlow's global seed as well, and so is no function of ours.
    """
    files = tf.constant(list(map(os.fsencode, source.files)))

    def epoch_of(epoch: tf.Tensor) -> tf.data.Dataset:
        key, count = order.key(epoch), len(source.files)
        shuffled = tf.gather(files, tf.random.experimental.index_shuffle(tf.range(count), key, count - 1))
        records = tf.data.Dataset.from_tensor_slices(shuffled).interleave(
            tf.data.TFRecordDataset, cycle_length=READERS, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )

        def mixed_up(number: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
            return tf.random.experimental.stateless_shuffle(
                window, tf.random.experimental.stateless_fold_in(key, number)
            )

        windows = records.batch(SHUFFLED).enumerate().map(mixed_up).prefetch(1)
        return windows.unbatch().take(order.steps * order.batch)

    first, done = divmod(start, order.steps)
    return tf.data.Dataset.range(first, order.total // order.steps).flat_map(epoch_of).skip(done * order.batch)


def _parsed(fit: "_Fit") -> Callable[[tf.Tensor, tf.Tensor | None], tuple[tf.Tensor, tf.Tensor]]:
    features = {
        "image/encoded": tf.io.FixedLenFeature((), tf.string),
        "image/class/label": tf.io.FixedLenFeature((), tf.int64),
    }

    def read(records: tf.Tensor, crops: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        found = tf.io.parse_example(records, features)
        return _decoded(found["image/encoded"], crops, fit), found["image/class/label"]

    return read


def _reader(
    source: Arrays | Pictures, fit: "_Fit"
) -> Callable[[tf.Tensor, tf.Tensor | None], tuple[tf.Tensor, tf.Tensor]]:
    """From indices and crops to uint8 images and labels."""
    labels = tf.constant(source.labels)
    if isinstance(source, Arrays):
        pixels = tf.constant(source.pixels)

        def gather(indices: tf.Tensor, crops: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
            images = tf.gather(pixels, indices)
            return images if crops is None else _cropped(images, crops), tf.gather(labels, indices)

        return gather
    in_files = isinstance(source.encoded[0], str)
    encoded = tf.constant(list(map(os.fsencode, source.encoded)))  # names that are no UTF-8, too

    def decode(indices: tf.Tensor, crops: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        chosen = tf.gather(encoded, indices)
        if in_files:
            chosen = tf.map_fn(tf.io.read_file, chosen)
        return _decoded(chosen, crops, fit), tf.gather(labels, indices)

    return decode


def _cropped(images: tf.Tensor, crops: tf.Tensor) -> tf.Tensor:
    """Each image's own box, scaled to the whole; uint8."""
    count, (height, width, channels) = tf.shape(images)[0], images.shape[1:]
    scaled = tf.image.crop_and_resize(images, crops, tf.range(count), (height, width))
    return tf.cast(tf.round(tf.ensure_shape(scaled, (None, height, width, channels))), tf.uint8)


def _decoded(encoded: tf.Tensor, crops: tf.Tensor | None, fit: "_Fit") -> tf.Tensor:
    """(n,) bytes of pictures -> (n, *shape) uint8: a random crop's, or what `Preprocessing.fit` cuts out."""
    windows = tf.tile([[0.0, 0.0, 1.0, 1.0]], (tf.size(encoded), 1)) if crops is None else crops

    def decode(pair: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        picture = _pixels(pair[0], fit.shape[2])
        return fit.central(picture) if crops is None else fit.window(picture, pair[1])

    return tf.map_fn(decode, (encoded, windows), fn_output_signature=tf.TensorSpec(fit.shape, tf.uint8))


def _pixels(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    """A picture's bytes -> (h, w, channels) uint8: JPEG and PNG by TensorFlow, in parallel, the rest by Pillow."""
    by_tensorflow = tf.reduce_any([tf.strings.substr(encoded, 0, len(magic)) == magic for magic in (JPEG, PNG)])
    picture = tf.cond(
        by_tensorflow,
        lambda: tf.io.decode_image(encoded, channels, expand_animations=False),
        lambda: tf.numpy_function(lambda content: _by_pillow(content, channels), [encoded], tf.uint8),
    )
    return tf.ensure_shape(picture, (None, None, channels))


def _by_pillow(content: bytes, channels: int) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(content)) as picture:
            pixels = np.asarray(of_channels(picture, channels))
    except UNDECODABLE as error:
        raise ValueError(str(error)) from error  # which TensorFlow tells as an invalid argument
    return pixels.reshape(*pixels.shape[:2], channels)


@dataclass(frozen=True)
class _Fit:
    """How a decoded picture comes to (height, width, channels): by the crop and interpolation of a spec."""

    shape: tuple[int, int, int]
    spec: Preprocessing

    def window(self, picture: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
        """A box of the picture, in shares of its sides."""
        sides = tf.cast(tf.tile(tf.shape(picture)[:2], (2,)), tf.float32)
        top, left, bottom, right = tf.unstack(tf.cast(tf.round(box * sides), tf.int32))
        part = picture[top : tf.maximum(bottom, top + 1), left : tf.maximum(right, left + 1)]
        return self._resized(part, tf.constant(self.shape[:2]) / tf.shape(part)[:2], tf.zeros(2))

    def central(self, picture: tf.Tensor) -> tf.Tensor:
        """The central part, as Preprocessing.fit has it; a picture of the right size as it is."""

        def cut() -> tf.Tensor:
            sides = tf.cast(tf.shape(picture)[:2], tf.float64)
            enlarge = tf.reduce_max(tf.constant(self.spec.enlarged(self.shape[:2]), tf.float64) / sides)
            whole = tf.floor(sides * enlarge + ROUNDING)
            return self._resized(picture, whole / sides, tf.round((whole - self.shape[:2]) / 2))

        same = tf.reduce_all(tf.shape(picture)[:2] == self.shape[:2])
        return tf.ensure_shape(tf.cond(same, lambda: picture, cut), self.shape)

    def _resized(self, picture: tf.Tensor, scale: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
        """What `shape` holds of the scaled picture from the pixel `first` on; both are (down, across)."""
        scaled = tf.raw_ops.ScaleAndTranslate(  # tf.image.resize's own, which computes no more than is kept
            images=picture[tf.newaxis],
            size=self.shape[:2],
            scale=tf.cast(scale, tf.float32),
            translation=-tf.cast(first + 1e-4, tf.float32),  # of two pixels equally near the one behind, as Pillow
            kernel_type=KERNELS[self.spec.interpolation],
            antialias=self.spec.interpolation != "nearest",
        )
        return tf.ensure_shape(tf.cast(tf.clip_by_value(tf.round(scaled[0]), 0, 255), tf.uint8), self.shape)


def _normaliser(spec: Preprocessing, channels: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """`Preprocessing.__call__` in TensorFlow: it is linear, so that two images say all of it."""
    ends = np.stack([np.zeros((1, 1, channels), np.uint8), np.full((1, 1, channels), 255, np.uint8)])
    low, high = spec(ends).astype(np.float64)
    scale, offset = ((high - low) / 255).astype(np.float32), low.astype(np.float32)

    def normalised(images: tf.Tensor) -> tf.Tensor:
        images = tf.cast(images, tf.float32)
        return (images[..., ::-1] if spec.channels == "bgr" else images) * scale + offset

    return normalised
