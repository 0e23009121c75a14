"""`cnnzoo-export snippet FILE`: the program that runs it."""

from pathlib import Path
from typing import Annotated

import typer

from ...console import print_json
from ...files import write
from ..snippets import Language

EXAMPLE = "**Example:** `cnnzoo-export snippet out/resnet20_int8.tflite --language kotlin -o Classifier.kt`"


def snippet(
    file: Annotated[Path, typer.Argument(help="A .tflite file with its card.")],
    language: Annotated[Language, typer.Option("--language", "-l", help="Of the program.")] = "python",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; else it is printed.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the program as JSON.")] = False,
) -> None:
    """Writes the program that classifies a picture with FILE, shapes, scales and preprocessing filled in.

    Exit codes: 0 written, 2 bad input.
    """
    from ..snippets import snippet as program

    text = program(file, language)
    if output is not None:
        write(output, text, force=force)
    if as_json:
        print_json(
            {"file": str(file), "language": language, "output": None if output is None else str(output)}
            | {"program": text}
        )
    elif output is None:
        print(text, end="")
    else:
        print(output)
