"""keras.applications' files under our names: rules by name, never by order.

Its layers carry names that nest stage and unit (`conv2_block1_1_conv`), so that a rule a family is the table; where it
left names to Keras (`conv2d_17`), the number counts the layers as its source file creates them, which SEQUENCES repeat.
A name may mean layers of several families: the one that the model has is meant.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import InputError
from .files import State

CLASSIFIERS = ("classifier_6", "classifier_3", "classifier_1", "classifier", "fc", "head_fc", "classif")
MOBILENET_UNITS = [(stage, unit) for stage, depth in enumerate((1, 2, 2, 6, 2)) for unit in range(depth)]


def is_applications(state: State, ours: Collection[str]) -> bool:
    """Whether a state of numbered variables (`layer/0`) is one of keras.applications': most names have a rule."""
    theirs = {name.rpartition("/")[0] for name in state if name.rpartition("/")[2].isdigit()}
    return not theirs & set(ours) and 2 * len(_renamed(theirs, ours)) > len(theirs)


def from_applications(state: State, layers: Mapping[str, Any]) -> State:
    """The state under the names of `layers` (name -> Keras layer), still by numbered variables.

    A separable convolution becomes our two layers, a 1x1 convolution a dense layer where ours is one, and a bias that
    ours lacks is folded into the mean of the batch normalisation behind it. What no layer stands for keeps its name.
    """
    renamed = _renamed({name.rpartition("/")[0] for name in state}, layers)
    translated: State = {}
    for name, value in state.items():
        theirs, _, number = name.rpartition("/")
        ours = renamed.get(theirs, theirs)
        if ours not in layers and f"{ours}_pointwise" in layers:
            ours, number = f"{ours}{('_conv1', '_pointwise')[int(number)]}", "0"
        translated[f"{ours}/{number}"] = _shaped(value, layers.get(ours), int(number))
    return _biases_folded(translated, layers)


def require_their_function(model: Any, variant: str | None, path: Any) -> None:
    """Raises InputError where the network is built by other conventions, which no name and no shape would show.

    A ResNet of torch's form with the stride on the first 1x1 computes theirs as well, its biases folded.
    """
    if variant in (None, "keras"):
        return
    layer = next((layer for layer in model.layers if layer.name == "layer2_0_conv1"), None)
    if layer is None or tuple(layer.strides) != (2, 2):
        raise InputError(
            f"{path} is of keras.applications but {model.name} is built by other conventions; give variant='keras'"
        )


def _renamed(theirs: Collection[str], ours: Collection[str]) -> dict[str, str]:
    """Their layers' names -> ours, for those that have one."""
    by_plain = {_plain(name): name for name in theirs}
    found = {by_plain[plain]: name for plain, name in _enumerated(by_plain, ours)}
    for plain, name in by_plain.items():
        match = next((name for name in _candidates(plain) if name in ours or f"{name}_pointwise" in ours), None)
        if match is not None:
            found.setdefault(name, match)
    return found


def _plain(name: str) -> str:
    """Files of older versions have slashes, capitals and BatchNorm: `Conv/BatchNorm` is `conv_bn`."""
    return name.lower().replace("/", "_").replace("batchnorm", "bn")


def _candidates(name: str) -> Iterator[str]:
    for pattern, rule in RULES:
        if match := re.fullmatch(pattern, name):
            yield from rule(*match.groups())


def _fixed(*names: str) -> Callable[..., tuple[str, ...]]:
    return lambda *groups: names


def _resnet(stage: str, unit: str, number: str, part: str) -> Iterator[str]:
    of = f"layer{int(stage) - 1}_{int(unit) - 1}"
    yield f"{of}_downsample_{('conv', 'bn').index(part)}" if number == "0" else f"{of}_{part}{number}"
    behind = f"norm{int(number) + 1}" if part == "bn" else f"conv{number}"  # V2, DenseNet: norms stand first
    of = f"stages_{int(stage) - 2}_blocks_{int(unit) - 1}"
    yield f"{of}_downsample_conv" if (part, number) == ("conv", "0") else f"{of}_{behind}"
    yield f"features_denseblock{int(stage) - 1}_denselayer{unit}_{behind}"


