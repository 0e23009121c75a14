"""`cnnzoo-export MODEL`: a Keras network to a small file and its card."""

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...console import Settings, print_json, terminal
from ...errors import InputError
from ...preprocessing import Preprocessing
from ..classifier import require_classifier
from ..onnx.options import SUFFIXES, Format, Layout, OnnxBoundary
from ..schemes import CORRECTIONS, Boundary, Correction, Estimator, Kept, Quantization, Scheme
from ..web import ARTIFACT, write_site
from .card_table import card_table
from .inputs import (
    artifact_path,
    calibration_of,
    class_names,
    classes_of,
    images_of,
    phases,
    require_labels,
    size_of,
    spec_of,
    verification_of,
    with_classes,
)
from .lower import CostsOf
from .onnx_file import check_onnx, export_onnx
from .site import check_classifier, check_site, show_site

if TYPE_CHECKING:
    import keras

    from ..lowering.accuracy import Accuracy

OF_A_PAGE = {"model", "output", "to", "install", "force", "as_json", "quiet"}  # what a ready file's page is made by
MEMORY = 1e9  # bytes of images, at most, by which passes are declined
EXAMPLE = """
**Examples**

    cnnzoo-export resnet20 --weights w.safetensors --preprocess torch --quantize int8 \\
      --calibration train.npz --verify test.npz -o out/

    cnnzoo-export my_model.keras --preprocess tf --quantize float16 -o my_model.tflite

    cnnzoo-export keras.applications.MobileNetV2 --weights random --quantize int8 --calibration random:20 -o out/

    cnnzoo-export resnet20 --weights w.safetensors --to tensorrt --quantize int8 --calibration train.npz -o out/

    cnnzoo-export out/resnet20_int8.tflite --to web -o site/
"""


