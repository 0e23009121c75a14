"""`cnnzoo-export MODEL`: a Keras network to a small file and its card."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ...console import print_json, progress, terminal
from ...errors import InputError
from ...preprocessing import Preprocessing, preprocessing
from ..onnx.options import SUFFIXES, Format, Layout, OnnxBoundary
from ..schemes import CORRECTIONS, Boundary, Correction, Estimator, Kept, Quantization, Scheme
from ..web import ARTIFACT, write_site
from .onnx_file import check_onnx, export_onnx
from .site import require_litertjs, show_site

if TYPE_CHECKING:
    import keras

    from ...images import Images
    from ..calibration import Calibration
    from ..card import Card
    from ..lowering.accuracy import Accuracy
    from ..tflite import Origin, Phase

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
    seed: Annotated[int, typer.Option(help="Draws the calibration images.")] = 0,
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
        Estimator | None, typer.Option(help="Of the activations' ranges; not given, min-max, of an ONNX file mse.")
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
    pixels: Annotated[
        bool, typer.Option("--pixels", help="The file reads RGB pixels 0..255: the normalisation becomes part of it.")
    ] = False,
    max_drop: Annotated[
        float | None,
        typer.Option(help="int8: decline passes that cost more top-1, in points, over --verify's images.", min=0.0),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option of the builder, e.g. classes=10; repeatable."),
    ] = None,
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

    if to == "web":
        require_litertjs(output, install=install)
    if model.endswith(".tflite"):
        show_site(Path(model), output, to, force=force, as_json=as_json)
        return
    path, as_tflite = _artifact(output, model, quantize, to), SUFFIXES[to] == ".tflite"
    for wanted in (path, card_path(path)):
        refuse_overwrite(wanted, force=force)
    from ..sources import load
    from ..targets import place_of
    from ..tflite import check, to_tflite

    if target is not None:
        if not as_tflite:
            raise InputError(f"--target {target}: says where a .tflite file shall run; drop it, or --to {to}")
        place_of(target, quantize)
    chosen = _correction_names(corrections)
    options = Quantization(quantize, per_tensor, tuple(keep or ()), keep_in, auto_mixed, estimator, chosen)
    if as_tflite:
        check(path, options, calibration, inputs, outputs, batch, force)
    else:
        check_onnx(to, path, options, calibration, opset, layout, batch, io, force)
    phase = _phases(not quiet)
    with phase("build", None):
        network, origin = load(model, weights, settings or [])
    spec = _spec(origin, preprocess, model)
    if pixels:
        from ..pixels import reads_pixels

        network, spec = reads_pixels(network, spec)
    images = _calibration(calibration, network, spec, count, seed) if options.static else None
    if pixels and images is not None:
        from ..pixels import spanning

        images = spanning(images)
    origin = replace(origin, preprocessing=spec, labels=_class_names(labels))
    verification = _verification(verify, network, spec, phase, None if as_tflite else layout)
    if as_tflite:
        card = to_tflite(
            network,
            path,
            quantize=options,
            calibration=images,
            inputs=inputs,
            outputs=outputs,
            batch=batch,
            lower=passes,
            accuracy=_accuracy(max_drop, verify, quantize, network, spec),
            target=target,
            origin=origin,
            verification=verification,
            force=force,
            phase=phase,
        )
    else:
        if passes != "auto" or max_drop is not None:
            raise InputError("--lower and --max-drop are of .tflite files; drop them, or write a .tflite file")
        card = export_onnx(
            to,
            network,
            path,
            quantize=options,
            calibration=images,
            opset=opset,
            layout=layout,
            batch=batch,
            io=io,
            origin=origin,
            verification=verification,
            force=force,
            phase=phase,
        )
    if to == "web":
        write_site(path, output, force=force)
    if as_json:
        print_json(asdict(card))
    else:
        terminal().print(_table(card, path))


def _correction_names(text: str | None) -> tuple[Correction, ...] | None:
    """`bias,adaround` as names; `none` is no correction, nothing the scheme's own."""
    if text is None:
        return None
    names = [] if text == "none" else [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in CORRECTIONS]
    if unknown:
        raise InputError(f"--corrections {unknown[0]}: choose of {', '.join(CORRECTIONS)}, or none")
    return tuple(name for name in CORRECTIONS if name in names)


def _artifact(output: Path, model: str, quantize: str, to: Format) -> Path:
    """`out/` holds `resnet20_int8.tflite`."""
    if to == "web":
        return output / ARTIFACT
    if output.suffix in SUFFIXES.values():
        return output
    name = Path(model).stem if model.endswith((".keras", ".h5")) else model.rpartition(".")[2].lower()
    return output / f"{name}_{quantize}{SUFFIXES[to]}"


def _phases(shown: bool) -> "Phase":
    """A bar for each phase; what is over in a moment leaves a line."""
    return lambda name, total: progress(name, total, shown=shown)


def _spec(origin: "Origin", preprocess: str | None, model: str) -> Preprocessing:
    """The preprocessing of the command line, or what is known of the weights."""
    spec = origin.preprocessing if preprocess is None else preprocessing(preprocess)
    if spec is None:
        raise InputError(
            f"{model}: neither its weights nor the registry know what it was trained on; give --preprocess torch, tf, "
            "caffe, none or a JSON file"
        )
    return spec


def _class_names(path: Path | None) -> list[str] | None:
    if path is None:
        return None
    try:
        return path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable list of class names ({error})") from error


