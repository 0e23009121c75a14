"""Calibration from every source, refusals, and each range estimator against a case worked out by hand."""

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from keras_cnnzoo import InputError
from keras_cnnzoo.export.calibration import Calibration, min_max, ranges_of, representative
from keras_cnnzoo.export.calibration.estimators import (
    Histogram,
    MovingAverage,
    entropy,
    mean_squared_error,
    percentile,
)
from keras_cnnzoo.export.graph import from_keras
from keras_cnnzoo.export.lowering import lower
from keras_cnnzoo.export.pipeline import file_ranges
from keras_cnnzoo.export.schemes import Quantization
from keras_cnnzoo.preprocessing import PRESETS

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 6, 6, 3), dtype=np.uint8)


def filled(values: np.ndarray, low: float, high: float, bins: int = 2048) -> Histogram:
    histogram = Histogram(low, high, bins)
    histogram.add(values)
    return histogram


def test_a_histogram_counts_each_value_in_its_bin_and_strays_at_the_ends() -> None:
    histogram = filled(np.array([-1.0, 0.1, 0.3, 0.3, 0.99, 7.0], np.float32), 0, 1, bins=4)
    assert histogram.counts.tolist() == [2, 2, 0, 2]
    assert histogram.centres.tolist() == [0.125, 0.375, 0.625, 0.875]


def test_the_percentile_leaves_out_its_share_at_either_end() -> None:
    histogram = filled(np.linspace(-1, 1, 200_001, dtype=np.float32), -1, 1)
    assert percentile(histogram, 90) == pytest.approx((-0.9, 0.9), abs=2e-3)
    behind_a_relu = filled(np.linspace(0, 1, 200_001, dtype=np.float32), 0, 1)
    assert percentile(behind_a_relu, 90) == pytest.approx((0, 0.95), abs=2e-3)


def test_the_moving_average_starts_with_the_first_batch_and_forgets_slowly() -> None:
    average = MovingAverage(decay=0.9)
    for low, high in ((-1, 1), (-2, 3), (0, 1)):
        average.add(np.array([low, high]))
    assert average.range == pytest.approx((0.9 * (0.9 * -1 + 0.1 * -2), 0.9 * (0.9 * 1 + 0.1 * 3) + 0.1))


def test_the_mean_squared_error_keeps_a_uniform_range_and_clips_a_lone_outlier() -> None:
    even = np.linspace(-1, 1, 100_000, dtype=np.float32)
    assert mean_squared_error(filled(even, -1, 1)) == pytest.approx((-1, 1), abs=0.02)
    low, high = mean_squared_error(filled(np.append(even, np.float32(2.5)), -1, 2.5), levels=16)
    assert -1 <= low <= -0.85  # the best outermost of 16 levels lies half a step within the data
    assert 0.85 < high < 1.6


def test_the_mean_squared_error_is_the_least_of_all_ranges_tried_by_brute_force() -> None:
    values = np.random.default_rng(0).laplace(size=20_000).astype(np.float32)
    reach = float(np.abs(values).max())
    found = mean_squared_error(filled(values, -reach, reach), levels=16)

    def error(limit: float) -> float:
        step = 2 * limit / 15
        return float(np.square(np.clip(np.round((values + limit) / step), 0, 15) * step - limit - values).mean())

    least = min(np.linspace(0.3, 1, 71) * reach, key=error)
    assert (found[1] - found[0]) / 2 == pytest.approx(least, rel=0.08)


@pytest.mark.parametrize("estimate", [mean_squared_error, entropy])
def test_of_65536_levels_none_is_worth_clipping_a_tail(estimate) -> None:
    values = np.random.default_rng(0).laplace(size=20_000).astype(np.float32)
    reach = float(np.abs(values).max())
    assert estimate(filled(values, -reach, reach))[1] < 0.97 * reach
    assert estimate(filled(values, -reach, reach), levels=1 << 16)[1] > 0.98 * reach


def test_a_large_constant_has_a_histogram() -> None:
    assert filled(np.full(8, 20_000, np.float32), 20_000, 20_000).counts.sum() == 8


def test_entropy_clips_a_long_tail_and_keeps_a_short_one() -> None:
    rng = np.random.default_rng(0)
    even = rng.uniform(0, 1, 100_000).astype(np.float32)
    assert entropy(filled(even, 0, 1))[1] > 0.95
    tailed = np.append(even, rng.uniform(1, 8, 20).astype(np.float32))
    low, high = entropy(filled(tailed, 0, 8))
    assert low == 0
    assert 0.9 < high < 4


