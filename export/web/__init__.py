"""A static page that runs a file in the visitor's browser: LiteRT.js, the card's preprocessing, no network once served.

Single-threaded it works from any static server. With threads it needs the headers in `_headers` (the form that several
hosts read): browsers share memory between threads only in a page that is isolated by them.
"""

from dataclasses import replace
from importlib.resources import files
from os import PathLike
from pathlib import Path

from ...errors import InputError
from ...files import refuse_overwrite, write
from ...litertjs import CORE, SCRIPT, TOOLS, VERSION, find_modules, script
from ..card import Card, artifact_facts, card_path
from ..classifier import read_classifier

ARTIFACT, INDEX = "model.tflite", "index.html"
PARTS = ("page.css", "file.js", "page.js", "network.js", "resize.js")
BUILDS = ("", "_compat", "_threaded")  # LiteRT.js': of relaxed SIMD, without it, and of several threads
PROGRAMS = [f"litert_wasm{build}_internal.{suffix}" for build in BUILDS for suffix in ("js", "wasm")]
RUNTIME = {
    "litert/index.js": SCRIPT,
    "litert/wasm-utils.js": f"{TOOLS}/dist/index.js",
    **{f"litert/{name}": f"{CORE}/wasm/{name}" for name in PROGRAMS},
}
"""LiteRT.js' files in the page's folder, and where they stand in node_modules."""
HEADERS_FILE = "_headers"
HEADERS = "/*\n  Cross-Origin-Opener-Policy: same-origin\n  Cross-Origin-Embedder-Policy: require-corp\n"


def write_site(artifact: str | PathLike[str], folder: str | PathLike[str], *, force: bool = False) -> Path:
    """Writes the page for a ready file.

    Args:
        artifact: a .tflite file with its card; it may be the folder's own.
        folder: for the page; index.html is written last.
        force: replace files that stand there.

    Returns:
        The path of index.html.

    Raises:
        InputError: no card, not a classifier of single pictures, types that LiteRT.js does not take, no LiteRT.js where
            `keras_cnnzoo.litertjs.find_modules` looks.
    """
    artifact, folder = Path(artifact), Path(folder)
    card, _ = read_classifier(artifact)
    refuse_site(folder, force=force)
    if artifact.absolute() != (folder / ARTIFACT).absolute():
        for path in (folder / ARTIFACT, card_path(folder / ARTIFACT)):
            refuse_overwrite(path, force=force)
    runtime = read_runtime(find_modules())
    card = _named(card, card.outputs[0]["shape"][-1])
    content = artifact.read_bytes()
    card = replace(card, artifact=artifact_facts(ARTIFACT, content))
    write(folder / ARTIFACT, content)
    card.write(folder / ARTIFACT)
    for name, part in runtime.items():
        write(folder / name, part)
    for name in PARTS:
        write(folder / name, (files(__package__) / name).read_bytes())
    write(folder / HEADERS_FILE, HEADERS)
    return write(folder / INDEX, (files(__package__) / INDEX).read_bytes())


def refuse_site(folder: Path, *, force: bool) -> None:
    """Raises InputError where a file of the page's would replace another, or cannot be written."""
    for name in (INDEX, *PARTS, HEADERS_FILE, *RUNTIME):
        refuse_overwrite(folder / name, force=force)


def _named(card: Card, classes: int) -> Card:
    """The card with ImageNet's names where it has none and as many classes."""
    from ...weights.predictions import imagenet_labels

    if card.labels is not None or classes not in (1000, 1001):
        return card
    background = ["background"] if classes == 1001 else []
    return replace(card, labels=background + [name for _, name in imagenet_labels()])


def read_runtime(modules: Path) -> dict[str, bytes]:
    """LiteRT.js as plain files of the page's folder that name each other by relative paths.

    Raises:
        InputError: one of them is not there.
    """
    try:
        found = {name: (modules / source).read_bytes() for name, source in RUNTIME.items()}
        named = script(modules).replace(f'"{TOOLS}"', '"./wasm-utils.js"')
    except OSError as error:
        raise InputError(
            f"{error.filename}: not readable ({error.strerror}), and a part of LiteRT.js {VERSION}; install that anew "
            f"(npm install {CORE}@{VERSION})"
        ) from error
    return found | {"litert/index.js": named.encode()}
