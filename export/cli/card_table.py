"""A card as a table on the terminal."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from ..card import Card

Row = tuple[str, str]


def card_table(card: "Card", path: Path) -> Table:
    """What the file at `path` is, holds and reaches."""
    title = f"{path}  ({card.artifact['bytes'] / 1e6:.2f} MB)"
    table = Table(title=escape(title), show_header=False, title_justify="left")
    for row in (*_made(card), *_placed(card), *_proven(card.verification)):
        table.add_row(*map(escape, row))
    return table


def _made(card: "Card") -> Iterator[Row]:
    """The network, the scheme, the tensors at the border and the operators."""
    yield "network", f"{card.model['name']}, weights {card.model['weights']}"
    yield "scheme", _scheme(card.quantization)
    if calibration := card.quantization["calibration"]:
        noise = " - noise: its answers mean nothing" if calibration["random"] else ""
        yield "calibration", f"{calibration['count']} images of {calibration['source']}{noise}"
    for tensor in (*card.inputs, *card.outputs):
        yield tensor["name"], f"{tensor['dtype']} {tensor['shape']}"
    yield "operators", _counted(card.operators)


def _placed(card: "Card") -> Iterator[Row]:
    """What delegates and targets take, and how the file came to be."""
    if delegate := card.delegate:
        yield "XNNPACK", f"{delegate['partitions']} partition(s), {_counted(delegate['outside']) or 'nothing'} outside"
    if card.target:
        outside = _counted(card.target["outside"])
        yield (
            f"target {card.target['name']}",
            (f"{outside}: on {card.target['fallback']}" if outside else "takes all of it"),
        )
    if islands := card.quantization.get("float_islands"):
        yield "in float", _counted(islands)
    reason = card.conversion["reason"]
    yield "converted by", card.conversion["by"] + (f" ({reason})" if reason else "")
    if card.conversion["lowering"]:
        yield "lowered by", ", ".join(card.conversion["lowering"])
    for step in card.conversion.get("refused", ()):
        yield f"not by {step['pass']}", f"{step['outcome']}: {step['fault']}"


def _proven(proof: dict[str, Any] | None) -> Iterator[Row]:
    """What was compared with the model."""
    if proof and "parity" in proof:
        parity = proof["parity"]
        weak = "" if parity["varies"] else "; the network's answers hardly vary, so this proves little"
        difference = f"{parity['largest_difference']:.2g} of the largest output"
        yield "float parity", f"{difference}, {parity['images']} images in ONNX Runtime{weak}"
    if proof and "images" in proof:
        yield "verified on", f"{proof['images']} images of {proof['source']}"
        if proof["top1_model"] is not None:
            yield "top-1", f"{proof['top1_model']:.2%} model, {proof['top1_file']:.2%} file"
        if proof["interval"] is not None:
            low, high = proof["interval"]
            yield "difference", f"{proof['top1_difference']:+.2f} points, 95 % interval {low:+.2f} to {high:+.2f}"
        yield "agreement", f"{proof['agreement']:.2%}"
        yield "largest difference", f"{proof['largest_difference']:.3g} of {proof['largest_output']:.3g}"


def _counted(found: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in found.items())


def _scheme(found: dict[str, Any]) -> str:
    """The scheme in a line: what is not the default is said."""
    words = [found["scheme"]]
    words += ["per tensor"] if found.get("per_tensor") else []
    words += [f"{found['estimator']} ranges"] if found.get("estimator", "min-max") != "min-max" else []
    words += [", ".join(found["corrections"])] if found.get("corrections") else []
    words += [f"{', '.join(found['kept'])} in {found['keep_in']}"] if found.get("kept") else []
    return "; ".join(words)
