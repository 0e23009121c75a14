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


def test_label_smoothing_leaves_each_class_its_part_of_the_share(small_data: Data) -> None:
    plain = Recipe(epochs=1, batch=20, flip=False)
    (_, hard), (_, soft) = (
        next(training_batches(small_data, recipe, PRESETS["torch"], 5, 0).as_numpy_iterator())
        for recipe in (plain, plain.changed(label_smoothing=0.3))
    )
    np.testing.assert_allclose(soft, np.where(hard == 1, 0.8, 0.1), atol=1e-6)


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


MOVES = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
SLOPE = 160 / 15  # a pixel of a ramp from 40 to 200


def applied(name: str, pixels: np.ndarray, sign: int, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """The pixels after one operation at a magnitude of 0.25."""
    monkeypatch.setattr(Draws, "integers", lambda self, shape, high: tf.fill(shape, OPERATIONS.index(name)))
    monkeypatch.setattr(Draws, "coin", lambda self, shape: tf.fill(shape, sign > 0))
    return rand_augmented(tf.constant(pixels), draws(), 1, 0.25).numpy()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in MOVES])
def test_each_change_of_tones_is_what_its_name_says(name: str, sign: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype(np.float32)
    pixels[1] = 40 + pixels[1] // 2
    pixels[..., 2] = 90
    grey = (pixels * (0.299, 0.587, 0.114)).sum(-1, keepdims=True)
    blurred = pixels.copy()
    blurred[:, 1:-1, 1:-1] = np.lib.stride_tricks.sliding_window_view(pixels, (3, 3), (1, 2)).mean((-1, -2))
    low, high = pixels.min((1, 2), keepdims=True), pixels.max((1, 2), keepdims=True)
    blend = 1 + 0.9 * 0.25 * sign
    expected = {
        "identity": pixels,
        "brightness": pixels * blend,
        "colour": grey + blend * (pixels - grey),
        "contrast": (mean := grey.mean((1, 2), keepdims=True)) + blend * (pixels - mean),
        "sharpness": blurred + blend * (pixels - blurred),
        "posterize": pixels // 2 * 2,
        "solarize": np.where(pixels < 192, pixels, 255 - pixels),
        "auto_contrast": np.where(high > low, (pixels - low) * 255 / np.maximum(high - low, 1), pixels),
    }[name]
    found = applied(name, pixels, sign, monkeypatch)
    inside = np.s_[:, 1:-1, 1:-1]  # at the border the blur has fewer neighbours
    np.testing.assert_allclose(found[inside], np.clip(expected, 0, 255)[inside], atol=1e-2)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", MOVES)
def test_each_move_is_what_its_name_says(name: str, sign: int, monkeypatch: pytest.MonkeyPatch) -> None:
    strength = 0.25 * sign
    turn, away = np.radians(30 * strength), 0.45 * 16 * strength
    matrix, offset = {
        "rotate": ([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]], (0, 0)),
        "shear_x": ([[1, 0.3 * strength], [0, 1]], (0, 0)),
        "shear_y": ([[1, 0], [0.3 * strength, 1]], (0, 0)),
        "translate_x": (np.eye(2), (away, 0)),
        "translate_y": (np.eye(2), (0, away)),
    }[name]
    across, down = np.meshgrid(np.arange(16), np.arange(16))
    pixels = (40 + SLOPE * np.stack([across, down], axis=-1))[None].astype(np.float32)
    # where each pixel comes from; the centre stays, but for a translation
    source = (np.stack([across, down], axis=-1) - 7.5) @ np.transpose(matrix) + 7.5 + offset
    inside, outside = ((source >= 0) & (source <= 15)).all(-1), ((source <= -1) | (source >= 16)).any(-1)
    found = applied(name, pixels, sign, monkeypatch)[0]
    assert 0.7 < inside.mean() < 1
    np.testing.assert_allclose(found[inside], 40 + SLOPE * source[inside], atol=0.1)
    np.testing.assert_allclose(found[outside], 128, atol=1e-3)  # grey moves in
