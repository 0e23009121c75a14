"""What all builders share: the image that comes in, the head, the stages' end points, the finished model."""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

import keras
from keras import layers

from .errors import InputError
from .kit import at_least_one, choose, drop
from .registry import at_width

Weights = str | PathLike[str] | None
Pooling = Literal["avg", "max"] | None
P = ParamSpec("P")
B = TypeVar("B", bound=Callable[..., keras.Model])


class Unchosen(int):
    """A class count that the caller did not choose: weights for another count are then an error, not an adaptation."""


IMAGENET, CIFAR10 = Unchosen(1000), Unchosen(10)


# what each builder takes before its family's own options; `documented` writes it into every docstring
ARGUMENTS = """\
    include_top: with the classifier.
    weights: None for random initialisation, a .safetensors, .npz, .weights.h5, .keras, .h5, .pth, .pt or .th file,
        "imagenet", or a checkpoint of `cnnzoo weights list`, such as "torchvision:IMAGENET1K_V2" or "fashion_mnist".
    input_tensor: a Keras tensor to read instead of a new input.
    input_shape: (height, width, channels); height and width may be None.
    pooling: without the classifier, "avg", "max" or None for the last stage's map.
    classes: the classifier's outputs.
    classifier_activation: "softmax", "sigmoid", or None or "linear" for logits.
    name: the model's.
    features: return the stages' outputs instead.
"""
RETURNS = """\
Returns:
    A model from images (n, height, width, channels) to (n, classes), or to what include_top, pooling and features ask
    for.

Raises:
    InputError: an argument out of its limits, or weights that do not fit.
"""


def preset(builder: Callable[Concatenate[str, P], keras.Model], name: str, public: str) -> Callable[P, keras.Model]:
    """The family's builder at the row `name` of its table: the family's own signature, documented whole."""

    def build(*args: P.args, **kwargs: P.kwargs) -> keras.Model:
        return builder(name, *args, **kwargs)

    signature = inspect.signature(builder)
    build.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])  # type: ignore[attr-defined]
    build.__name__ = build.__qualname__ = public
    build.__module__ = builder.__module__
    build.__doc__ = f"{public}. {builder.__doc__}"
    return build


def documented(builder: B) -> B:
    """Adds what all builders share to a builder's docstring."""
    doc = inspect.cleandoc(builder.__doc__ or "").replace("Args:\n", f"Args:\n{ARGUMENTS}")
    builder.__doc__ = f"{doc}\n\n{RETURNS}"
    return builder


def image_input(input_tensor: Any, input_shape: tuple[int | None, ...] | None, *, size: int, minimum: int) -> Any:
    """The tensor that a network reads, (batch, height, width, channels).

    Args:
        input_tensor: the caller's tensor, used as it is.
        input_shape: (height, width, channels) without the batch; height and width may be None.
        size: height and width where the caller gave neither; 3 channels.
        minimum: the least height and width that the network's strides leave something of.

    Raises:
        InputError: no such shape.
    """
    if keras.config.image_data_format() != "channels_last":
        raise InputError(
            "image_data_format 'channels_first': the zoo builds channels_last only; "
            "call keras.config.set_image_data_format('channels_last')"
        )
    if input_tensor is not None:
        if not keras.utils.is_keras_tensor(input_tensor):
            raise InputError(f"input_tensor={type(input_tensor).__name__}: pass what keras.Input or a layer returned")
        given = tuple(input_tensor.shape[1:])
        if input_shape is not None and tuple(input_shape) != given:
            raise InputError(f"input_shape={tuple(input_shape)} but input_tensor has {given}; pass one of them")
        _check_shape(given, minimum)
        return input_tensor
    if not isinstance(input_shape, Sequence | None):
        raise InputError(f"input_shape={input_shape!r}: expected (height, width, channels), e.g. ({size}, {size}, 3)")
    shape = (size, size, 3) if input_shape is None else tuple(input_shape)
    _check_shape(shape, minimum)
    return keras.Input(shape, name="image")


def _check_shape(shape: tuple[int | None, ...], minimum: int) -> None:
    if len(shape) != 3 or shape[2] is None or shape[2] < 1:
        raise InputError(f"input_shape={shape}: expected (height, width, channels), channels known")
    if any(side is not None and side < minimum for side in shape[:2]):
        raise InputError(f"input_shape={shape}: expected a height and a width of at least {minimum}")


