"""cnnzoo weights: public checkpoints, listed, fetched, checked, and files converted to our format."""

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ..console import FAILED_GATE, AsJson, Quiet, Settings, print_json, terminal
from ..errors import InputError
from .bundled import DATA_SETS, Bundled, all_bundled, bundled
from .catalogue import Checkpoint, checkpoint, of_network
from .download import cached, fetch_shown, require_published

app = typer.Typer(no_args_is_help=True, help="Public checkpoints: what there is, what is here, and other formats.")

Network = Annotated[str, typer.Argument(help="A network of `cnnzoo list`.")]
Spec = Annotated[
    str,
    typer.Argument(
        help="`imagenet`, a checkpoint such as `torchvision:IMAGENET1K_V2`, or `fashion_mnist` or `cifar10_jpeg`, "
        "whose files are in the package."
    ),
]


@app.command("list", epilog="**Example:** `cnnzoo weights list 'resnet*'`")
def list_(
    pattern: Annotated[str, typer.Argument(help="A shell pattern of networks; case, - and _ do not matter.")] = "*",
    as_json: AsJson = False,
) -> None:
    """Lists the checkpoints: published top-1, licence, and whether they are here; `*` is what imagenet means."""
    rows = _known(pattern)
    if as_json:
        print_json([*map(_facts, rows)])
        return
    table = Table("network", "checkpoint", "top-1 %", "size", "licence", "here")
    for row in rows:
        shipped = isinstance(row, Bundled)
        here = "in the package" if shipped else "yes" if _path(row).is_file() else ""
        top1 = "" if row.top1 is None else f"{row.top1:.2f}"
        meant = " *" if isinstance(row, Checkpoint) and row.imagenet else ""
        table.add_row(row.network, row.spec + meant, top1, str(row.size), row.licence, here)
    terminal().print(table)


@app.command(epilog="**Example:** `cnnzoo weights download resnet50 torchvision:IMAGENET1K_V1`")
def download(network: Network, spec: Spec = "imagenet", as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Fetches a checkpoint into the cache (CNNZOO_HOME), resuming what was begun, and checks its hash."""
    row = _row(network, spec)
    path = row.path if isinstance(row, Bundled) else fetch_shown(row, shown=not quiet)
    print_json(_facts(row)) if as_json else print(path)


@app.command(epilog="**Example:** `cnnzoo weights path resnet50`")
def path(network: Network, spec: Spec = "imagenet") -> None:
    """Prints where a checkpoint's file stands, or would."""
    print(_path(_row(network, spec)))


@app.command(epilog="**Example:** `cnnzoo weights verify`")
def verify(
    pattern: Annotated[str, typer.Argument(help="A shell pattern of networks.")] = "*", as_json: AsJson = False
) -> None:
    """Checks the hash of every file in the cache and the package; exit code 3 where one is not what was published."""
    rows = [row for row in _known(pattern) if isinstance(row, Bundled) or _path(row).is_file()]
    faults = {str(_path(row)): _fault(row) for row in rows}
    if as_json:
        print_json([facts | {"verified": faults[facts["path"]] is None} for facts in map(_facts, rows)])
    for path, fault in () if as_json else faults.items():
        print(fault or f"{path}: as published")
    if not rows and not as_json:
        print("no checkpoint is here")
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
    settings: Settings = None,
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
    print(output)


def _known(pattern: str) -> list[Checkpoint | Bundled]:
    """The checkpoints of the networks that match, and those in the package."""
    from ..registry import list_models

    wanted = set(list_models(pattern))
    rows: list[Checkpoint | Bundled] = [*of_network(pattern), *(row for row in all_bundled() if row.network in wanted)]
    if not rows:
        raise InputError(
            f"{pattern}: no checkpoint is known of a network of that name; `cnnzoo list` shows the networks"
        )
    return rows


def _fault(row: Checkpoint | Bundled) -> str | None:
    if isinstance(row, Bundled):
        return None if row.verified else f"{row.path}: not the file that was shipped"
    try:
        require_published(row)
    except InputError as error:
        return str(error)
    return None


def _row(network: str, spec: str) -> Checkpoint | Bundled:
    from ..registry import info

    name = info(network).name
    return bundled(spec, name) if spec in DATA_SETS else checkpoint(spec, name)


def _path(row: Checkpoint | Bundled) -> Path:
    return row.path if isinstance(row, Bundled) else cached(row)


def _facts(row: Checkpoint | Bundled) -> dict[str, Any]:
    common = {"spec": row.spec, "size": row.size, "licence": row.licence}
    return asdict(row) | common | {"path": str(_path(row)), "here": _path(row).is_file()}
