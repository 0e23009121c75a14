"""`cnnzoo-export check-qdq FILE`: would TensorRT fuse it?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ...console import FAILED_GATE, print_json, terminal
from ...errors import InputError, first_line

if TYPE_CHECKING:
    import onnx

EXAMPLE = """
**Example**

    cnnzoo-export check-qdq out/resnet20_int8.onnx
"""


def check_qdq(
    file: Annotated[Path, typer.Argument(help="An .onnx file, of whatever origin.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the violations as a list instead of a table.")] = False,
) -> None:
    """Lists each place where a Q/DQ file breaks a rule by which TensorRT 10 and 11 fuse it.

    The rules are those of NVIDIA's documentation; TensorRT itself has never run here. Exit codes: 0 no violation, 2 not
    a readable file, 3 violations.
    """
    from ..onnx.check import RULES
    from ..onnx.check import check_qdq as violations

    found = violations(_read(file))
    if as_json:
        print_json([violation.to_dict() for violation in found])
    elif not found:
        terminal().print(f"{file}: keeps all {len(RULES)} rules")
    else:
        table = Table("rule", "node", "found", title=f"{file}: {len(found)} violations", title_justify="left")
        for violation in found:
            table.add_row(violation.rule, violation.node, violation.found)
        terminal().print(table)
        for name in sorted({violation.rule for violation in found}):
            terminal().print(f"{name}: {RULES[name]}")
    if found:
        raise typer.Exit(FAILED_GATE)


def _read(file: Path) -> "onnx.ModelProto":
    import onnx

    try:
        model = onnx.load(file)
    except Exception as error:  # protobuf's, which has no stubs, or the system's
        raise InputError(f"{file}: not a readable .onnx file ({error}); name one that is") from error
    if not model.graph.node:
        raise InputError(f"{file}: not an ONNX model (no node in it); export it again")
    try:
        onnx.checker.check_model(file)  # by its place, so that it may be larger than protobuf's 2 GB
    except onnx.checker.ValidationError as error:
        raise InputError(f"{file}: not a valid ONNX model ({first_line(error)}); export it again") from error
    return model