@dataclass(frozen=True)
class Head:
    """What stands behind the last stage: classifier, pooled features or the bare map, as keras.applications has it.

    Args:
        include_top: with the classifier.
        pooling: without it, "avg" or "max" over height and width, or None for the map.
        classes: the classifier's outputs.
        activation: the classifier's; None gives logits.
        classifier: the last layer's name.
        auxiliary: the names of the auxiliary heads' last layers, which follow the class count as well.
        unused: name prefixes of auxiliary layers that a weights file may hold and this network lacks.
    """

    include_top: bool
    pooling: Pooling
    classes: int
    activation: str | None
    classifier: str = "fc"
    auxiliary: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        choose("pooling", self.pooling, (None, "avg", "max"))
        if self.include_top and self.pooling:
            raise InputError(f"pooling={self.pooling!r} goes with include_top=False; drop one of them")
        at_least_one("classes", self.classes)
        choose("classifier_activation", self.activation, (None, "linear", "softmax", "sigmoid"))

    def __call__(self, x: Any, dropout: float = 0.0, *, top: Callable[[Any], Any] | None = None) -> Any:
        """(n, h, w, c) -> (n, classes), (n, c) or (n, h, w, c).

        Args:
            x: the last stage's map.
            dropout: see `classify`.
            top: makes the answers of the map, where that is more than average, dropout, dense.
        """
        if self.include_top:
            return self.classify(average(x), dropout) if top is None else top(x)
        if self.pooling == "avg":
            return average(x)
        return layers.GlobalMaxPooling2D(name="maxpool_top")(x) if self.pooling == "max" else x

    def classify(self, x: Any, dropout: float = 0.0, *, name: str | None = None) -> Any:
        """Dropout, dense, activation; (n, c) -> (n, classes). `name` is the classifier's unless given."""
        name = name or self.classifier
        x = drop(x, dropout, name=f"{name}_dropout")
        return layers.Dense(int(self.classes), self.activation, dtype=self.dtype, name=name)(x)

    @property
    def dtype(self) -> str:
        """What the answers are computed in, in mixed precision too: the variables' type (a float16 softmax is 0)."""
        return keras.config.dtype_policy().variable_dtype


def widened(name: str, width: float) -> str:
    """The registry's name of a network at a width: mobilenet_v2 and 0.35 give mobilenet_v2_x0_35, 1.0 adds nothing.

    Raises:
        InputError: no positive, finite width.
    """
    if not 0 < width < math.inf:
        raise InputError(f"width={width!r}: expected a finite number above 0")
    return name if width == 1 else at_width(name, width)


def average(x: Any, name: str = "avgpool") -> Any:
    """The mean over height and width; (n, h, w, c) -> (n, c)."""
    return layers.GlobalAveragePooling2D(name=name)(x)


def end_point(x: Any, name: str) -> Any:
    """Marks a stage's output, so that `model.get_layer(name).output` is it."""
    return layers.Identity(name=name)(x)


def assemble(
    image: Any,
    x: Any,
    head: Head,
    *,
    stages: list[Any] | None,
    weights: Weights,
    network: str,
    variant: str | None = None,
    name: str | None,
) -> keras.Model:
    """The finished model, weights loaded.

    Args:
        image: the network's input; a tensor that the caller computed leads back to the caller's own inputs.
        x: the head's output.
        head: tells the weights reader what may differ.
        stages: end points to return instead of `x` (features=True).
        weights: a file, a checkpoint's name, or None.
        network: the registry's name, by which checkpoints are found.
        variant: the conventions that it was built by, where its family has several.
        name: the model's; None is the registry's.
    """
    name = name or network
    if stages is not None and head.pooling:
        raise InputError(f"pooling={head.pooling!r}: features=True returns maps; drop one of them")
    own = image._keras_history.operation._inbound_nodes[0].is_input
    model = keras.Model(image if own else keras.utils.get_source_inputs(image), x, name=name)
    if weights is not None:  # without what computes the caller's tensor
        _load(model if own else keras.Model(image, x, name=name), head, weights, network, variant)
    return model if stages is None else keras.Model(model.inputs, stages, name=name)


def _load(model: keras.Model, head: Head, weights: str | PathLike[str], network: str, variant: str | None) -> None:
    from .weights import load_weights, located

    load_weights(
        model,
        located(weights, network, model, variant),
        classifiers=(head.classifier, *head.auxiliary) if head.include_top else (),
        other_classes=not isinstance(head.classes, Unchosen),
        unused=head.unused if head.include_top else (head.classifier, *head.unused),
        variant=variant,
    )
