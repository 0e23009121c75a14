"""A grouped convolution for TensorFlow whose gradient needs no kernel of its own.

TensorFlow's CPU has the forward pass of a grouped convolution, its gradient only where oneDNN is at hand (recent x86
processors under Linux) and never in float16. Here the gradient by the input is a grouped convolution again, that by the
kernel one batched matrix product for each of the kernel's positions.
"""

from typing import Any

import tensorflow as tf

Pair = tuple[int, int]


def grouped_conv2d(images: Any, kernel: Any, strides: Pair, padding: str, dilations: Pair) -> Any:
    """tf.nn.conv2d: images (n, h, w, c), kernel (kh, kw, c / groups, filters); padding "SAME" or "VALID"."""
    if tf.config.list_physical_devices("GPU"):
        return tf.nn.conv2d(images, kernel, strides, padding, dilations=dilations)
    kernel = tf.convert_to_tensor(kernel)  # custom_gradient takes no variable
    if padding == "SAME":
        images = tf.pad(images, [(0, 0), *_same(images, kernel, strides, dilations), (0, 0)])
    return _valid(images, kernel, strides, dilations)


def _same(images: Any, kernel: Any, strides: Pair, dilations: Pair) -> list[tuple[Any, Any]]:
    """What "SAME" pads before and after height and width."""
    pads = []
    sizes = tf.unstack(tf.shape(images)[1:3])
    for size, extent, stride, dilation in zip(sizes, kernel.shape[:2], strides, dilations, strict=True):
        reach = dilation * (extent - 1) + 1
        total = tf.maximum((-(-size // stride) - 1) * stride + reach - size, 0)
        pads.append((total // 2, total - total // 2))
    return pads


def _valid(images: Any, kernel: Any, strides: Pair, dilations: Pair) -> Any:
    @tf.custom_gradient
    def convolve(images: Any, kernel: Any) -> Any:
        def gradient(upstream: Any) -> tuple[Any, Any]:
            return (
                _by_images(upstream, images, kernel, strides, dilations),
                _by_kernel(upstream, images, kernel, strides, dilations),
            )

        return tf.nn.conv2d(images, kernel, strides, "VALID", dilations=dilations), gradient

    return convolve(images, kernel)


def _by_images(upstream: Any, images: Any, kernel: Any, strides: Pair, dilations: Pair) -> Any:
    """The upstream gradient, spread by the strides, convolved with the kernel turned round and its channels swapped."""
    height, width, inner, filters = kernel.shape
    groups = images.shape[-1] // inner
    spread = _spread(upstream, strides)
    missing = tf.shape(images) - tf.shape(spread)
    reach = [dilation * (extent - 1) for extent, dilation in zip((height, width), dilations, strict=True)]
    padded = tf.pad(spread, [(0, 0), (reach[0], missing[1]), (reach[1], missing[2]), (0, 0)])
    split = tf.reshape(kernel, (height, width, inner, groups, filters // groups))
    swapped = tf.reshape(tf.transpose(split, (0, 1, 4, 3, 2)), (height, width, filters // groups, inner * groups))
    return _valid(padded, tf.reverse(swapped, (0, 1)), (1, 1), dilations)


def _spread(values: Any, strides: Pair) -> Any:
    """Zeros put between the values: (n, h, w, c) -> (n, (h - 1) * stride + 1, ...)."""
    if tuple(strides) == (1, 1):
        return values
    batch, height, width = tf.unstack(tf.shape(values)[:3])
    channels = values.shape[-1]
    rows, columns = strides
    apart = tf.reshape(values, (batch, height, 1, width, 1, channels))
    apart = tf.pad(apart, [(0, 0), (0, 0), (0, rows - 1), (0, 0), (0, columns - 1), (0, 0)])
    spread = tf.reshape(apart, (batch, height * rows, width * columns, channels))
    return spread[:, : (height - 1) * rows + 1, : (width - 1) * columns + 1]


def _by_kernel(upstream: Any, images: Any, kernel: Any, strides: Pair, dilations: Pair) -> Any:
    """For each position of the kernel, the images that it meets times the upstream gradient, group by group."""
    height, width, inner, filters = kernel.shape
    groups = images.shape[-1] // inner
    rows, columns = (tf.shape(upstream)[axis] for axis in (1, 2))
    by_group = tf.transpose(tf.reshape(upstream, (-1, groups, filters // groups)), (1, 0, 2))
    products = []
    for i in range(height):
        for j in range(width):
            top, left = i * dilations[0], j * dilations[1]
            bottom, right = top + (rows - 1) * strides[0] + 1, left + (columns - 1) * strides[1] + 1
            met = images[:, top : bottom : strides[0], left : right : strides[1]]
            met = tf.transpose(tf.reshape(met, (-1, groups, inner)), (1, 2, 0))
            products.append(tf.matmul(met, by_group))  # (groups, inner, filters / groups)
    stacked = tf.transpose(tf.stack(products), (0, 2, 1, 3))
    return tf.reshape(stacked, kernel.shape)
