"""Augmentation: a function of seed and step, and what each operation does."""

import numpy as np
import pytest
import tensorflow as tf

from keras_cnnzoo.preprocessing import PRESETS, Preprocessing
from keras_cnnzoo.training import Data, Recipe
from keras_cnnzoo.training.augment import OPERATIONS, Draws, boxes, cutmix, flipped_and_shifted, mixup, rand_augmented
from keras_cnnzoo.training.pipeline import test_batches as held_out_batches
from keras_cnnzoo.training.pipeline import training_batches

STRONG = Recipe(epochs=2, batch=20, shift=0.2, rand_augment=2, mixup=0.3, cutmix=1.0, label_smoothing=0.1, area=0.5)


def draws(step: int = 0, seed: int = 0) -> Draws:
    return Draws(seed, tf.constant(step, tf.int64))


def batch(count: int = 64, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 10, 14, channels), np.uint8)


def test_a_batch_is_a_function_of_seed_and_step_however_it_was_reached(small_data: Data) -> None:
    whole = list(training_batches(small_data, STRONG, PRESETS["torch"], 5, 0).as_numpy_iterator())
    later = list(training_batches(small_data, STRONG, PRESETS["torch"], 5, 7).as_numpy_iterator())
    other = next(training_batches(small_data, STRONG, PRESETS["torch"], 6, 0).as_numpy_iterator())
    assert len(whole) == 10
    assert len(later) == 3
    for a, b in zip(whole[7:], later, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])
    assert not np.array_equal(whole[0][0], other[0])
    assert all(np.allclose(targets.sum(-1), 1, atol=1e-5) for _, targets in whole)


def test_the_parts_of_a_batch_that_hosts_take_are_the_batch(small_data: Data) -> None:
    recipe = STRONG.changed(mixup=0.0, cutmix=0.0)
    whole, *parts = (
        next(training_batches(small_data, recipe, PRESETS["torch"], 5, 3, part).as_numpy_iterator())
        for part in ((0, 1), (0, 2), (1, 2))
    )
    assert len(parts[0][0]) == 10
    for value, first, second in zip(whole, *parts, strict=True):
        np.testing.assert_allclose(np.concatenate([first, second]), value, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("spec", [*PRESETS.values(), Preprocessing(1 / 255, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7), "bgr")])
def test_images_are_normalised_as_the_spec_says(small_data: Data, channels: int, spec: Preprocessing) -> None:
    source = small_data.test
    plain = type(source)(source.pixels[..., :channels], source.labels)  # type: ignore[union-attr, call-arg]
    data = Data(plain, plain, small_data.classes, (12, 12, channels), "few channels")
    images = np.concatenate([x for x, _ in held_out_batches(data, spec, 8).as_numpy_iterator()])
    np.testing.assert_allclose(images, spec(plain.pixels), atol=2e-4)


def test_half_of_the_pictures_are_mirrored_and_what_moves_in_is_black() -> None:
    pixels = batch(400)
    flipped = flipped_and_shifted(tf.constant(pixels), draws(), flip=True, shift=0.0).numpy()
    same, mirrored = ((flipped == other).all((1, 2, 3)) for other in (pixels, pixels[:, :, ::-1]))
    assert (same ^ mirrored).all()
    assert 0.4 < mirrored.mean() < 0.6

    moved = flipped_and_shifted(tf.constant(pixels), draws(), flip=False, shift=0.1).numpy()
    padded = np.pad(pixels, [(0, 0), (1, 1), (2, 2), (0, 0)])
    windows = {(r, c): (moved == padded[:, r : r + 10, c : c + 14]).all((1, 2, 3)) for r in range(3) for c in range(5)}
    assert np.stack(list(windows.values())).any(0).all()
    assert sum(found.any() for found in windows.values()) == 15


def test_random_crops_keep_the_share_of_the_area() -> None:
    top, left, bottom, right = boxes(draws(), tf.constant(1000), 0.25).numpy().T
    share, aspect = (bottom - top) * (right - left), (right - left) / (bottom - top)
    assert min(top.min(), left.min()) >= 0
    assert max(bottom.max(), right.max()) <= 1 + 1e-6
    assert 0.2 < share.min() < 0.3
    assert share.max() > 0.9
    assert 0.74 < aspect.min() < aspect.max() < 1.34