def export(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            help="A network of `cnnzoo list`, a .keras or .h5 file, or keras.applications.NAME; for --to web also a "
            ".tflite file with its card."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder, or the file.")],
    to: Annotated[
        Format,
        typer.Option(
            help="tensorrt: an .onnx file by TensorRT's rules (TensorRT itself has never run here); web: a folder with "
            "a page that classifies pictures in the browser."
        ),
    ] = "tflite",
    weights: Annotated[
        str | None,
        typer.Option(help="A .safetensors, .npz, .weights.h5 or .keras file, or `random`; a model file has its own."),
    ] = None,
    preprocess: Annotated[
        str | None,
        typer.Option(
            help="torch, tf, caffe, none, or a JSON file (a spec or a card); needed unless the weights know it."
        ),
    ] = None,
    quantize: Annotated[
        Scheme,
        typer.Option(
            help="float16: weights alone; dynamic, dynamic-int4: weights of 8 or 4 bits; int8: all of it; int16: "
            "activations of 16 bits, weights of 8; int4: weights of 4 bits, activations of 8."
        ),
    ] = "float32",
    calibration: Annotated[
        str | None,
        typer.Option(
            help="For int8, int16, int4: a folder of pictures, an .npz file (`images` uint8 NHWC), or random:N "
            "(latency work only)."
        ),
    ] = None,
    count: Annotated[int, typer.Option(help="Calibration images, at most.", min=1)] = 500,
    seed: Annotated[int, typer.Option(help="Draws the calibration images.", min=0)] = 0,
    verify: Annotated[
        str | None, typer.Option(help="A folder or .npz file over which the file is compared with the Keras model.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Class names, one a line, for the card and the file's metadata.")
    ] = None,
    inputs: Annotated[
        Boundary | None, typer.Option(help="What a file of int8, int16 or int4 reads, if not its own integers.")
    ] = None,
    outputs: Annotated[Boundary | None, typer.Option(help="And what it returns.")] = None,
    per_tensor: Annotated[
        bool, typer.Option("--per-tensor", help="int8 with one scale for a whole kernel, for old delegates.")
    ] = False,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Layers left out of quantization (`block1_*`); repeatable."),
    ] = None,
    keep_in: Annotated[Kept, typer.Option(help="What they stay in.")] = "float32",
    auto_mixed: Annotated[
        int, typer.Option(metavar="N", help="Keep the N layers whose quantization costs most.", min=0)
    ] = 0,
    estimator: Annotated[
        Estimator | None,
        typer.Option(help="Of the activations' ranges; not given, min-max, of an ONNX file percentile."),
    ] = None,
    corrections: Annotated[
        str | None,
        typer.Option(
            help="Of equalisation, clipping, bias, adaround, with commas between, or `none`; not given, the scheme's."
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Images a call, fixed in the file; ONNX: 0 leaves it open.", min=0)] = 1,
    opset: Annotated[int | None, typer.Option(help="ONNX: 13 to 21; 17 (int4: 21) if not given.")] = None,
    layout: Annotated[Layout, typer.Option(help="ONNX: of the maps that the file reads and returns.")] = "NCHW",
    io: Annotated[OnnxBoundary, typer.Option(help="ONNX: what a float16 file reads and returns.")] = "float32",
    target: Annotated[
        str | None,
        typer.Option(
            help="Where a .tflite file shall run: xnnpack, gpu, edgetpu, micro, nnapi or generic. What that would not "
            "take is an error, or listed where it falls back."
        ),
    ] = None,
    passes: Annotated[
        str, typer.Option("--lower", metavar="PASSES", help="auto, none, or names; see `cnnzoo-export lower --help`.")
    ] = "auto",
    costs_of: CostsOf = None,
    pixels: Annotated[
        bool, typer.Option("--pixels", help="The file reads RGB pixels 0..255: the normalisation becomes part of it.")
    ] = False,
    max_drop: Annotated[
        float | None,
        typer.Option(help="int8: decline passes that cost more top-1, in points, over --verify's images.", min=0.0),
    ] = None,
    settings: Settings = None,
    install: Annotated[
        bool, typer.Option("--install", help="web: let npm fetch LiteRT.js into the cache where it is missing.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card instead of a table.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")] = False,
) -> None:
    """Writes MODEL as a .tflite or .onnx file and a JSON card that says what it is and how well it answers.

    A network built by name gives logits unless --set classifier_activation=softmax; a model file is exported as it is.
    Exit codes: 0 written, 2 bad input. --debug shows the traceback of an error.
    """
    from ...files import refuse_overwrite
    from ..card import card_path
    from ..lowering.passes import choose
    from ..pixels import reads_pixels
    from ..sources import load
    from ..tflite import check_labels

    if to == "web":
        check_site(output, install=install, force=force)
    else:
        _refuse(context, "is of pages; drop it, or give --to web", ("install",))
    if model.endswith(".tflite"):
        _refuse(context, f"is of networks; {model} is ready as it is: drop it", context.params.keys() - OF_A_PAGE)
        show_site(Path(model), output, to, force=force, as_json=as_json)
        return
    path = output / ARTIFACT if to == "web" else artifact_path(output, model, quantize, SUFFIXES[to])
    as_tflite = SUFFIXES[to] == ".tflite"
    for wanted in (path, card_path(path)):
        refuse_overwrite(wanted, force=force)
    asked = _correction_names(corrections)
    options = Quantization(quantize, per_tensor, tuple(keep or ()), keep_in, auto_mixed, estimator, asked)
    if as_tflite:
        choose(passes, quantize, costs_of)
        _check_tflite(path, options, calibration, (inputs, outputs), batch, target, force)
        _check_max_drop(max_drop, verify, quantize)
        if to == "web":
            own = options.activation if options.static else "float32"
            check_classifier((inputs or own, outputs or own), batch)
        _refuse(context, "is of ONNX files; drop it, or give --to onnx", ("opset", "layout", "io"))
    else:
        check_onnx(to, path, options, calibration, opset, layout, batch, io, force)
        chosen = "passes", "max_drop", "costs_of", "target", "inputs", "outputs"
        _refuse(context, "is of .tflite files; drop it, or --to tflite", chosen)
    names, phase = class_names(labels), phases(not quiet)
    with phase("build", None):
        network, origin = load(model, weights, settings or [])
    check_labels(network, names)
    spec = spec_of(origin, preprocess, model)
    if pixels:
        network, spec = reads_pixels(network, spec)
    if to == "web":
        reads, returns = ([batch, *tensor.shape[1:]] for tensor in (network.inputs[0], network.outputs[0]))
        require_classifier(network.name, reads, returns)
    proof = verification_of(verify, network, spec, names, phase, None if as_tflite else layout)
    source = calibration if options.static or not as_tflite else None  # ONNX files are compared over it
    data = calibration_of(source, network, spec, count, seed, spans=pixels)
    common: dict[str, Any] = {
        "quantize": options,
        "calibration": data,
        "batch": batch,
        "origin": replace(origin, preprocessing=spec, labels=names),
        "verification": proof,
        "force": force,
        "phase": phase,
    }
    if as_tflite:
        from ..tflite import to_tflite

        accuracy = None if max_drop is None or verify is None else _accuracy(max_drop, verify, network, spec, names)
        lowering: dict[str, Any] = {"lower": passes, "costs_of": costs_of, "accuracy": accuracy, "target": target}
        card = to_tflite(network, path, inputs=inputs, outputs=outputs, **lowering, **common)
    else:
        card = export_onnx(to, network, path, opset=opset, layout=layout, io=io, **common)
    if to == "web":
        write_site(path, output, force=force)
    if as_json:
        print_json(asdict(card))
    else:
        terminal().print(card_table(card, path))


def _check_tflite(
    path: Path,
    options: Quantization,
    calibration: str | None,
    border: tuple[Boundary | None, Boundary | None],
    batch: int,
    target: str | None,
    force: bool,
) -> None:
    """Refuses what can be refused before the network is built."""
    from ..targets import place_of
    from ..tflite import check

    if target is not None:
        place_of(target, options.scheme)
    check(path, options, calibration, *border, batch, force)


def _refuse(context: typer.Context, words: str, names: Collection[str]) -> None:
    """Raises InputError where one of the parameters stands on the command line; it is of another format."""
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name in names and source is not None and source.name == "COMMANDLINE":
            value = context.params[option.name]
            said = "" if isinstance(value, bool) else f" {' '.join(value) if isinstance(value, list) else value}"
            raise InputError(f"{option.opts[0]}{said} {words}")


def _correction_names(text: str | None) -> tuple[Correction, ...] | None:
    """`bias,adaround` as names; `none` is no correction, nothing the scheme's own."""
    if text is None:
        return None
    names = [] if text == "none" else [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in CORRECTIONS]
    if unknown:
        raise InputError(f"--corrections {unknown[0]}: choose of {', '.join(CORRECTIONS)}, or none")
    return tuple(name for name in CORRECTIONS if name in names)


def _check_max_drop(max_drop: float | None, verify: str | None, quantize: Scheme) -> None:
    if max_drop is not None and (quantize != "int8" or verify is None):
        raise InputError(f"--max-drop {max_drop:g} compares int8 files over images; give --quantize int8 and --verify")


def _accuracy(
    max_drop: float, source: str, network: "keras.Model", spec: Preprocessing, names: Sequence[str] | None
) -> "Accuracy":
    """What --max-drop asks for."""
    from ..lowering.accuracy import Accuracy

    size = size_of(network)
    opened = images_of(source, size, spec, int(MEMORY / (4 * math.prod(size))), 0)
    require_labels("--max-drop", opened)
    images = with_classes(opened, names, classes_of(network), network.name).read()
    return Accuracy(spec(images.pixels), images.labels, max_drop)
