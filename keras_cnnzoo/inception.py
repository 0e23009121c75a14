"""What the Inception networks share: the stem, and modules of branches side by side, written as rows of convolutions.

Sources: https://arxiv.org/abs/1512.00567 (v3), https://arxiv.org/abs/1602.07261 (v4, ResNet v1 and v2).
"""

from collections.abc import Sequence
from typing import Any

from keras import layers

from .kit import Kernel, Kit

Conv = tuple[int, Kernel] | tuple[int, Kernel, int]
"""(filters, kernel) or (filters, kernel, stride). What strides does not pad."""

# name, filters (0: max pool), kernel, stride, padded
StemRow = tuple[str, int, int, int, bool]


def stem(kit: Kit, x: Any, rows: Sequence[StemRow], *, subsample: bool) -> Any:
    """conv, norm, activation for each row, or a max pool.

    Without `subsample` the pools are left out, and every convolution pads and has stride 1.
    """
    for name, filters, kernel, stride, padded in rows:
        if not subsample and filters:
            x = kit.conv_norm_act(x, filters, kernel, name=name)
        elif filters:
            x = kit.conv_norm_act(x, filters, kernel, stride=stride, padding=None if padded else "valid", name=name)
        elif subsample:
            x = kit.max_pool(x, kernel, stride, padding="valid", name=name)
    return x


def branch(kit: Kit, x: Any, *convs: Conv, name: str, first: int = 0) -> Any:
    """conv, norm, activation for each of `convs`; they are numbered from `first` on, one alone is `name` itself."""
    for number, (filters, kernel, *stride) in enumerate(convs, start=first):
        step = stride[0] if stride else 1
        x = kit.conv_norm_act(
            x,
            filters,
            kernel,
            stride=step,
            padding="valid" if step > 1 else None,
            name=f"{name}_{number}" if len(convs) > 1 else name,
        )
    return x


def pool_branch(kit: Kit, x: Any, filters: int, *, name: str) -> Any:
    """Average pool, 1x1."""
    return kit.conv_norm_act(kit.avg_pool(x, name=f"{name}_avg"), filters, name=name)


def fork(kit: Kit, x: Any, filters: int, *, name: str) -> Any:
    """1x3 | 3x1; concat."""
    row = kit.conv_norm_act(x, filters, (1, 3), name=f"{name}a")
    column = kit.conv_norm_act(x, filters, (3, 1), name=f"{name}b")
    return layers.Concatenate(name=f"{name}_concat")([row, column])


def mixed(kit: Kit, x: Any, rows: Sequence[Sequence[Conv]], *, pooled: int = 0, name: str) -> Any:
    """A branch for each row | average pool, 1x1 to `pooled` channels, or without them a strided max pool; concat."""
    branches = [branch(kit, x, *row, name=f"{name}_branch{number}") for number, row in enumerate(rows)]
    last = f"{name}_branch{len(rows)}"
    if pooled:
        branches.append(pool_branch(kit, x, pooled, name=f"{last}_1"))
    else:
        branches.append(kit.max_pool(x, padding="valid", name=last))
    return layers.Concatenate(name=f"{name}_concat")(branches)
