"""cnnzoo weights: public checkpoints, listed, fetched, checked, and files converted to our format."""

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ..console import FAILED_GATE, print_json, terminal
from ..errors import InputError
from .bundled import DATA_SETS, Bundled, all_bundled, bundled
from .catalogue import Checkpoint, checkpoint, of_network
from .download import cached, fetch_shown, require_published

app = typer.Typer(no_args_is_help=True, help="Public checkpoints: what there is, what is here, and other formats.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
Network = Annotated[str, typer.Argument(help="A network of `cnnzoo list`.")]
Spec = Annotated[str, typer.Argument(help="`imagenet`, or a checkpoint such as `torchvision:IMAGENET1K_V2`.")]
SpecOrShipped = Annotated[
    str, typer.Argument(help="The same, or `fashion_mnist` or `cifar10_jpeg`, whose files are in the package.")
]


@app.command("list", epilog="**Example:** `cnnzoo weights list 'resnet*'`")
def list_(
    pattern: Annotated[str, typer.Argument(help="A shell pattern of networks; case, - and _ do not matter.")] = "*",
    as_json: AsJson = False,
) -> None:
    """Lists the checkpoints: published top-1, licence, and whether they are here; `*` is what imagenet means."""
    rows, ours = _known(pattern)
    if as_json:
        print_json([_facts(row) for row in rows] + [_shipped(row) for row in ours])
        return
    table = Table("network", "checkpoint", "top-1 %", "size", "licence", "here")
    for row in rows:
        here = "yes" if cached(row).is_file() else ""
        top1 = "" if row.top1 is None else f"{row.top1:.2f}"
        table.add_row(row.network, f"{row.spec}{' *' if row.imagenet else ''}", top1, str(row.size), row.licence, here)
    for shipped in ours:
        size = str(shipped.input_shape[0])
        table.add_row(shipped.network, shipped.data, f"{shipped.top1:.2f}", size, "Apache-2.0", "in the package")
    terminal().print(table)


@app.command(epilog="**Example:** `cnnzoo weights download resnet50 torchvision:IMAGENET1K_V1`")
def download(network: Network, spec: Spec = "imagenet", as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Fetches a checkpoint into the cache (CNNZOO_HOME), resuming what was begun, and checks its hash."""
    row = _row(network, spec)
    path = fetch_shown(row, shown=not quiet)
    if as_json:
        print_json(_facts(row))
    else:
        terminal().print(str(path), soft_wrap=True)


@app.command(epilog="**Example:** `cnnzoo weights path resnet50`")
def path(network: Network, spec: SpecOrShipped = "imagenet") -> None:
    """Prints where a checkpoint's file stands, or would."""
    from ..registry import info

    print(bundled(spec, info(network).name).path if spec in DATA_SETS else cached(_row(network, spec)))


@app.command(epilog="**Example:** `cnnzoo weights verify`")
def verify(
    pattern: Annotated[str, typer.Argument(help="A shell pattern of networks.")] = "*", as_json: AsJson = False
) -> None:
    """Checks the hash of every file in the cache and the package; exit code 3 where one is not what was published."""
    rows, ours = _known(pattern)
    faults = {str(cached(row)): _fault(row) for row in rows if cached(row).is_file()}
    faults |= {str(row.path): None if row.verified else f"{row.path}: not the file that was shipped" for row in ours}
    facts = [*map(_facts, rows), *map(_shipped, ours)]
    here = [of | {"verified": faults[of["path"]] is None} for of in facts if of["path"] in faults]
    if as_json:
        print_json(here)
    for path, fault in () if as_json else faults.items():
        terminal().print(fault or f"{path}: as published", soft_wrap=True)
    if not here and not as_json:
        terminal().print("no checkpoint is here")
    if any(faults.values()):
        raise typer.Exit(FAILED_GATE)


@app.command(epilog="**Example:** `cnnzoo weights convert resnet50-11ad3fa6.pth -b resnet50 -o resnet50.safetensors`")
def convert(
    source: Annotated[
        Path, typer.Argument(help="A .pth, .pt, .th, .safetensors, .npz, .h5, .weights.h5 or .keras file.")
    ],
    builder: Annotated[str, typer.Option("--builder", "-b", help="The network that it belongs to.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .safetensors or .npz file.")],
    preprocess: Annotated[
        str | None,
        typer.Option(
            help="What it was trained on, for the file: torch, tf, caffe, none, a JSON file; else what the source says."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option of the builder; repeatable.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Writes a weights file in our format, by the names of our layers, after it fitted the network strictly."""
    from ..by_name import create
    from ..options import typed_options
    from ..preprocessing import preprocessing
    from ..registry import builder_of, info
    from .load import Adapted, preprocessing_of, require_place, save_weights

    require_place(output, preprocess=preprocess, force=force)
    name = info(builder).name
    spec = preprocessing_of(source) if preprocess is None else preprocessing(preprocess)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Adapted)  # it would not be a conversion
        try:
            model = create(name, weights=source, **typed_options(builder_of(name), settings or [], name))
        except Adapted as warning:
            raise InputError(f"{warning}; give --set classes=... or input_shape=... as the file has them") from warning
    save_weights(model, output, preprocessing=spec, force=force)
    terminal().print(str(output), soft_wrap=True)


def _known(pattern: str) -> tuple[list[Checkpoint], list[Bundled]]:
    """The checkpoints of the networks that match, and those in the package."""
    from ..registry import list_models

    wanted = set(list_models(pattern))
    rows, ours = list(of_network(pattern)), [row for row in all_bundled() if row.network in wanted]
    if not rows and not ours:
        raise InputError(
            f"{pattern}: no checkpoint is known of a network of that name; `cnnzoo list` shows the networks"
        )
    return rows, ours


def _fault(row: Checkpoint) -> str | None:
    try:
        require_published(row)
    except InputError as error:
        return str(error)
    return None


def _row(network: str, spec: str) -> Checkpoint:
    from ..registry import info

    return checkpoint(spec, info(network).name)


def _facts(row: Checkpoint) -> dict[str, Any]:
    file = cached(row)
    return asdict(row) | {"spec": row.spec, "path": str(file), "here": file.is_file()}


def _shipped(row: Bundled) -> dict[str, Any]:
    return asdict(row) | {"path": str(row.path)}
