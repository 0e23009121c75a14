"""`cnnzoo train` and `cnnzoo shard`."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ..console import AsJson, Quiet, print_json, progress, terminal
from ..errors import InputError
from ..files import refuse_overwrite
from ..options import typed_options
from ..preprocessing import PRESETS, Preprocessing, preprocessing
from ..registry import builder_of, info
from .onednn import prefer_onednn
from .recipes import FIELDS, Recipe, recipe, require_precision
from .records import PER_SHARD

if TYPE_CHECKING:
    from .curve import Row
    from .data import Data

EXAMPLE = """
**Examples**

    cnnzoo train shufflenet_v2_x0_5 --data fashion_mnist --recipe mobilenet --epochs 30 --out run/

    cnnzoo train resnet20 --data cifar10 --recipe resnet_cifar --set mixup=0.2 --out run/ --export int8

    cnnzoo train mobilenet_v2 --data photographs/ --size 160 --weights imagenet --recipe fine_tune --out run/

The same command again goes on where a run was interrupted, by Ctrl-C, a kill or a reboot.
"""
SHARD_EXAMPLE = "**Example:** `cnnzoo shard photographs/ --out shards/ --per-shard 2000`"
Force = Annotated[bool, typer.Option("--force", help="Start anew and replace what stands there.")]
Source = Annotated[
    str,
    typer.Option(
        "--data",
        help="fashion_mnist, cifar10, digits, an .npz file, a folder with one folder a class, or TFRecords of `shard`.",
    ),
]
Test = Annotated[str | None, typer.Option("--test", help="Images to test on; else the set's own, or a fifth.")]
Size = Annotated[int | None, typer.Option(help="Height and width of the network's input.", min=8, max=2048)]
Channels = Annotated[int, typer.Option(help="Of a folder's pictures: 1 or 3.", min=1, max=3)]
Limit = Annotated[int | None, typer.Option(help="At most so many images, for a try; of TFRecords whole files.", min=1)]


def train(
    network: Annotated[str, typer.Argument(help="A network of `cnnzoo list`.")],
    data: Source,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for checkpoint, curves and weights.")],
    recipe_: Annotated[
        str,
        typer.Option(
            "--recipe", help="resnet_cifar, densenet, shufflenet, mobilenet, modern, fine_tune, or a .toml file."
        ),
    ] = "modern",
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's; the schedule shrinks with it.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images a step, instead of the recipe's.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest, instead of the recipe's.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="An entry of the recipe or an option of the builder; repeatable."
        ),
    ] = None,
    weights: Annotated[str | None, typer.Option(help="To start from: imagenet, or a file.")] = None,
    test: Test = None,
    size: Size = None,
    channels: Channels = 3,
    limit: Limit = None,
    preprocess: Annotated[
        str | None,
        typer.Option(
            help="torch, tf, caffe, none or a JSON file; else the weights' or the network's; torch without any."
        ),
    ] = None,
    precision: Annotated[str, typer.Option(help="float32, mixed_bfloat16 or mixed_float16.")] = "float32",
    devices: Annotated[
        int, typer.Option(help="GPUs of this host, each of which takes its part of a batch.", min=1)
    ] = 1,
    hosts: Annotated[
        int,
        typer.Option(help="Processes on hosts that share --out, one a device, each with this command (JAX).", min=1),
    ] = 1,
    coordinator: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Of the first process; else what Slurm or MPI say.")
    ] = None,
    process_id: Annotated[int | None, typer.Option(help="Of this process, from 0; else the same.", min=0)] = None,
    seed: Annotated[int, typer.Option(help="Of initialisation, order and augmentation.", min=0, max=2**31 - 1)] = 0,
    export: Annotated[
        str | None, typer.Option(help="Go on to a .tflite file: float32, float16, dynamic, int8.")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Trains a network by a recipe: curves, a checkpoint that a killed run goes on from, weights, an artifact.

    Exit codes: 0 trained, 2 bad input (a loss that is no number, too), 130 interrupted.
    """
    prefer_onednn()
    if hosts > 1:
        backend = os.environ.setdefault("KERAS_BACKEND", "jax")  # before the builders load keras
        if backend == "jax" and find_spec("jax") is None:
            raise InputError(f"--hosts {hosts}: several hosts need JAX, which is not here; pip install jax")
    chosen = recipe(recipe_)
    of_recipe = [text for text in settings or [] if text.partition("=")[0] in FIELDS]
    chosen = chosen.changed(of_recipe, epochs=epochs, batch=batch, learning_rate=learning_rate)
    name = info(network).name
    others = [text for text in settings or [] if text not in of_recipe]
    options = typed_options(builder_of(name), others, name, beside=FIELDS)
    require_precision(precision)
    artifact = _artifact(out, name, export, force)
    with progress(f"read {data}", shown=not quiet):
        found = _data(data, test, size, channels, limit, seed)
    asked = batch is not None or any(text.partition("=")[0] == "batch" for text in of_recipe)
    if not asked and len(found.train) < chosen.batch:
        chosen = chosen.changed(batch=len(found.train))
        terminal(stderr=True).print(f"a batch is all of the {len(found.train)} training images; see --batch")
    spec = _preprocessing(preprocess, weights, name)
    first = _first_of(hosts, coordinator, process_id)
    quiet, as_json = quiet or not first, as_json or not first
    result = _trained(
        name,
        found,
        chosen,
        out=out,
        options=options,
        weights=weights,
        spec=spec,
        precision=precision,
        devices=devices,
        seed=seed,
        force=force,
        quiet=quiet,
        as_json=as_json,
    )
    if not first:
        return
    if artifact is not None:
        from ..app.trained import export_run

        result["artifact"] = export_run(artifact, name, found, options, spec, export, shown=not quiet)
    print_json(result) if as_json else _tell(result)


