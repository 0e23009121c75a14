"""`cnnzoo-export train-aware MODEL`: fine-tune so that small survives, then export and verify."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer
from rich.table import Table

from ...console import Settings, print_json, terminal
from ...errors import InputError
from ..compress.methods import Method
from ..schemes import STATIC, Boundary, Quantization, Scheme
from .card_table import card_table
from .inputs import (
    artifact_path,
    class_names,
    classes_of,
    images_of,
    phases,
    size_of,
    spec_of,
    verification_of,
    with_classes,
)
from .onnx_file import check_onnx

if TYPE_CHECKING:
    from ...images import Images
    from ..calibration import Calibration
    from ..card import Card
    from ..compress.aware import Trained
    from ..origin import Origin
    from ..pipeline import Phase

EXAMPLE = """
**Examples**

    cnnzoo-export train-aware resnet20 --weights w.safetensors --preprocess torch --data train.npz --method qat \\
      --epochs 3 --verify test.npz -o out/

    cnnzoo-export train-aware my_model.keras --preprocess tf --data photographs/ --method prune-2:4 --epochs 6 \\
      --save out/pruned.keras -o out/
"""
COUNT = 500  # of the training images, drawn, calibrate the tensors whose range no layer learned


def train_aware(
    model: Annotated[
        str, typer.Argument(help="A network of `cnnzoo list`, a .keras or .h5 file, or keras.applications.NAME.")
    ],
    data: Annotated[
        str,
        typer.Option(
            help="Labelled pictures: an .npz file (`images` uint8 NHWC, `labels`), or a folder for each class."
        ),
    ],
    method: Annotated[
        Method,
        typer.Option(
            help="qat, prune, prune-2:4, cluster, prune+qat, prune-2:4+qat, cluster+qat, prune+cluster, "
            "prune+cluster+qat, or float (none of it, to compare with)."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder, or the .tflite or .onnx file.")],
    weights: Annotated[
        str | None, typer.Option(help="A .safetensors, .npz, .weights.h5 or .keras file; a model file has its own.")
    ] = None,
    preprocess: Annotated[
        str | None,
        typer.Option(
            help="torch, tf, caffe, none, or a JSON file (a spec or a card); needed unless the weights know it."
        ),
    ] = None,
    epochs: Annotated[
        int, typer.Option(help="Passes over the images, of all stages of the method together.", min=1)
    ] = 3,
    batch: Annotated[int, typer.Option(help="Images a step.", min=1)] = 64,
    learning_rate: Annotated[float, typer.Option(help="At the first step; falls to zero along a cosine.")] = 0.003,
    augment: Annotated[bool, typer.Option("--augment/--no-augment", help="Mirror and shift the pictures.")] = True,
    sparsity: Annotated[float, typer.Option(help="Share of each kernel that `prune` makes zero.")] = 0.5,
    clusters: Annotated[int, typer.Option(help="Different weights that `cluster` leaves in each kernel.")] = 16,
    count: Annotated[int | None, typer.Option(help="Training images, at most.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Of the order, the augmentation and the centroids.", min=0)] = 0,
    to: Annotated[Literal["tflite", "onnx"], typer.Option(help="The file; int8 as Q/DQ in ONNX.")] = "tflite",
    quantize: Annotated[
        Scheme | None, typer.Option(help="What is exported: int8 after qat, which is the default there, else float32.")
    ] = None,
    inputs: Annotated[
        Boundary | None, typer.Option(help="What a .tflite file of int8, int16 or int4 reads, if not its own integers.")
    ] = None,
    outputs: Annotated[Boundary | None, typer.Option(help="And what it returns.")] = None,
    verify: Annotated[
        str | None,
        typer.Option(help="A folder or .npz file over which the file is compared with the network before training."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Class names, one a line, for the card and the file's metadata.")
    ] = None,
    settings: Settings = None,
    save: Annotated[Path | None, typer.Option(help="Keep the trained Keras model as well (.keras).")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card instead of a table.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")] = False,
) -> None:
    """Fine-tunes MODEL by tensorflow-model-optimization, writes the file and its card, and compares it with MODEL.

    Exit codes: 0 written, 2 bad input. --debug shows the traceback of an error.
    """
    from ...files import refuse_overwrite, replacing
    from ..calibration import Calibration
    from ..compress.aware import card_section, train_aware
    from ..compress.methods import check_method
    from ..sources import load
    from ..tflite import check_labels

    scheme = _scheme(method, quantize)
    path = artifact_path(output, model, f"{method.replace(':', '')}_{scheme}", f".{to}")
    _check(to, path, scheme, (inputs, outputs), data, force)
    if save is not None:
        if save.suffix != ".keras":
            raise InputError(f"--save {save}: a Keras model's file name ends in .keras; name it so")
        refuse_overwrite(save, force=force)
    check_method(method, epochs)
    names: Sequence[str] | None = class_names(labels)
    phase = phases(not quiet)
    with phase("build", None):
        network, origin = load(model, weights, settings or [])
    spec = spec_of(origin, preprocess, model)
    opened = images_of(data, size_of(network), spec, count, seed)
    check_labels(network, names)
    images = with_classes(opened, names, classes_of(network), network.name).read()
    truth, pixels, names = _labels(images, data), spec(images.pixels), names or images.classes
    proof = verification_of(verify, network, spec, names, phase, "NCHW" if to == "onnx" else None)
    how: dict[str, Any] = {
        "epochs": epochs,
        "batch": batch,
        "learning_rate": learning_rate,
        "augment": augment,
        "seed": seed,
    }
    trained = train_aware(
        network, pixels, truth, method=method, **how, sparsity=sparsity, clusters=clusters, phase=phase
    )
    if save is not None:
        with replacing(save, force=force) as temporary:
            trained.model.save(temporary)
    card = _export(
        trained,
        path,
        scheme,
        Calibration(spec(images.take(COUNT, seed).pixels), images.source) if scheme in STATIC else None,
        (inputs, outputs),
        replace(origin, preprocessing=spec, labels=names, training=card_section(trained)),
        proof,
        force,
        phase,
    )
    if as_json:
        print_json(asdict(card))
    else:
        terminal().print(_with_training(card_table(card, path), trained))


def _check(
    to: Literal["tflite", "onnx"],
    path: Path,
    scheme: Scheme,
    boundary: tuple[Boundary | None, Boundary | None],
    data: str,
    force: bool,
) -> None:
    """Refuses a file that could not be written before anything is trained."""
    if to == "tflite":
        from ..tflite import check

        check(path, scheme, data, *boundary, 1, force)
        return
    for option, value in zip(("--inputs", "--outputs"), boundary, strict=True):
        if value is not None:
            raise InputError(f"{option} {value} is of .tflite files; drop it, or --to tflite")
    check_onnx(to, path, Quantization(scheme), data, None, "NCHW", 1, "float32", force)


def _export(
    trained: "Trained",
    path: Path,
    scheme: Scheme,
    data: "Calibration | None",
    boundary: tuple[Boundary | None, Boundary | None],
    origin: "Origin",
    proof: "Callable[[bytes], dict[str, Any]] | None",
    force: bool,
    phase: "Phase",
) -> "Card":
    """The trained model as the file that its name asks for."""
    shared: dict[str, Any] = {
        "calibration": data,
        "learned": trained.ranges,
        "origin": origin,
    }
    shared |= {"force": force, "phase": phase}
    if path.suffix == ".onnx":
        from ..onnx.conversion import to_onnx

        return to_onnx(trained.model, path, quantize=Quantization(scheme), verification=proof, **shared)
    from ..tflite import to_tflite

    inputs, outputs = boundary
    # other passes reorder channels, which 2:4 does not survive
    return to_tflite(
        trained.model, path, quantize=scheme, inputs=inputs, outputs=outputs, lower="none", verification=proof, **shared
    )


def _scheme(method: str, quantize: Scheme | None) -> Scheme:
    """int8 is what quantization-aware training is for."""
    aware = method.split("+")[-1] == "qat"
    if aware and quantize not in (None, "int8"):
        raise InputError(
            f"--quantize {quantize}: {method} trains for int8; drop --quantize, or choose a method without qat"
        )
    return quantize or ("int8" if aware else "float32")


def _labels(images: "Images", source: str) -> np.ndarray:
    if images.labels is None:
        raise InputError(
            f"{source}: no labels in it; training needs `labels` in the .npz file, or a folder for each class"
        )
    return images.labels


def _with_training(table: Table, trained: "Trained") -> Table:
    table.add_row(
        "trained", f"{trained.method}, {trained.recipe['epochs']} epochs of {trained.recipe['images']} images"
    )
    if trained.sparsity:
        low, high = min(trained.sparsity.values()), max(trained.sparsity.values())
        table.add_row("zeros", f"{low:.0%} to {high:.0%} of {len(trained.sparsity)} kernels")
    if trained.clusters:
        table.add_row("values", f"at most {max(trained.clusters.values())} in each of {len(trained.clusters)} kernels")
    return table
