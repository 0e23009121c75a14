"""Pictures of a batch changed at random: pure functions of the batch and of what is drawn, a picture an own draw.

Keras' RandAugment, MixUp and CutMix layers draw from a generator with a state, which a run that is taken up again has
lost, and its RandAugment treats all pictures of a batch alike.
"""

import math
from collections.abc import Callable

import tensorflow as tf

from .recipes import Recipe

GREY = 128.0  # what moves in where RandAugment turns, shears or moves a picture
LUMA = (0.299, 0.587, 0.114)


class Draws:
    """Random numbers that are a function of seed, step and how many were drawn in that step before.

    Args:
        seed: of the run.
        step: of the run.
        part: (number, of how many equal ones): which pictures of the batch, whose draws have a number a picture.
    """

    def __init__(self, seed: int, step: tf.Tensor, part: tuple[int, int] = (0, 1)) -> None:
        self.key, self.drawn = tf.stack([tf.constant(seed, tf.int64), tf.cast(step, tf.int64)]), 0
        self.part = part

    def _next(self) -> tf.Tensor:
        self.drawn += 1
        return tf.random.experimental.stateless_fold_in(self.key, self.drawn)

    def _own(self, draw: Callable[[tuple], tf.Tensor], shape: tuple) -> tf.Tensor:
        """Draws for the whole batch, and keeps the part's."""
        if not shape:
            return draw(())
        (number, parts), count = self.part, shape[0]
        return draw((parts * count, *shape[1:]))[number * count : (number + 1) * count]

    def uniform(self, shape: tuple, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
        """float32 in [low, high)."""
        return self._own(lambda whole: tf.random.stateless_uniform(whole, self._next(), low, high), shape)

    def integers(self, shape: tuple, high: int) -> tf.Tensor:
        """int32 in 0..high-1."""
        return self._own(lambda whole: tf.random.stateless_uniform(whole, self._next(), 0, high, tf.int32), shape)

    def coin(self, shape: tuple) -> tf.Tensor:
        """bool, true half of the time."""
        return self.uniform(shape) < 0.5

    def beta(self, shape: tuple, alpha: float) -> tf.Tensor:
        """float32 of Beta(alpha, alpha)."""
        one, other = (
            self._own(lambda whole: tf.random.stateless_gamma(whole, self._next(), alpha), shape) for _ in range(2)
        )
        return one / tf.maximum(one + other, 1e-30)


def augmented(images: tf.Tensor, draws: Draws, recipe: Recipe) -> tf.Tensor:
    """What the recipe does to each picture alone; (n, h, w, c) uint8 -> uint8 or float32, of 0..255."""
    if recipe.flip or recipe.shift:
        images = flipped_and_shifted(images, draws, recipe.flip, recipe.shift)
    if recipe.rand_augment:
        images = rand_augmented(images, draws, recipe.rand_augment, recipe.magnitude)
    return images


def flipped_and_shifted(images: tf.Tensor, draws: Draws, flip: bool, shift: float) -> tf.Tensor:
    """Half of the pictures mirrored, each moved by at most `shift` of its side; what moves in is black."""
    count = tf.shape(images)[0]
    height, width = images.shape[1:3]
    rows, columns = math.ceil(shift * height), math.ceil(shift * width)
    images = tf.pad(images, [(0, 0), (rows, rows), (columns, columns), (0, 0)])
    top, left = (draws.integers((count, 1), 2 * most + 1) for most in (rows, columns))
    across = tf.broadcast_to(tf.range(width), (count, width))
    if flip:
        across = tf.where(draws.coin((count, 1)), across[:, ::-1], across)
    images = tf.gather(images, top + tf.range(height), axis=1, batch_dims=1)
    return tf.gather(images, left + across, axis=2, batch_dims=1)


def boxes(draws: Draws, count: tf.Tensor, area: float) -> tf.Tensor:
    """(n, 4) float32: top, left, bottom, right of a random crop, as shares of a picture's sides.

    It keeps `area` to all of the picture, and its aspect ratio differs from the picture's by at most 3:4 or 4:3. A side
    that would be longer than the picture's ends with it, so that above 0.75 a crop may keep less: of 0.9, 0.82.
    """
    share = draws.uniform((count,), area, 1.0)
    aspect = tf.exp(draws.uniform((count,), -math.log(4 / 3), math.log(4 / 3)))
    height, width = (tf.minimum(tf.sqrt(share * ratio), 1.0) for ratio in (1 / aspect, aspect))
    top, left = ((1 - side) * draws.uniform((count,)) for side in (height, width))
    return tf.stack([top, left, top + height, left + width], axis=1)


def mixed(images: tf.Tensor, targets: tf.Tensor, draws: Draws, recipe: Recipe) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixup or cutmix of each picture with its neighbour in the batch.

    Args:
        images: (n, h, w, c) float32.
        targets: (n, classes) float32.
    """
    if recipe.mixup and recipe.cutmix:
        return tf.cond(
            draws.coin(()),
            lambda: mixup(images, targets, draws, recipe.mixup),
            lambda: cutmix(images, targets, draws, recipe.cutmix),
        )
    if recipe.mixup:
        return mixup(images, targets, draws, recipe.mixup)
    return cutmix(images, targets, draws, recipe.cutmix) if recipe.cutmix else (images, targets)


def mixup(images: tf.Tensor, targets: tf.Tensor, draws: Draws, alpha: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Blends pictures and targets (https://arxiv.org/abs/1710.09412)."""
    share = draws.beta((tf.shape(images)[0],), alpha)
    return _blend(images, share[:, None, None, None]), _blend(targets, share[:, None])


def cutmix(images: tf.Tensor, targets: tf.Tensor, draws: Draws, alpha: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Puts a box of the neighbour into a picture; targets by area (https://arxiv.org/abs/1905.04899)."""
    count = tf.shape(images)[0]
    side = tf.sqrt(1 - draws.beta((count, 1), alpha))
    inside = []
    for size in images.shape[1:3]:
        centre, half = draws.uniform((count, 1)) * size, side * size / 2
        inside.append(tf.abs(tf.range(size, dtype=tf.float32) + 0.5 - centre) < half)
    kept = 1 - tf.cast(inside[0][:, :, None] & inside[1][:, None, :], tf.float32)  # (n, h, w)
    return _blend(images, kept[..., None]), _blend(targets, tf.reduce_mean(kept, axis=(1, 2))[:, None])


def _blend(values: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """`share` of each value, the rest of the next one in the batch."""
    return values * share + tf.roll(values, -1, axis=0) * (1 - share)


def rand_augmented(images: tf.Tensor, draws: Draws, operations: int, magnitude: float) -> tf.Tensor:
    """RandAugment (https://arxiv.org/abs/1909.13719) without equalize: each picture by its own operations.

    Args:
        images: (n, h, w, c) of 0..255.
        draws: of the operations and the signs.
        operations: that each picture goes through.
        magnitude: their strength, 0..1.

    Returns:
        float32 in 0..255, of the same shape.
    """
    images = tf.cast(images, tf.float32)
    for _ in range(operations):
        count = tf.shape(images)[0]
        choice = draws.integers((count,), len(OPERATIONS))
        strength = tf.where(draws.coin((count,)), magnitude, -magnitude)
        images = _toned(_moved(images, choice, strength), choice, strength, magnitude)
    return images


def _chosen(choice: tf.Tensor, *names: str) -> tf.Tensor:
    """Which pictures go through one of these operations, (n,) bool."""
    return tf.reduce_any([choice == OPERATIONS.index(name) for name in names], axis=0)


def _moved(images: tf.Tensor, choice: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """The geometric operations as one affine transform per picture."""
    height, width = images.shape[1:3]

    def only(name: str, value: tf.Tensor) -> tf.Tensor:
        return tf.where(_chosen(choice, name), value, 0.0)

    angle = only("rotate", strength * math.radians(30))
    across, down = only("shear_x", 0.3 * strength), only("shear_y", 0.3 * strength)
    a, b = tf.cos(angle), across - tf.sin(angle)
    c, d = down + tf.sin(angle), tf.cos(angle)
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2  # stays where it is, but for the translation
    x = middle_x - a * middle_x - b * middle_y + only("translate_x", 0.45 * width * strength)
    y = middle_y - c * middle_x - d * middle_y + only("translate_y", 0.45 * height * strength)
    zero = tf.zeros_like(a)
    transforms = tf.stack([a, b, x, c, d, y, zero, zero], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=(height, width),
        fill_value=GREY,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def _toned(images: tf.Tensor, choice: tf.Tensor, strength: tf.Tensor, magnitude: float) -> tf.Tensor:
    """The operations on colours: blends with a degenerate picture, and functions of a pixel."""
    factor = 1 + 0.9 * strength[:, None, None, None]
    results: dict[str, Callable[[], tf.Tensor]] = {
        "brightness": lambda: images * factor,
        "colour": lambda: _between(_grey(images), images, factor),
        "contrast": lambda: _between(tf.reduce_mean(_grey(images), axis=(1, 2), keepdims=True), images, factor),
        "sharpness": lambda: _between(_blurred(images), images, factor),
        "posterize": lambda: tf.floor(images / _step(magnitude)) * _step(magnitude),
        "solarize": lambda: tf.where(images < 256 * (1 - magnitude), images, 255 - images),
        "auto_contrast": lambda: _stretched(images),
    }
    toned = images
    for name, result in results.items():
        toned = tf.where(_chosen(choice, name)[:, None, None, None], result(), toned)
    return tf.clip_by_value(toned, 0, 255)


def _between(degenerate: tf.Tensor, images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    return degenerate + factor * (images - degenerate)


def _grey(images: tf.Tensor) -> tf.Tensor:
    if images.shape[-1] != 3:
        return tf.reduce_mean(images, axis=-1, keepdims=True)
    return tf.reduce_sum(images * LUMA, axis=-1, keepdims=True)


def _blurred(images: tf.Tensor) -> tf.Tensor:
    return tf.nn.avg_pool2d(images, 3, 1, "SAME")


def _step(magnitude: float) -> float:
    """Posterize keeps 8 to 4 bits."""
    return 2.0 ** round(4 * magnitude)


def _stretched(images: tf.Tensor) -> tf.Tensor:
    low, high = (reduce(images, axis=(1, 2), keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max))
    return tf.where(high > low, (images - low) * 255 / tf.maximum(high - low, 1e-6), images)


OPERATIONS = (
    "identity",
    "rotate",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "brightness",
    "colour",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "auto_contrast",
)