def _mobilenet(kind: str, number: str, norm: str | None) -> Iterator[str]:
    if not 1 <= int(number) <= len(MOBILENET_UNITS):
        return
    stage, unit = MOBILENET_UNITS[int(number) - 1]
    yield f"blocks_{stage}_{unit}_" + (f"bn{('dw', 'pw').index(kind) + 1}" if norm else f"conv_{kind}")


def _inverted(block: str, part: str, norm: str | None) -> Iterator[str]:
    """V2's units and V3's: the first expands nothing, so that its parts count from 0."""
    index = int(re.sub(r"\D", "", block) or 0)
    first, bn = (1 if index else 0), (1 if norm else 0)
    at = {"expand": 0, "depthwise": first, "project": first + 1}[part]
    flat = f"features_{index + 1}_conv_"
    yield flat + (f"{at + bn}" if part == "project" else f"{at}_{bn}")
    if part == "project":
        yield f"features_{index + 1}_block_{at + 1}_{bn}"  # behind squeeze-and-excitation
    yield f"features_{index + 1}_block_{at}_{bn}"


def _gate(index: str | None, second: str | None) -> Iterator[str]:
    yield f"features_{int(index or 0) + 1}_block_{2 if index else 1}_fc{2 if second else 1}"


def _xception(block: str, number: str, norm: str | None) -> Iterator[str]:
    at, unit = int(block), int(number)
    if at in (1, 14):
        yield f"{'bn' if norm else 'conv'}{unit if at == 1 else unit + 2}"
        return
    yield f"block{at - 1}_rep_{3 * (unit - 1) + (0 if at == 2 else 1) + (1 if norm else 0)}"


def _inception_unit(block: str, index: str) -> Iterator[str]:
    stage = {"35": "repeat", "17": "repeat_1", "8": "repeat_2"}[block]
    yield "block8_conv2d" if (block, index) == ("8", "10") else f"{stage}_{int(index) - 1}_conv2d"


RULES: tuple[tuple[str, Callable[..., Any]], ...] = (
    (r"predictions|probs|fc1000|logits|conv_preds", _fixed(*CLASSIFIERS)),
    (r"fc([12])", lambda number: (f"classifier_{3 * int(number) - 3}",)),
    (r"conv1_conv", _fixed("conv1", "stem_conv", "features_conv0")),
    (r"conv1_bn", _fixed("bn1", "features_norm0")),
    (r"conv(\d)_block(\d+)_(\d)_(conv|bn)", _resnet),
    (r"conv(\d)_block(\d+)_preact_bn", lambda stage, unit: (f"stages_{int(stage) - 2}_blocks_{int(unit) - 1}_norm1",)),
    (r"post_bn", _fixed("norm")),
    (r"pool(\d)_(conv|bn)", lambda n, part: (f"features_transition{int(n) - 1}_{part.replace('bn', 'norm')}",)),
    (r"bn", _fixed("features_norm5")),
    (r"conv1", _fixed("conv_stem", "features_0_0")),
    (r"conv_(dw|pw)_(\d+)(_bn)?", _mobilenet),
    (r"bn_conv1|conv_bn", _fixed("features_0_1")),
    (r"conv", _fixed("features_0_0")),
    (r"(expanded_conv|block_\d+|expanded_conv_\d+)_(expand|depthwise|project)(_bn)?", _inverted),
    (r"expanded_conv(?:_(\d+))?_squeeze_excite_conv(_1)?", _gate),
    (r"conv_1", _fixed("features_18_0", "features_16_0", "features_12_0")),
    (r"conv_1_bn", _fixed("features_18_1", "features_16_1", "features_12_1")),
    (r"conv_2", _fixed("classifier_0")),
    (r"block(\d+)_(?:sep)?conv(\d)(_bn)?", _xception),
    (r"block(35|17|8)_(\d+)_conv", _inception_unit),
    (r"conv_7b(_bn)?", lambda norm: (f"conv2d_7b{norm or '_conv'}",)),
)


def _branches(block: str, *depths: int) -> list[str]:
    """The convolutions of a block whose branches have so many each."""
    return [
        f"{block}_branch{row}" + (f"_{number}" if depth > 1 else "")
        for row, depth in enumerate(depths)
        for number in range(depth)
    ]


def _numbered(block: str, **branches: int) -> list[str]:
    return [
        f"{block}_branch{name}" + (f"_{number}" if depth else "")
        for name, depth in branches.items()
        for number in range(1, max(1, depth) + 1)
    ]


