"""The residual unit and the stages built of it, for ResNet, ResNeXt, SE-nets and wide ResNets alike.

A unit is a row of convolutions, data that each family writes as its paper's table does; where norm and activation stand
among them is data too (ORDERS). Sources: https://arxiv.org/abs/1512.03385, https://arxiv.org/abs/1603.05027.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from keras import layers

from .blocks import gated
from .errors import InputError
from .kit import Kit, choose, drop, share
from .layers import ChannelPad
from .model import end_point

Residual = Literal["original", "bn_after_add", "relu_before_add", "relu_only_preact", "full_preact"]
Shortcut = Literal["A", "B", "C", "none"]
StrideOn = Literal["3x3", "1x1"]


class Order(NamedTuple):
    """Where a network's norms and activations stand.

    Args:
        stem: behind the first convolution.
        before: each convolution of a unit.
        between: behind each convolution of a unit but its last.
        last: behind a unit's last convolution.
        after_sum: behind the addition.
        final: behind the last stage.
    """

    stem: str = "norm act"
    before: str = ""
    between: str = "norm act"
    last: str = "norm"
    after_sum: str = "act"
    final: str = ""


# https://arxiv.org/abs/1603.05027, figure 4 (a) to (e)
ORDERS: dict[str, Order] = {
    "original": Order(),
    "bn_after_add": Order(last="", after_sum="norm act"),
    "relu_before_add": Order(last="norm act", after_sum=""),
    "relu_only_preact": Order(stem="norm", before="act", between="norm", last="norm", after_sum="", final="act"),
    "full_preact": Order(stem="", before="norm act", between="", last="", after_sum="", final="norm act"),
}


class Conv(NamedTuple):
    """One convolution of a unit; `bias` None is the kit's choice."""

    filters: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    bias: bool | None = None


Convs = tuple[Conv, ...]


@dataclass(frozen=True)
class Names:
    """What a reference implementation calls the parts.

    Args:
        stage: before a stage's number.
        first: the first stage's number.
        unit: between a stage's number and a unit's index.
        norm: before the number of a unit's norm.
        projection: the shortcut's convolution and norm.
        gate: the squeeze-and-excitation gate.
        stem: the stem's convolution, norm, activation and pooling.
        final: the norm behind the last stage.
        classifier: the last layer.
    """

    stage: str = "layer"
    first: int = 1
    unit: str = "_"
    norm: str = "bn"
    projection: tuple[str, str] = ("downsample_0", "downsample_1")
    gate: str = "se"
    stem: tuple[str, str, str, str] = ("conv1", "bn1", "relu", "maxpool")
    final: str = "bn"
    classifier: str = "fc"


TORCHVISION = Names()


@dataclass(frozen=True)
class Units:
    """What all residual units of a network share.

    Args:
        kit: norm, activation, padding.
        names: of the layers.
        order: of norms and activations.
        shortcut: where a unit changes the shape, "A" subsamples and pads with zero channels, "B" projects; "C" projects
            in every unit; "none" adds nothing: a plain network.
        projection: kernel of a strided projection.
        se_ratio: reduction of a squeeze-and-excitation gate on each unit's branch, or None for no gate.
        dropout: before a unit's last convolution, the share of values dropped in training.
        drop_path: of the last unit, the share of samples whose branch is dropped in training; earlier units' shares
            grow up to it linearly.
    """

    kit: Kit
    names: Names = TORCHVISION
    order: Order = ORDERS["original"]
    shortcut: Shortcut = "B"
    projection: int = 1
    se_ratio: int | None = None
    dropout: float = 0.0
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        choose("shortcut", self.shortcut, get_args(Shortcut))
        share("drop_path", self.drop_path)
        if self.drop_path and self.shortcut == "none":
            raise InputError(f"drop_path={self.drop_path} drops branches beside shortcuts; shortcut='none' has none")


def order_of(residual: Residual) -> Order:
    """The row of ORDERS; InputError if there is none."""
    choose("residual", residual, get_args(Residual))
    return ORDERS[residual]


def basic(width: int, stride: int) -> Convs:
    """3x3, 3x3."""
    return Conv(width, 3, stride), Conv(width, 3)


def bottleneck(width: int, filters: int, stride: int, *, groups: int = 1, stride_on: StrideOn = "3x3") -> Convs:
    """1x1 to `width` channels, 3x3 in `groups`, 1x1 to `filters`."""
    choose("stride_on", stride_on, get_args(StrideOn))
    first, second = (stride, 1) if stride_on == "1x1" else (1, stride)
    return Conv(width, 1, first), Conv(width, 3, second, groups), Conv(filters)