def _trained(
    name: str,
    data: "Data",
    chosen: Recipe,
    *,
    out: Path,
    options: dict[str, Any],
    weights: str | None,
    spec: Preprocessing,
    precision: Any,
    devices: int,
    seed: int,
    force: bool,
    quiet: bool,
    as_json: bool,
) -> dict[str, Any]:
    with progress(f"build {name}", shown=not quiet):
        from .build import emulated, network
        from .loop import train as train_network
        from .pipeline import steps_per_epoch

        total = chosen.epochs * steps_per_epoch(data.train, chosen.batch)
        model = network(name, data, weights=weights, precision=precision, devices=devices, seed=seed, **options)
    if emulated(precision) and not quiet:
        terminal(stderr=True).print(f"{precision}: this processor has no such instructions; float32 is faster here")
    with progress(f"train {name}", total, shown=not quiet) as step:

        def watch(row: "Row") -> None:
            if not as_json:
                terminal().print(_line(row, chosen.epochs), highlight=False)

        run = train_network(
            model, data, chosen, out=out, seed=seed, preprocessing=spec, force=force, step=step, watch=watch
        )
    return run.to_dict()


def _first_of(hosts: int, coordinator: str | None, process: int | None) -> bool:
    """Meets the other processes, where there are some; whether this is the first."""
    if hosts == 1:
        if coordinator is not None or process is not None:
            raise InputError("--coordinator and --process-id are of one of several processes; give --hosts, too")
        return True
    from .hosts import join, part

    join(hosts, coordinator, process)
    return part()[0] == 0


def _artifact(out: Path, name: str, export: str | None, force: bool) -> Path | None:
    """Where --export writes, if it does; asked for before the training, unless a run goes on there."""
    if export is None:
        return None
    if export not in ("float32", "float16", "dynamic", "int8"):
        raise InputError(f"--export {export}: float32, float16, dynamic or int8; `cnnzoo-export` has the other schemes")
    path = out / f"{name}_{export}.tflite"
    for file in (path, Path(f"{path}.json")):
        refuse_overwrite(file, force=force or (out / "checkpoint.safetensors").is_file())
    return path


def _data(source: str, test: str | None, size: int | None, channels: int, limit: int | None, seed: int) -> "Data":
    from .sources import dataset

    found = dataset(source, test=test, size=size, channels=channels, seed=seed)
    if found.skipped:
        terminal(stderr=True).print(
            f"{escape(source)}: {found.skipped} files are no readable pictures and are left out"
        )
    return found if limit is None else found.limited(limit, seed)


def _preprocessing(preprocess: str | None, weights: str | None, name: str) -> Preprocessing:
    if preprocess is not None:
        return preprocessing(preprocess)
    if weights is not None:
        from ..weights import preprocessing_of

        return preprocessing_of(weights, name) or PRESETS[info(name).preprocess]
    return PRESETS["torch"]


def _line(row: "Row", epochs: int) -> str:
    return (
        f"epoch {row.epoch}/{epochs}: loss {row.loss:.4f}, training {100 * row.accuracy:.2f} %, "
        f"test {100 * row.test_accuracy:.2f} % (loss {row.test_loss:.4f}), rate {row.learning_rate:.3g}, "
        f"{row.seconds:.0f} s"
    )


def _tell(result: dict[str, Any]) -> None:
    table = Table(show_header=False)
    last, folder = result["history"][-1], Path(result["folder"])
    table.add_row("test top-1", f"{100 * result['test_accuracy']:.2f} %")
    table.add_row("recipe, epochs, seed", f"{result['recipe']['name']}, {last['epoch']}, {result['seed']}")
    table.add_row("training time", f"{result['seconds']:.0f} s")
    table.add_row("weights", escape(str(folder / "weights.safetensors")))
    table.add_row("model", escape(str(folder / "model.keras")))
    table.add_row("curves", escape(str(folder / "curves.svg")))
    if "artifact" in result:
        table.add_row("artifact", escape(result["artifact"]["file"]))
        top1 = result["artifact"]["verification"]["top1_file"]
        table.add_row("its top-1", f"{100 * top1:.2f} %")
    terminal().print(table)


def shard(
    data: Annotated[
        str, typer.Argument(help="fashion_mnist, cifar10, an .npz file or a folder with a folder a class.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for the TFRecords.")],
    per_shard: Annotated[int, typer.Option(help="Pictures a file.", min=1)] = PER_SHARD,
    test: Test = None,
    channels: Channels = 3,
    seed: Annotated[int, typer.Option(help="Of the order, and of the fifth held out.", min=0)] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Writes a data set as TFRecords, for sets that do not fit into memory or come over a network."""
    with progress(f"read {data}", shown=not quiet):
        from .records import write_shards

        found = _data(data, test, None, channels, None, seed)
    with progress("write", len(found.train) + len(found.test), shown=not quiet) as step:
        index = write_shards(found, out, per_shard=per_shard, seed=seed, force=force, step=step)
    if as_json:
        counts = {"train": len(found.train), "test": len(found.test), "skipped": found.skipped}
        print_json({"file": str(index)} | counts)
    else:
        print(f"{index}\ntrain on it by: cnnzoo train NETWORK --data {out}")