STEM_V3 = ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"]
ENDS = ("1x1", "3x3_1", "3x3_2a", "3x3_2b", "3x3dbl_1", "3x3dbl_2", "3x3dbl_3a", "3x3dbl_3b", "_pool")
INCEPTION_V3 = [
    *STEM_V3,
    *(name for at in "bcd" for name in _numbered(f"Mixed_5{at}", **{"1x1": 0, "5x5": 2, "3x3dbl": 3, "_pool": 0})),
    *_numbered("Mixed_6a", **{"3x3": 0, "3x3dbl": 3}),
    *(name for at in "bcde" for name in _numbered(f"Mixed_6{at}", **{"1x1": 0, "7x7": 3, "7x7dbl": 5, "_pool": 0})),
    *_numbered("Mixed_7a", **{"3x3": 2, "7x7x3": 4}),
    *(f"Mixed_7{at}_branch{end}" for at in "bc" for end in ENDS),
]
INCEPTION_RESNET_V2 = [
    *(f"conv2d_{at}" for at in ("1a", "2a", "2b", "3b", "4a")),
    *_branches("mixed_5b", 1, 2, 3),
    "mixed_5b_branch3_1",
    *(name for index in range(10) for name in _branches(f"repeat_{index}", 1, 2, 3)),
    *_branches("mixed_6a", 1, 3),
    *(name for index in range(20) for name in _branches(f"repeat_1_{index}", 1, 3)),
    *_branches("mixed_7a", 2, 2, 3),
    *(name for index in range(9) for name in _branches(f"repeat_2_{index}", 1, 3)),
    *_branches("block8", 1, 3),
]
XCEPTION = [f"block{number}_skip" for number in (1, 2, 3, 12)]
# our convolutions and our norms in the order in which keras.applications creates those that it does not name
SEQUENCES = [
    ([f"{name}_conv" for name in INCEPTION_V3], [f"{name}_bn" for name in INCEPTION_V3]),
    ([f"{name}_conv" for name in INCEPTION_RESNET_V2], [f"{name}_bn" for name in INCEPTION_RESNET_V2]),
    (XCEPTION, [f"{name}bn" for name in XCEPTION]),
]


def _enumerated(theirs: Collection[str], ours: Collection[str]) -> Iterator[tuple[str, str]]:
    """Pairs of names by position in a table: what Keras numbered, and VGG's convolutions, which torch numbers."""
    convs, norms = (_in_order(theirs, kind) for kind in (r"conv2d(?:_(\d+))?", r"batch_normalization(?:_(\d+))?"))
    for our_convs, our_norms in SEQUENCES:
        if set(our_convs) <= set(ours) and (len(convs), len(norms)) == (len(our_convs), len(our_norms)):
            yield from zip(convs + norms, our_convs + our_norms, strict=True)
    numbered = _in_order(ours, r"features_(\d+)")
    stages = _in_order(theirs, r"block(\d)_conv(\d)")
    if len(numbered) == len(stages):
        yield from zip(stages, numbered, strict=True)


def _in_order(names: Collection[str], pattern: str) -> list[str]:
    found = {name: match for name in names if (match := re.fullmatch(pattern, name))}
    return sorted(found, key=lambda name: [int(number or 0) for number in found[name].groups()])


def _shaped(value: np.ndarray, layer: Any, number: int) -> np.ndarray:
    """A 1x1 convolution's kernel where ours is a dense layer."""
    dense = layer is not None and type(layer).__name__ == "Dense" and number == 0
    return value.reshape(value.shape[-2:]) if dense and value.shape[:-2] == (1, 1) else value


def _biases_folded(state: State, layers: Mapping[str, Any]) -> State:
    """BN(x + bias) is BN(x) with the mean less the bias."""
    for name in [name for name in state if name.endswith("/1")]:
        layer = layers.get(name.rpartition("/")[0])
        if layer is None or len(layer.weights) != 1:
            continue
        followers = [node.operation for node in layer._outbound_nodes]
        if len(followers) == 1 and type(followers[0]).__name__ == "BatchNormalization":
            mean = f"{followers[0].name}/{_index(followers[0], 'moving_mean')}"
            if mean in state:
                state[mean] = state[mean] - state.pop(name)
    return state


def _index(layer: Any, variable: str) -> int:
    return [weight.name for weight in layer.weights].index(variable)