@pytest.mark.parametrize("estimator", ["percentile", "moving-average", "mse", "entropy"])
def test_every_estimator_lies_within_min_max_over_a_network(
    resnet: keras.Model, some_images: np.ndarray, estimator
) -> None:
    graph, data = lower(from_keras(resnet)), Calibration(some_images[:8], "test")
    whole, found = min_max(graph, data), ranges_of(graph, data, estimator)
    assert found.keys() == whole.keys()
    for name, (low, high) in found.items():
        slack = 1e-5 * (whole[name][1] - whole[name][0])
        assert whole[name][0] - slack <= low < high <= whole[name][1] + slack
    assert sum(high for _, high in found.values()) < sum(high for _, high in whole.values())


@pytest.mark.parametrize("estimator", ["mse", "entropy"])
def test_an_int16_file_s_ranges_are_not_those_of_256_levels(
    resnet: keras.Model, some_images: np.ndarray, estimator
) -> None:
    graph, data = lower(from_keras(resnet)), Calibration(some_images[:8], "test")
    whole = min_max(graph, data)
    widths = {
        scheme: sum(
            high - low for low, high in file_ranges(graph, data, Quantization(scheme, estimator=estimator)).values()
        )
        for scheme in ("int8", "int16")
    }
    assert widths["int8"] < widths["int16"]
    assert widths["int16"] == pytest.approx(sum(high - low for low, high in whole.values()), rel=0.01)


def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(PIXELS), 4):
        yield PIXELS[start : start + 4], np.zeros(4)


def test_every_source_gives_the_same_inputs(tmp_path: Path) -> None:
    import tensorflow as tf

    spec = PRESETS["torch"]
    expected = spec(PIXELS)
    np.savez(tmp_path / "images.npz", images=PIXELS)
    for index, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).save(tmp_path / f"{index:02d}.png")
    dataset = tf.data.Dataset.from_tensor_slices(PIXELS).batch(5)
    for source in (PIXELS, tmp_path / "images.npz", str(tmp_path), batches(), dataset):
        found = Calibration.of(source, preprocessing=spec, size=(6, 6, 3))
        assert np.allclose(found.inputs, expected, atol=1e-6)


def test_count_and_seed_draw_the_same_images_each_time() -> None:
    drawn = [Calibration.of(PIXELS, count=5, seed=3).inputs for _ in range(2)]
    assert len(drawn[0]) == 5
    assert np.array_equal(*drawn)
    assert not np.array_equal(drawn[0], Calibration.of(PIXELS, count=5, seed=4).inputs)
    assert np.array_equal(Calibration.of(batches(), count=5).inputs, Calibration.of(PIXELS, count=5).inputs)


def test_a_generator_is_read_no_further_than_needed() -> None:
    endless = (PIXELS[:4] for _ in iter(int, 1))
    assert len(Calibration.of(endless, count=6)) == 6


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (PIXELS.astype(np.float32) / 255, "run from 0 to 1 but the preprocessing reads pixels of 0 to 255"),
        (PIXELS.astype(np.float32) / 127.5 - 1, "run from -1 to 1 but"),
        (np.full((3, 6, 6, 3), 7, np.uint8), "every value"),
        (np.full((3, 6, 6, 3), np.nan, np.float32), "NaN"),
        (PIXELS[:0], "empty"),
        (iter(()), "empty"),
        (iter([{"image": PIXELS, "label": np.zeros(12)}]), "are dictionaries of image, label; give arrays of images"),
        (iter([PIXELS[:2], PIXELS[:2, :4]]), r"holds images of \(6, 6, 3\) and \(4, 6, 3\); scale them"),
    ],
)
def test_data_that_represents_nothing_is_refused_in_a_sentence(pixels, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Calibration.of(pixels, preprocessing=PRESETS["torch"])


def test_inputs_of_any_type_are_kept_as_float32(resnet: keras.Model, some_images: np.ndarray) -> None:
    wide = some_images[:2].astype(np.float64)
    for data in (Calibration(wide, "test"), Calibration.of(wide), representative(wide), representative(iter([wide]))):
        assert data.inputs.dtype == np.float32
    graph = lower(from_keras(resnet))
    assert min_max(graph, Calibration(wide, "test")) == min_max(graph, Calibration(some_images[:2], "test"))


def test_a_folder_needs_the_size_that_the_network_reads(tmp_path: Path) -> None:
    Image.fromarray(PIXELS[0]).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a folder's pictures are resized; give size=\(HEIGHT, WIDTH, CHANNELS\)"):
        Calibration.of(tmp_path)
