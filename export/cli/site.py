"""The part of `cnnzoo-export MODEL` that writes a page: `--to web`."""

from pathlib import Path

from ...console import print_json, terminal
from ...errors import InputError
from ...litertjs import find_modules
from ..classifier import DTYPES
from ..onnx.options import SUFFIXES, Format
from ..web import read_runtime, refuse_site, write_site


def check_site(output: Path, *, install: bool, force: bool) -> None:
    """Refuses what can be refused before the network is built."""
    if output.suffix in SUFFIXES.values():
        raise InputError(f"-o {output}: --to web writes several files; name a folder")
    refuse_site(output, force=force)
    read_runtime(find_modules(install=install))


def check_classifier(boundary: tuple[str, str], batch: int) -> None:
    """Refuses a file for which there would be no page."""
    for option, dtype in zip(("--inputs", "--outputs"), boundary, strict=True):
        if dtype not in DTYPES:
            raise InputError(f"{option} {dtype}: --to web takes {', '.join(DTYPES)}; give {option} float32")
    if batch != 1:
        raise InputError(f"--batch {batch}: a page classifies one picture a call; drop it")


def show_site(artifact: Path, output: Path, to: Format, *, force: bool, as_json: bool) -> None:
    """Writes the page for a ready file and says how to look at it."""
    if to != "web":
        raise InputError(f"{artifact}: a .tflite file is ready as it is; --to web makes a page of it")
    index = write_site(artifact, output, force=force)
    if as_json:
        print_json({"index": str(index)})
    else:
        words = f"{index}\nto look at it: python -m http.server -d {output}"
        terminal().print(words, markup=False, highlight=False, soft_wrap=True)
