"""The zoo's own layers compute what they say, forwards and backwards, in eager mode and in a graph."""

import itertools
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_cnnzoo.layers import ChannelPad, ChannelShuffle, ChannelSplit, GroupedConv2D

tf = pytest.importorskip("tensorflow")
from keras_cnnzoo.grouped import grouped_conv2d  # noqa: E402

RNG = np.random.default_rng(0)
GEOMETRIES = [
    (groups, kernel, stride, dilation, padding, size)
    for groups, kernel, (stride, dilation), padding, size in itertools.product(
        [(2, 4, 6), (4, 8, 8)],
        [(1, 1), (3, 3), (1, 3), (5, 2)],
        [((1, 1), (1, 1)), ((2, 2), (1, 1)), ((3, 2), (1, 1)), ((1, 1), (2, 2))],
        ["SAME", "VALID"],
        [(9, 12)],
    )
]


def one_by_one(images, kernel, groups, strides, padding, dilations):
    """Each group convolved by itself, a dilated kernel written out with zeros."""
    if dilations != (1, 1):
        height, width, inner, filters = kernel.shape
        apart = tf.reshape(kernel, (height, 1, width, 1, inner, filters))
        apart = tf.pad(apart, [(0, 0), (0, 1), (0, 0), (0, 1), (0, 0), (0, 0)])
        kernel = tf.reshape(apart, (2 * height, 2 * width, inner, filters))[: 2 * height - 1, : 2 * width - 1]
    parts = zip(tf.split(images, groups, -1), tf.split(kernel, groups, -1), strict=True)
    return tf.concat([tf.nn.conv2d(image, part, strides, padding) for image, part in parts], -1)


def with_gradients(function, images, kernel):
    with tf.GradientTape() as tape:
        tape.watch([images, kernel])
        outputs = function(images, kernel)
        loss = tf.reduce_sum(tf.sin(outputs))
    return [outputs, *tape.gradient(loss, [images, kernel])]


@pytest.mark.parametrize(("channels", "size_of_kernel", "strides", "dilations", "padding", "size"), GEOMETRIES)
def test_a_grouped_convolution_is_its_groups_one_by_one_and_so_are_its_gradients(
    channels, size_of_kernel, strides, dilations, padding, size
) -> None:
    groups, inputs, filters = channels
    images = tf.constant(RNG.standard_normal((2, *size, inputs)))
    kernel = tf.constant(RNG.standard_normal((*size_of_kernel, inputs // groups, filters)))
    expected = with_gradients(lambda x, k: one_by_one(x, k, groups, strides, padding, dilations), images, kernel)
    found = with_gradients(lambda x, k: grouped_conv2d(x, k, strides, padding, dilations), images, kernel)
    for e, f in zip(expected, found, strict=True):
        np.testing.assert_allclose(f, e, atol=1e-10)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("bias", [False, True])
def test_a_grouped_convolution_trains_under_every_policy_and_in_a_graph(policy: str, bias: bool) -> None:
    layer = GroupedConv2D(
        16,
        3,
        padding="same",
        groups=4,
        use_bias=bias,
        bias_initializer="random_normal",
        activation="relu",
        dtype=policy,
    )
    model = keras.Sequential([keras.Input((8, 8, 8)), layer])
    model.compile("sgd", "mse", jit_compile=False)
    before = [np.array(w) for w in layer.weights]
    images = RNG.standard_normal((4, 8, 8, 8)).astype(np.float32)
    assert np.isfinite(model.train_on_batch(images, np.ones((4, 8, 8, 16), np.float32)))
    assert all(np.isfinite(w).all() and not np.array_equal(w, b) for w, b in zip(layer.weights, before, strict=True))
    atol = 1e-5 if policy == "float32" else 1e-2
    np.testing.assert_allclose(model.predict(images, verbose=0), np.asarray(model(images)), atol=atol)


def test_a_grouped_convolution_answers_as_keras_own() -> None:
    images = RNG.standard_normal((2, 9, 9, 8)).astype(np.float32)
    options = {"strides": 2, "padding": "same", "groups": 4, "bias_initializer": keras.initializers.RandomNormal(0, 1)}
    ours, theirs = (kind(16, 3, **options) for kind in (GroupedConv2D, keras.layers.Conv2D))
    expected = theirs(images)
    ours.build(images.shape)
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(np.asarray(ours(images)), np.asarray(expected), atol=1e-5)


def test_the_gradient_of_a_grouped_convolution_has_a_gradient() -> None:
    images = tf.constant(RNG.standard_normal((1, 5, 5, 4)))
    kernel = tf.constant(RNG.standard_normal((3, 3, 2, 4)))

    def gradient_norm(function):
        with tf.GradientTape() as outer:
            outer.watch(kernel)
            inner = with_gradients(function, images, kernel)[1]
            norm = tf.reduce_sum(inner**2)
        return outer.gradient(norm, kernel)

    expected = gradient_norm(lambda x, k: one_by_one(x, k, 2, (1, 1), "SAME", (1, 1)))
    np.testing.assert_allclose(gradient_norm(lambda x, k: grouped_conv2d(x, k, (1, 1), "SAME", (1, 1))), expected)


def test_channel_shuffle_moves_channel_g_n_plus_i_to_i_groups_plus_g() -> None:
    shuffled = np.asarray(ChannelShuffle(2)(np.arange(6.0).reshape(1, 1, 1, 6)))
    assert shuffled.ravel().tolist() == [0, 3, 1, 4, 2, 5]
    with pytest.raises(ValueError, match="6 channels do not divide into groups=4"):
        ChannelShuffle(4)(np.zeros((1, 1, 1, 6)))


def test_channel_split_gives_the_halves_and_refuses_an_odd_count() -> None:
    first, second = ChannelSplit()(np.arange(4.0).reshape(1, 1, 1, 4))
    assert (np.asarray(first).ravel().tolist(), np.asarray(second).ravel().tolist()) == ([0, 1], [2, 3])
    with pytest.raises(ValueError, match="5 channels have no halves"):
        ChannelSplit().compute_output_shape((None, 1, 1, 5))


def test_channel_pad_puts_zeros_before_and_behind() -> None:
    padded = np.asarray(ChannelPad(1, 2)(np.ones((1, 1, 1, 2))))
    assert padded.ravel().tolist() == [0, 1, 1, 0, 0]


def test_layers_come_back_from_a_file(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 8))
    left, right = ChannelSplit(name="split")(image)
    x = keras.layers.Concatenate()([ChannelPad(2, 2)(left), right])
    x = GroupedConv2D(9, 3, groups=3, name="grouped")(ChannelShuffle(3)(x))
    model = keras.Model(image, x)
    model.save(tmp_path / "model.keras")
    images = RNG.standard_normal((1, 8, 8, 8))
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(np.asarray(loaded(images)), np.asarray(model(images)))