def plan(depths: Sequence[int], unit: Callable[[int, int], Convs], *, stride_last: bool = False) -> list[list[Convs]]:
    """Each stage's units: `unit(stage, stride)`, stages from 0.

    Args:
        depths: units of each stage.
        unit: makes one.
        stride_last: the last unit of each stage but the last has stride 2, not the first of each but the first.
    """
    if stride_last:
        strides = [[1] * (depth - 1) + [2] for depth in depths[:-1]] + [[1] * depths[-1]]
    else:
        strides = [[1] * depths[0]] + [[2] + [1] * (depth - 1) for depth in depths[1:]]
    return [[unit(stage, stride) for stride in row] for stage, row in enumerate(strides)]


def stem(
    units: Units,
    image: Any,
    filters: int,
    *,
    small_input: bool,
    bias: bool | None = None,
    signed: bool | None = None,
    ceil: bool = False,
) -> Any:
    """7x7 at stride 2, norm, activation, 3x3 max pool at stride 2; for a small input: 3x3, norm, activation.

    `signed` says that what is pooled may be negative: by default where no activation stands before it. `ceil` pools in
    torch's ceil mode.
    """
    kit, (conv, norm, act, maxpool) = units.kit, units.names.stem
    x = kit.conv(image, filters, 3 if small_input else 7, stride=1 if small_input else 2, bias=bias, name=conv)
    x = _steps(kit, x, units.order.stem, norm, act)
    if not small_input:
        signed = "act" not in units.order.stem if signed is None else signed
        x = (kit.ceil_pool if ceil else kit.max_pool)(x, signed=signed, name=maxpool)
    return end_point(x, "stem")


def residual_stages(units: Units, x: Any, stages: list[list[Convs]]) -> tuple[Any, list[Any]]:
    """Every unit of every stage, then the order's final steps: the last map and each stage's end point."""
    names, total, done, points = units.names, sum(map(len, stages)), 0, []
    for number, stage in enumerate(stages, start=names.first):
        for index, convs in enumerate(stage):
            done += 1
            name = f"{names.stage}{number}{names.unit}{index}"
            x = residual(units, x, convs, drop_path=units.drop_path * done / total, name=name)
        if done == total:
            x = _steps(units.kit, x, units.order.final, names.final, f"{names.final}_relu")
        x = end_point(x, f"{names.stage}{number}")
        points.append(x)
    return x, points


def residual(units: Units, x: Any, convs: Convs, *, drop_path: float = 0.0, name: str) -> Any:
    """The convolutions, each among the norms and activations of the order; gate; add the shortcut; the order's rest."""
    kit, order, count = units.kit, units.order, len(convs)
    norm = f"{name}_{units.names.norm}"
    entering = x
    for i, conv in enumerate(convs, start=1):
        x = _steps(kit, x, order.before, f"{norm}{i}", f"{name}_relu{i}")
        if i == 1:
            skip = shortcut_of(units, entering, x, convs, name=name)
        if i == count:
            x = drop(x, units.dropout, name=f"{name}_dropout")
        x = kit.conv(
            x, conv.filters, conv.kernel, stride=conv.stride, groups=conv.groups, bias=conv.bias, name=f"{name}_conv{i}"
        )
        x = _steps(kit, x, order.between if i < count else order.last, f"{norm}{i}", f"{name}_relu{i}")
    x = gated(x, units.se_ratio, activation=kit.activation, name=f"{name}_{units.names.gate}")
    if skip is not None:
        x = kit.drop_path(x, drop_path, name=f"{name}_drop_path")
        x = layers.Add(name=f"{name}_add")([skip, x])
    return _steps(kit, x, order.after_sum, f"{norm}{count}", f"{name}_relu")


def shortcut_of(units: Units, entering: Any, active: Any, convs: Convs, *, name: str) -> Any:
    """What is added to a unit's branch, None for nothing.

    Identity where the shapes agree, or the entering map subsampled and padded with zero channels; a projection reads
    the map that the first convolution reads, and has norm and bias where the branch's last convolution has.
    """
    kit, kind, last = units.kit, units.shortcut, convs[-1]
    stride, missing = max(conv.stride for conv in convs), last.filters - entering.shape[-1]
    if kind == "none":
        return None
    if kind != "C" and stride == 1 and not missing:
        return entering
    if kind == "A" or (kind == "B" and not missing):
        x = layers.MaxPooling2D(1, stride, name=f"{name}_subsample")(entering)
        before = missing // 2
        return ChannelPad(before, missing - before, name=f"{name}_channel_pad")(x) if missing else x
    conv, norm = (f"{name}_{part}" for part in units.names.projection)
    kernel = units.projection if stride > 1 else 1
    x = kit.conv(active, last.filters, kernel, stride=stride, bias=last.bias, name=conv)
    return kit.normalize(x, name=norm) if "norm" in units.order.last else x


def _steps(kit: Kit, x: Any, verbs: str, norm: str, act: str) -> Any:
    """x through "", "norm", "act" or "norm act", the layers so named."""
    for verb in verbs.split():
        x = kit.normalize(x, name=norm) if verb == "norm" else kit.activate(x, name=act)
    return x
