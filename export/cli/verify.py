"""`cnnzoo-export verify FILE`: does it still answer like the network it was made of?"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ...console import FAILED_GATE, Settings, print_json, progress, terminal
from ...errors import InputError
from ...preprocessing import Preprocessing, preprocessing
from .inputs import require_labels, say_skipped, with_classes

if TYPE_CHECKING:
    from ..card import Card
    from ..comparison import Comparison
    from ..divergence import Layer
    from ..runners import Runner
    from ..verify import Pictures, Verification

EXAMPLE = """
**Examples**

    cnnzoo-export verify out/resnet20_int8.tflite --against resnet20 --weights w.safetensors \\
      --data test.npz --max-drop 0.5

    cnnzoo-export verify small.tflite --against my_model.keras --data photographs/ --preprocess torch --layers

    cnnzoo-export verify small.tflite --against resnet50 --weights w.safetensors --data imagenet/ --scheduler tcp://head:8786
"""
UNLIKE = 0.5  # a cosine below it: hardly the same network


def verify(
    file: Annotated[Path, typer.Argument(help="A .tflite or .onnx file.")],
    against: Annotated[
        str,
        typer.Option(
            help="A network of `cnnzoo list`, a .keras or .h5 file, keras.applications.NAME, or another .tflite or "
            ".onnx file."
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            help="A folder of pictures by class (or with a labels.json), or an .npz file (`images`, `labels`)."
        ),
    ],
    weights: Annotated[str | None, typer.Option(help="Those of a network given by name.")] = None,
    settings: Settings = None,
    preprocess: Annotated[
        str | None, typer.Option(help="torch, tf, caffe, none or a JSON file, instead of what the file's card says.")
    ] = None,
    reference_preprocess: Annotated[
        str | None,
        typer.Option(
            help="The same for --against, where it is another (a file of --pixels) and its weights do not know."
        ),
    ] = None,
    count: Annotated[int | None, typer.Option(help="At most so many images.", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Draws these; else they are the first.", min=0)] = None,
    label_offset: Annotated[
        int, typer.Option(help="Added to the labels: 1 where the network has a background class that the data lacks.")
    ] = 0,
    max_drop: Annotated[
        float | None,
        typer.Option(
            help="Gate: top-1 may drop by so many points; fails when the whole 95 % interval lies beyond.", min=0
        ),
    ] = None,
    min_agreement: Annotated[
        float | None,
        typer.Option(help="Gate: so many % of the answers must agree; fails as --max-drop does.", min=0, max=100),
    ] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Compare inner tensors too, in order of execution (.tflite alone).")
    ] = False,
    layer_images: Annotated[int, typer.Option(help="So many images for --layers.", min=1)] = 8,
    threshold: Annotated[
        float, typer.Option(help="--layers names the first tensor whose SQNR is below it, in dB.")
    ] = 10.0,
    jobs: Annotated[int, typer.Option(help="Processes at a time.", min=1)] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="A Dask scheduler, tcp://HOST:8786, whose workers see the same paths.")
    ] = None,
    no_card: Annotated[bool, typer.Option("--no-card", help="Do not write the result into the file's card.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")] = False,
) -> None:
    """Compares a file with the network it was made of, over the same images.

    Per output: differences, cosine, SQNR (signal-to-quantization-noise ratio), agreement and, with labels, top-1 and
    top-5 of both, shares with Wilson's 95 % interval. The result goes into the file's card, where it has one, unless
    --no-card. Ties at the top score 1/k. Exit codes: 0 compared, 2 bad input, 3 a gate failed.
    """
    from ...images import open_images
    from ..card import card_path
    from ..comparison import Comparison
    from ..divergence import as_tflite
    from ..divergence import layers as compare_layers
    from ..runners import read_artifact, runner
    from ..trial import survive
    from ..verify import verify as compare

    if layers and file.suffix != ".tflite":
        raise InputError(f"{file}: --layers looks into .tflite files; drop it")
    content, card = read_artifact(file)
    survive(file)
    artifact = runner(file, content, card)
    noted = None if no_card else card
    if noted is not None:
        _refuse_unwritable(card_path(file))
    with progress("build", shown=not quiet):
        reference, known = _reference(against, weights, settings or [])
    spec = _spec(file, card, preprocess, known)
    if reference_preprocess is not None or known is None or preprocess is not None:
        known = spec if reference_preprocess is None else preprocessing(reference_preprocess)
    opened = open_images(data.absolute(), artifact.shape, fit=spec, count=count, seed=seed)  # type: ignore[arg-type]
    names = None if card is None else card.labels
    images = with_classes(opened, names, artifact.classes, artifact.name, label_offset)
    if max_drop is not None:
        require_labels("--max-drop", images)
    inner = as_tflite(against, reference) if layers else None
    named = _anywhere(against), weights and _anywhere(weights), tuple(settings or ())
    job = Comparison(file.absolute(), *named, spec, known)
    with progress("compare", len(images), shown=not quiet) as step, _elsewhere(job, jobs, scheduler) as elsewhere:
        found = compare(artifact, reference, images, step=step, prepare=spec, prepare_model=known, **elsewhere)
    say_skipped(data, found.skipped)
    traced = None
    if inner is not None:
        pixels = images.read(layer_images).pixels
        with progress("compare layers", shown=not quiet):
            traced = compare_layers(content, inner, spec(pixels), known(pixels))
    gates = _gates(found, max_drop, min_agreement)
    result = {"source": images.source, "against": against} | found.to_dict() | ({"gates": gates} if gates else {})
    if noted is not None:
        replace(noted, verification=result).write(file)
    if as_json:
        print_json(result | ({} if traced is None else {"layers": [asdict(layer) for layer in traced]}))
    else:
        _show(file, found, images, traced, threshold, gates)
    if not all(gate["passed"] for gate in gates):
        raise typer.Exit(FAILED_GATE)


@contextmanager
def _elsewhere(job: "Comparison", jobs: int, scheduler: str | None) -> Iterator[dict[str, Any]]:
    """How `verify` sends its parts to other processes; nothing for one process, which is this one."""
    if jobs == 1 and scheduler is None:
        yield {}
        return
    from ..executors import executor

    with executor(jobs, scheduler) as pool:
        yield {"answer": job, "mapped": pool.map}


def _anywhere(source: str) -> str:
    """A file by a path that another process finds as well; a network's name stays."""
    return str(Path(source).absolute()) if Path(source).is_file() else source


