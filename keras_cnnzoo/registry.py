"""Every network by its name: which function builds it, with which options, and what is known about it.

Reading the table costs nothing: neither keras nor a family is imported until `create` builds.
"""

import difflib
import fnmatch
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import InputError

if TYPE_CHECKING:
    import keras

RESNET = "https://arxiv.org/abs/1512.03385"
SHUFFLENET_V2 = "https://arxiv.org/abs/1807.11164"


@dataclass(frozen=True)
class Variant:
    """One network.

    Args:
        name: the registry's, snake case.
        builder: the public function that builds it.
        module: the family's, below keras_cnnzoo.families.
        params: trainable parameters at the default classes.
        macs: multiply-accumulates of convolutions and dense layers, one image of the default size.
        year: of the paper.
        paper: its address.
        size: default height and width.
        classes: default.
        preprocess: the preprocessing that its published weights expect (keras_cnnzoo.preprocessing).
        options: what the builder is called with.
    """

    name: str
    builder: str
    module: str
    params: int
    macs: int
    year: int
    paper: str
    size: int = 224
    classes: int = 1000
    preprocess: str = "torch"
    options: dict[str, Any] = field(default_factory=dict)


def _resnet(name: str, params: int, macs: int) -> Variant:
    return Variant(name, name.replace("resnet", "ResNet"), "resnet", params, macs, 2015, RESNET)


def _resnet_cifar(name: str, params: int, macs: int) -> Variant:
    return Variant(name, name.replace("resnet", "ResNet"), "resnet", params, macs, 2015, RESNET, size=32, classes=10)


def _shufflenet_v2(width: float, params: int, macs: int) -> Variant:
    name = f"shufflenet_v2_x{width:.1f}".replace(".", "_")
    return Variant(name, "ShuffleNetV2", "shufflenet_v2", params, macs, 2018, SHUFFLENET_V2, options={"width": width})


VARIANTS = {
    variant.name: variant
    for variant in (
        _resnet("resnet18", 11_689_512, 1_814_073_344),
        _resnet("resnet34", 21_797_672, 3_663_761_408),
        _resnet("resnet50", 25_557_032, 4_089_184_256),
        _resnet("resnet101", 44_549_160, 7_801_405_440),
        _resnet("resnet152", 60_192_808, 11_513_626_624),
        _resnet_cifar("resnet20", 269_722, 40_551_040),
        _resnet_cifar("resnet32", 464_154, 68_862_592),
        _resnet_cifar("resnet44", 658_586, 97_174_144),
        _resnet_cifar("resnet56", 853_018, 125_485_696),
        _resnet_cifar("resnet110", 1_727_962, 252_887_680),
        _shufflenet_v2(0.5, 1_366_792, 40_476_448),
        _shufflenet_v2(1.0, 2_278_604, 144_907_992),
        _shufflenet_v2(1.5, 3_503_624, 295_759_392),
        _shufflenet_v2(2.0, 7_393_996, 583_253_464),
    )
}


def list_models(pattern: str = "*") -> list[str]:
    """The names that match a shell pattern ("shuffle*"), in the table's order."""
    wanted = _plain(pattern)
    return [name for name in VARIANTS if fnmatch.fnmatchcase(_plain(name), wanted)]


def info(name: str) -> Variant:
    """What is known about a network; case, "-" and "_" in the name do not matter.

    Raises:
        InputError: no such network; the nearest names are offered.
    """
    by_plain = {_plain(known): known for known in VARIANTS}
    if _plain(name) in by_plain:
        return VARIANTS[by_plain[_plain(name)]]
    near = difflib.get_close_matches(_plain(name), by_plain, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(by_plain[match] for match in near)}?" if near else "`cnnzoo list` shows them all"
    raise InputError(f"{name!r} is no network of the zoo; {hint}")


def builder_of(name: str) -> Callable[..., "keras.Model"]:
    """The public function that builds a network (its variant's options are not yet applied)."""
    variant = info(name)
    return getattr(importlib.import_module(f"{__package__}.families.{variant.module}"), variant.builder)


def create(name: str, **options: Any) -> "keras.Model":
    """Builds a network by name.

    Args:
        name: as in `list_models()`.
        options: those of its builder, e.g. `weights`, `classes`, `input_shape`.

    Raises:
        InputError: no such network, no such option, or an argument out of its limits.
    """
    build = builder_of(name)
    known = inspect.signature(build).parameters
    unknown = [option for option in options if option not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(f"{info(name).name} has no option {unknown[0]!r}; {hint}it takes {', '.join(known)}")
    return build(**{"name": info(name).name, **info(name).options, **options})


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")