def test_mixup_blends_pictures_and_targets_alike() -> None:
    images = tf.constant(np.arange(6, dtype=np.float32)[:, None, None, None] * np.ones((1, 4, 4, 1), np.float32))
    mixed, targets = (value.numpy() for value in mixup(images, tf.eye(6), draws(), 0.8))
    share = targets[np.arange(6), np.arange(6)]
    np.testing.assert_allclose(targets.sum(-1), 1, atol=1e-6)
    expected = np.arange(6) * share + np.roll(np.arange(6), -1) * (1 - share)
    np.testing.assert_allclose(mixed[:, 0, 0, 0], expected, atol=1e-5)
    assert np.ptp(share) > 0.1


def test_cutmix_weighs_targets_by_the_area_of_the_box() -> None:
    images = tf.constant(np.arange(8, dtype=np.float32)[:, None, None, None] * np.ones((1, 9, 7, 1), np.float32))
    mixed, targets = (value.numpy() for value in cutmix(images, tf.eye(8), draws(), 1.0))
    for i in range(8):
        assert set(np.unique(mixed[i])) <= {i, (i + 1) % 8}
        assert targets[i, i] == pytest.approx((mixed[i] == i).mean(), abs=1e-6)
    assert 0.2 < targets[np.arange(8), np.arange(8)].mean() < 0.9


def test_rand_augment_treats_each_picture_by_its_own_operation() -> None:
    pixels = batch(300)
    found = rand_augmented(tf.constant(pixels), draws(), 1, 0.5).numpy()
    assert found.shape == pixels.shape
    assert found.min() >= 0
    assert found.max() <= 255
    kept = (np.abs(found - pixels) < 1e-3).all((1, 2, 3)).mean()
    assert 0.03 < kept < 0.2  # identity, and auto-contrast of what uses the whole range
    nothing = rand_augmented(tf.constant(pixels), draws(), 0, 0.5).numpy()
    np.testing.assert_array_equal(nothing, pixels)


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_changes_a_picture_as_its_name_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    index = OPERATIONS.index(name)
    monkeypatch.setattr(Draws, "integers", lambda self, shape, high: tf.fill(shape, index))
    monkeypatch.setattr(Draws, "coin", lambda self, shape: tf.fill(shape, True))
    ramp = np.broadcast_to(np.linspace(40, 200, 16, dtype=np.float32)[:, None], (16, 16))
    pixels = np.stack([ramp, ramp.T, np.full((16, 16), 90, np.float32)], axis=-1)[None]
    found = rand_augmented(tf.constant(pixels), draws(), 1, 0.5).numpy()[0]
    grey = (pixels[0] * (0.299, 0.587, 0.114)).sum(-1, keepdims=True)
    expected = {
        "identity": pixels[0],
        "brightness": np.clip(pixels[0] * 1.45, 0, 255),
        "colour": np.clip(grey + 1.45 * (pixels[0] - grey), 0, 255),
        "contrast": np.clip(grey.mean() + 1.45 * (pixels[0] - grey.mean()), 0, 255),
        "posterize": np.floor(pixels[0] / 4) * 4,
        "solarize": np.where(pixels[0] < 128, pixels[0], 255 - pixels[0]),
    }
    if name in expected:
        np.testing.assert_allclose(found, expected[name], atol=1e-2)
    elif name == "auto_contrast":
        assert np.allclose([found[..., 0].min(), found[..., 0].max()], [0, 255], atol=1e-2)
        np.testing.assert_allclose(found[..., 2], 90, atol=1e-3)
    elif name == "translate_x":  # by 3.6 pixels to the left, grey behind it
        np.testing.assert_allclose(found[:, :12, 1], pixels[0, :, :12, 1] + 3.6 * 160 / 15, atol=0.1)
        np.testing.assert_allclose(found[:, 13:], 128, atol=1e-3)
    elif name == "translate_y":
        np.testing.assert_allclose(found[:12, :, 0], pixels[0, :12, :, 0] + 3.6 * 160 / 15, atol=0.1)
    elif name == "sharpness":  # a ramp is its own blur, but for the border
        np.testing.assert_allclose(found[1:-1, 1:-1], pixels[0, 1:-1, 1:-1], atol=1e-2)
    else:
        middle, change = found[7:9, 7:9], np.abs(found - pixels[0]).max()
        np.testing.assert_allclose(middle.mean((0, 1)), pixels[0, 7:9, 7:9].mean((0, 1)), atol=1)  # the centre stays
        assert change > 20