def _reference(against: str, weights: str | None, settings: list[str]) -> "tuple[Runner, Preprocessing | None]":
    """What the file is compared with, and what is known of its preprocessing."""
    from ..runners import KerasRunner, is_artifact, read_artifact, runner
    from ..trial import survive

    if is_artifact(against):
        if weights is not None or settings:
            raise InputError(f"{against}: a file is compared as it is; drop --weights and --set")
        content, card = read_artifact(against)
        survive(against)
        known = None if card is None or card.preprocessing is None else Preprocessing.from_dict(card.preprocessing)
        return runner(against, content, card), known
    from ..sources import load

    network, origin = load(against, weights, settings)
    return KerasRunner(network), origin.preprocessing


def _spec(file: Path, card: "Card | None", preprocess: str | None, reference: Preprocessing | None) -> Preprocessing:
    """The command line's, the card's, or the reference's."""
    if preprocess is not None:
        return preprocessing(preprocess)
    if card is not None and card.preprocessing is not None:
        return Preprocessing.from_dict(card.preprocessing)
    if reference is None:
        raise InputError(
            f"{file}: no card beside it says what its pixels must be like; give --preprocess torch, tf, caffe, none or "
            "a JSON file"
        )
    return reference


def _refuse_unwritable(card: Path) -> None:
    from ...files import refuse_overwrite

    try:
        refuse_overwrite(card, force=True)
    except InputError as error:
        raise InputError(f"{card}: cannot be replaced; give --no-card, or move the file to another folder") from error


