"""Preprocessing: the function agrees with torchvision's and keras.applications', layers with the function."""

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import keras_cnnzoo as zoo
from keras_cnnzoo.preprocessing import PRESETS, Preprocessing, preprocessing

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (3, 20, 24, 3), np.uint8)
EXACT = 1e-5  # of a normalised value; "caffe" keeps 0..255


def picture(height: int, width: int) -> Image.Image:
    """Smooth in the large, rough in the small."""
    rng = np.random.default_rng(height * width)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    return Image.fromarray(np.clip(np.asarray(coarse) + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8))


@pytest.mark.parametrize("mode", ["torch", "tf", "caffe"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64])
def test_presets_are_keras_applications_modes(mode: str, dtype: type) -> None:
    from keras.src.applications.imagenet_utils import preprocess_input

    expected = preprocess_input(PIXELS.astype(np.float64), mode=mode)
    found = PRESETS[mode](PIXELS.astype(dtype))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=EXACT * np.abs(expected).max())


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("source", [(500, 375), (375, 500), (256, 301), (240, 333), (100, 90)])
def test_resize_crop_and_normalisation_are_torchvision_s(source: tuple[int, int], interpolation: str) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    transforms = pytest.importorskip("torchvision", reason="torchvision is not installed").transforms
    spec = replace(PRESETS["torch"], crop=224 / 232, interpolation=interpolation)
    cut = [transforms.Resize(232, transforms.InterpolationMode(interpolation)), transforms.CenterCrop(224)]
    normalise = [transforms.ToTensor(), transforms.Normalize(spec.mean, spec.std)]
    image = picture(*source)
    pixels = np.asarray(spec.fit(image, (224, 224)))
    np.testing.assert_array_equal(pixels, np.asarray(transforms.Compose(cut)(image)))
    expected = transforms.Compose(cut + normalise)(image).numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(spec(pixels[None])[0], expected, rtol=0, atol=EXACT)


@pytest.mark.parametrize("spec", PRESETS.values(), ids=PRESETS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_the_input_is_never_changed(spec: Preprocessing, dtype: type) -> None:
    images = PIXELS.astype(dtype)
    before = images.copy()
    result = spec(images)
    np.testing.assert_array_equal(images, before)
    assert not np.shares_memory(result, images) or not spec.normalises


def test_floats_in_0_to_1_are_told_and_pixels_are_not(recwarn: pytest.WarningsRecorder) -> None:
    with pytest.warns(UserWarning, match=r"floats in 0\.\.1 where pixels 0\.\.255 are read"):
        PRESETS["torch"]((PIXELS / 255).astype(np.float32))
    recwarn.clear()
    PRESETS["torch"](PIXELS.astype(np.float32))
    PRESETS["torch"](np.zeros_like(PIXELS))
    PRESETS["torch"](np.ones((1, 4, 4, 3), np.uint8))
    PRESETS["none"]((PIXELS / 255).astype(np.float32))  # reads whatever the network was trained on
    assert not [warning for warning in recwarn if "floats" in str(warning.message)]


@pytest.mark.parametrize("mode", ["torch", "tf", "caffe"])
def test_the_layers_normalise_as_the_function_does(mode: str) -> None:
    spec = PRESETS[mode]
    expected = spec(PIXELS)
    found = np.asarray(keras.Sequential(zoo.preprocessing_layers(spec))(PIXELS.astype(np.float32)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=EXACT * np.abs(expected).max())


def test_another_number_of_channels_takes_the_averages() -> None:
    spec = Preprocessing(1 / 255, (0.2, 0.4, 0.6), (0.5, 0.25, 0.75))
    for channels in (1, 4):
        pixels = PIXELS[..., :1].repeat(channels, -1)
        expected = (pixels / 255 - 0.4) / 0.5
        np.testing.assert_allclose(spec(pixels), expected, rtol=0, atol=EXACT)
        whole = keras.Sequential(zoo.preprocessing_layers(spec.for_channels(channels)))
        np.testing.assert_allclose(np.asarray(whole(pixels.astype(np.float32))), expected, rtol=0, atol=EXACT)
    assert spec.for_channels(3) is spec


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"preprocessing": null, "labels": ["a"]}', r"preprocessing None: expected an object"),
        ("[" * 100_000, "a JSON file of such a spec"),
        ('{"scale": NaN}', "finite numbers"),
        ('{"mean": [0, Infinity, 0]}', "finite numbers"),
        ('{"mean": [], "std": []}', "mean and std equally long"),
        ('{"mean": "123"}', "'123' is no list"),
        (f'{{"scale": 1{"0" * 400}}}', "expected numbers as scale"),
        ('{"crop": 1e-9}', r"crop from 0\.01 to 1"),
    ],
)
def test_a_spec_that_no_picture_could_be_fit_by_is_refused_in_a_sentence(
    content: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "spec.json").write_text(content)
    with pytest.raises(zoo.InputError, match=words):
        preprocessing(tmp_path / "spec.json")
    (tmp_path / "spec.json").write_text(json.dumps({"preprocessing": PRESETS["tf"].to_dict()}))
    assert preprocessing(tmp_path / "spec.json") == PRESETS["tf"]


@pytest.mark.parametrize("source", [(250, 190), (190, 250)])
def test_the_layers_resize_and_crop_as_pillow_does_within_a_pixel(source: tuple[int, int]) -> None:
    spec, image = PRESETS["none"], picture(*source)
    pixels = np.asarray(image, np.float32)[None]
    found = np.asarray(keras.Sequential(zoo.preprocessing_layers(spec, (96, 96)))(pixels))[0]
    expected = np.asarray(spec.fit(image, (96, 96)), np.float32)
    assert found.shape == expected.shape
    wrong = np.asarray(replace(spec, crop=1.0).fit(image, (96, 96)), np.float32)
    gap, other = np.abs(found - expected).mean(), np.abs(wrong - expected).mean()
    assert gap < 0.2 * other, "no nearer to the right crop than another crop is"


def test_the_layers_in_front_of_a_network_make_it_read_pixels() -> None:
    network = zoo.ResNet20(classifier_activation=None)
    whole = keras.Sequential([*zoo.preprocessing_layers(PRESETS["caffe"]), network])
    images = RNG.integers(0, 256, (4, 32, 32, 3), np.uint8)
    expected = np.asarray(network(PRESETS["caffe"](images)))
    np.testing.assert_allclose(
        np.asarray(whole(images.astype(np.float32))), expected, rtol=0, atol=1e-4 * np.abs(expected).max()
    )
