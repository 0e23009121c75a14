"""The quantization schemes and all that may be chosen about one, as a value.

Each scheme has corrections of its own, by measurement. int8 has that of the biases beside OCTAV's kernels: trained
networks' logits lie 0.3 to 5 dB nearer to float, a MobileNet's most, for a fifth more time of a large network's export;
a walk that chooses the kernels anew as well costs more than all the rest and brings no more. int4 takes all three that
look at data: to nearest 10.4 dB and 2.9 points of top-1 lost, with them 21.5 dB and none. Per-tensor int8 takes all
four: the dequantized MobileNetV2 answers 10 % of 200 photographs without, 69 % with equalisation and bias correction,
84 % with all (per channel and float 82 %).
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from ..errors import InputError

Scheme = Literal["float32", "float16", "dynamic", "dynamic-int4", "int8", "int16", "int4"]
Boundary = Literal["int8", "uint8", "float32", "int16"]
Estimator = Literal["min-max", "percentile", "moving-average", "mse", "entropy"]
Correction = Literal["equalisation", "clipping", "bias", "adaround"]
Kept = Literal["float32", "int16"]

SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
STATIC: tuple[Scheme, ...] = ("int8", "int16", "int4")  # activations too, so calibration images are needed
BOUNDARIES: tuple[Boundary, ...] = get_args(Boundary)
ESTIMATORS: tuple[Estimator, ...] = get_args(Estimator)
CORRECTIONS: tuple[Correction, ...] = get_args(Correction)
BORDERS: dict[Scheme, tuple[Boundary, ...]] = {
    "int8": ("int8", "uint8", "float32"),
    "int16": ("int16", "float32"),
    "int4": ("int8", "uint8", "float32"),
}
DEFAULT: dict[Scheme, tuple[Correction, ...]] = {
    "int8": ("bias",),
    "int4": ("clipping", "bias", "adaround"),
}
DEFAULT_PER_TENSOR: tuple[Correction, ...] = ("equalisation", "clipping", "bias", "adaround")


@dataclass(frozen=True)
class Quantization:
    """How a network is quantized.

    Args:
        scheme: "float32"; "float16" (weights); "dynamic" and "dynamic-int4" (weights of 8 and 4 bits, activations
            quantized while it runs); "int8" (weights and activations); "int16" (activations of 16 bits, weights of 8);
            "int4" (activations of 8 bits, weights of convolutions and dense layers of 4).
        per_tensor: one scale for a whole kernel, as old delegates want, instead of one for each channel; int8 only.
        keep: patterns (`block1_*`) of layers that are left out of quantization.
        keep_in: what those stay in: "float32", or "int16" activations with int8 weights.
        auto_mixed: as many layers more, those whose quantization costs most, are found and kept.
        estimator: how the range of an activation is estimated from calibration data; None for the file's own (min-max;
            of an ONNX file, see export/onnx/quantize.py).
        corrections: any of "equalisation", "clipping", "bias", "adaround"; None for the scheme's own, and none where
            training has learned the ranges. With "clipping" or "adaround" all kernels are chosen anew: int8 is then
            without OCTAV, and without "clipping" a kernel reaches to its largest weight.
    """

    scheme: Scheme = "float32"
    per_tensor: bool = False
    keep: tuple[str, ...] = ()
    keep_in: Kept = "float32"
    auto_mixed: int = 0
    estimator: Estimator | None = None
    corrections: tuple[Correction, ...] | None = None

    def __post_init__(self) -> None:
        _one_of("quantize", self.scheme, SCHEMES)
        if self.estimator is not None:
            _one_of("estimator", self.estimator, ESTIMATORS)
        _one_of("keep_in", self.keep_in, get_args(Kept))
        for correction in self.corrections or ():
            _one_of("corrections", correction, CORRECTIONS)
        if self.auto_mixed < 0:
            raise InputError(f"auto_mixed={self.auto_mixed}: expected how many layers to keep, at least 0")
        if self.per_tensor and self.scheme != "int8":
            raise InputError(
                f"per_tensor is for int8, not for {self.scheme}: the old delegates know nothing else; drop it"
            )
        if not self.static and (self.keep or self.auto_mixed or self.corrections or self.estimator):
            raise InputError(
                f"{self.scheme} takes no keep, auto_mixed, corrections or estimator; choose int8, int16 or int4"
            )

    @property
    def static(self) -> bool:
        """Whether activations are quantized ahead, which needs calibration images."""
        return self.scheme in STATIC

    @property
    def mends(self) -> tuple[Correction, ...]:
        """The corrections: those asked for, or the scheme's own."""
        if self.corrections is not None:
            return self.corrections
        return DEFAULT_PER_TENSOR if self.per_tensor else DEFAULT.get(self.scheme, ())

    @property
    def biases_alone(self) -> bool:
        """Whether of an int8 file's kernels the biases alone are mended."""
        return self.scheme == "int8" and set(self.mends) - {"equalisation"} == {"bias"} and not self.per_tensor

    @property
    def activation(self) -> Boundary:
        """The type of a static scheme's activations."""
        return "int16" if self.scheme == "int16" else "int8"

    @property
    def levels(self) -> int:
        """How many values an activation of a static scheme has."""
        return 1 << (16 if self.activation == "int16" else 8)

    def after_training(self) -> "Quantization":
        """The same where training has learned the ranges: unasked, nothing is mended after it."""
        return replace(self, corrections=self.corrections or ())

    def plain(self, name: str) -> Scheme:
        """The scheme, where TensorFlow's converter can make a file of it; `name` is the network's, for the error."""
        ranged = self.estimator not in (None, "min-max")
        asked = self.keep or self.auto_mixed or self.corrections or self.per_tensor or ranged
        if asked or self.scheme not in ("float32", "float16", "dynamic", "int8"):
            raise InputError(
                f"{name}: it holds layers without a rule of ours, and TensorFlow's converter knows no other scheme or "
                "option; choose float32, float16, dynamic or int8 alone, without keep, auto_mixed, per_tensor, "
                "estimators or corrections"
            )
        return self.scheme

    def to_dict(self) -> dict[str, Any]:
        """For the card."""
        found = {"keep": list(self.keep), "corrections": list(self.mends), "estimator": self.estimator or "min-max"}
        return asdict(self) | found


def quantization(value: "Scheme | Quantization") -> Quantization:
    """A Quantization from one, or from a scheme's name."""
    return value if isinstance(value, Quantization) else Quantization(value)


def _one_of(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{option}={value!r}: choose one of {', '.join(choices)}")


def check_boundary(option: str, value: Boundary | None, options: Quantization) -> None:
    """Refuses what a file of the scheme can neither read nor return; None is its own type."""
    if value is None:
        return
    _one_of(option, value, BOUNDARIES)
    own = BORDERS[options.scheme] if options.static else ("float32",)
    if value not in own:
        raise InputError(f"{option}={value!r}: a file of {options.scheme} takes {', '.join(own)}; choose one of these")