def _gates(found: "Verification", max_drop: float | None, min_agreement: float | None) -> list[dict[str, Any]]:
    """Each gate with its limit, the interval that it looks at, and whether the interval reaches what is allowed."""
    gates: list[dict[str, Any]] = []
    if max_drop is not None:
        if found.interval is None:
            raise InputError(
                f"--max-drop {max_drop:g} needs class scores as first output, of two images at least; drop it"
            )
        low, high = found.interval
        gates.append({"gate": "max-drop", "limit": max_drop, "interval": [low, high], "passed": high >= -max_drop})
    if min_agreement is not None:
        low, high = (100 * share for share in found.shares["agreement"])
        gates.append(
            {"gate": "min-agreement", "limit": min_agreement, "interval": [low, high], "passed": high >= min_agreement}
        )
    return gates


def _show(
    file: Path,
    found: "Verification",
    images: "Pictures",
    traced: "list[Layer] | None",
    threshold: float,
    gates: list[dict[str, Any]],
) -> None:
    out = terminal()
    out.print(_table(f"{file} over {found.images} images of {images.source}", found))
    for name, other in found.others.items():
        out.print(_table(f"output {name}", other))
    if images.labels is None:
        out.print("no labels: accuracy was not measured")
    if found.cosine < UNLIKE:
        out.print(f"cosine {found.cosine:.2f}: are these the same network, weights and preprocessing?")
    if traced is not None:
        _show_layers(traced, threshold)
    for gate in gates:
        low, high = gate["interval"]
        verdict = "passed" if gate["passed"] else "FAILED"
        out.print(f"gate {gate['gate']} {gate['limit']:g}: {verdict} (95 % interval {low:+.2f} to {high:+.2f})")


def _table(title: str, found: "Verification") -> Table:
    table = Table(title=escape(title), show_header=False, title_justify="left")

    def share(name: str) -> str:
        low, high = found.shares[name]
        return f"{getattr(found, name):.2%} ({low:.2%} to {high:.2%})"

    for top in ("top1", "top5"):
        if f"{top}_model" in found.shares:
            table.add_row(top.replace("top", "top-"), f"{share(f'{top}_model')} model, {share(f'{top}_file')} file")
    if found.interval is not None:
        low, high = found.interval
        table.add_row("difference", f"{found.top1_difference:+.2f} points of top-1 ({low:+.2f} to {high:+.2f})")
    table.add_row("agreement", share("agreement"))
    table.add_row("largest, mean difference", f"{found.largest_difference:.3g}, {found.mean_difference:.3g}")
    table.add_row("largest output", f"{found.largest_output:.3g}")
    silent = "the model answers 0 alone" if found.largest_difference else "equal"
    table.add_row("SQNR", silent if found.sqnr_db is None else f"{found.sqnr_db:.2f} dB")
    table.add_row("cosine", f"{found.cosine:.6f}")
    return table


def _show_layers(traced: "list[Layer]", threshold: float) -> None:
    from ..divergence import first_below

    table = Table("tensor, in order of execution", "operator", "type", "SQNR dB", "largest difference", "largest value")
    for column in table.columns[3:]:
        column.justify = "right"
    for layer in traced:
        numbers = f"{layer.sqnr_db:.1f}", f"{layer.largest_difference:.3g}", f"{layer.largest_value:.3g}"
        table.add_row(escape(layer.name), layer.op, layer.dtype, *numbers)
    terminal().print(table)
    first = first_below(traced, threshold)
    where = f"first tensor below {threshold:g} dB: {first.name}" if first else f"no tensor is below {threshold:g} dB"
    terminal().print(where, markup=False, highlight=False)