def _calibration(
    source: str | None, network: "keras.Model", spec: Preprocessing, count: int, seed: int
) -> "Calibration | None":
    """The representative dataset that --calibration names."""
    from ..calibration import Calibration

    if source is None:
        return None
    size = tuple(network.inputs[0].shape[1:])
    if source.startswith("random:"):
        number = source.removeprefix("random:")
        if not number.isdigit() or not int(number):
            raise InputError(f"--calibration {source}: write random:N with N of at least 1")
        return Calibration.noise(int(number), size, seed)
    images = _images(source, size, spec, count, seed)
    return Calibration(spec(images.pixels), images.source)


def _verification(
    source: str | None, network: "keras.Model", spec: Preprocessing, phase: "Phase", layout: Layout | None
) -> Callable[[bytes], dict[str, Any]] | None:
    """What compares the file with the model over the images that --verify names; `layout` is an ONNX file's."""
    if source is None:
        return None
    images = _images(source, tuple(network.inputs[0].shape[1:]), spec, None, None)

    def prove(content: bytes) -> dict[str, Any]:
        from ..runners import OnnxRunner
        from ..verify import verify

        file = content if layout is None else OnnxRunner(content, layout=layout)
        with phase("verify", len(images)) as step:
            found = verify(file, network, spec(images.pixels), images.labels, step)
        return {"source": images.source} | found.to_dict()

    return prove


def _accuracy(
    max_drop: float | None, source: str | None, quantize: Scheme, network: "keras.Model", spec: Preprocessing
) -> "Accuracy | None":
    """What --max-drop asks for."""
    if max_drop is None:
        return None
    if quantize != "int8" or source is None:
        raise InputError(f"--max-drop {max_drop:g} compares int8 files over images; give --quantize int8 and --verify")
    from ..lowering.accuracy import Accuracy

    images = _images(source, tuple(network.inputs[0].shape[1:]), spec, None, None)
    return Accuracy(spec(images.pixels), images.labels, max_drop)


def _images(
    source: str, size: tuple[int, int, int], spec: Preprocessing, count: int | None, seed: int | None
) -> "Images":
    from ...images import read_images

    images = read_images(source, size, fit=spec, count=count, seed=seed)
    if images.skipped:
        terminal(stderr=True).print(f"{source}: {images.skipped} pictures could not be read and were skipped")
    return images


def _scheme(found: dict[str, Any]) -> str:
    """The scheme in a line: what is not the default is said."""
    words = [found["scheme"]]
    words += ["per tensor"] if found.get("per_tensor") else []
    words += [f"{found['estimator']} ranges"] if found.get("estimator", "min-max") != "min-max" else []
    words += [", ".join(found["corrections"])] if found.get("corrections") else []
    words += [f"{', '.join(found['kept'])} in {found['keep_in']}"] if found.get("kept") else []
    return "; ".join(words)


def _table(card: "Card", path: Path) -> Table:
    table = Table(title=f"{path}  ({card.artifact['bytes'] / 1e6:.2f} MB)", show_header=False, title_justify="left")
    delegate, proof = card.delegate, card.verification
    table.add_row("network", f"{card.model['name']}, weights {card.model['weights']}")
    table.add_row("scheme", _scheme(card.quantization))
    if card.quantization["calibration"]:
        calibration = card.quantization["calibration"]
        noise = " - noise: its answers mean nothing" if calibration["random"] else ""
        table.add_row("calibration", f"{calibration['count']} images of {calibration['source']}{noise}")
    for tensor in (*card.inputs, *card.outputs):
        table.add_row(tensor["name"], f"{tensor['dtype']} {tensor['shape']}")
    table.add_row("operators", ", ".join(f"{count} {name}" for name, count in card.operators.items()))
    if delegate:
        outside = ", ".join(f"{count} {name}" for name, count in delegate["outside"].items()) or "nothing outside"
        table.add_row("XNNPACK", f"{delegate['partitions']} partition(s), {outside}")
    if card.target:
        outside = ", ".join(f"{count} {what}" for what, count in card.target["outside"].items())
        words = f"{outside}: on {card.target['fallback']}" if outside else "takes all of it"
        table.add_row(f"target {card.target['name']}", words)
    if card.quantization.get("float_islands"):
        islands = ", ".join(f"{count} {name}" for name, count in card.quantization["float_islands"].items())
        table.add_row("in float", islands)
    table.add_row(
        "converted by", card.conversion["by"] + (f" ({card.conversion['reason']})" if card.conversion["reason"] else "")
    )
    if card.conversion["lowering"]:
        table.add_row("lowered by", ", ".join(card.conversion["lowering"]))
    if proof and "parity" in proof:
        parity = proof["parity"]
        weak = "" if parity["varies"] else "; the network's answers hardly vary, so this proves little"
        difference = f"{parity['largest_difference']:.2g} of the largest output"
        table.add_row("float parity", f"{difference}, {parity['images']} images in ONNX Runtime{weak}")
    if proof and "images" in proof:
        table.add_row("verified on", f"{proof['images']} images of {proof['source']}")
        if proof["top1_model"] is not None:
            low, high = proof["interval"]
            table.add_row("top-1", f"{proof['top1_model']:.2%} model, {proof['top1_file']:.2%} file")
            table.add_row(
                "difference", f"{proof['top1_difference']:+.2f} points, 95 % interval {low:+.2f} to {high:+.2f}"
            )
        table.add_row("agreement", f"{proof['agreement']:.2%}")
        table.add_row("largest difference", f"{proof['largest_difference']:.3g} of {proof['largest_output']:.3g}")
    return table
