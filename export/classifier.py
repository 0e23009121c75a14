"""What a card must say before its file can be shown pictures: one of them in, scores out."""

from collections.abc import Sequence
from os import PathLike

from ..errors import InputError
from ..preprocessing import Preprocessing
from .card import Card, card_path
from .runners import read_artifact

DTYPES = ("float32", "int8", "uint8")  # that the programs and LiteRT.js read and return


def require_classifier(name: str, reads: Sequence[int], returns: Sequence[int]) -> None:
    """Raises InputError unless these are the shapes of one picture and of its scores."""
    batch, _, _, channels = reads if len(reads) == 4 else (0, 0, 0, 0)
    if batch != 1 or channels not in (1, 3) or len(returns) != 2:
        raise InputError(
            f"{name}: reads {list(reads)} and returns {list(returns)}; it must classify one picture of 1 or 3 "
            "channels a call"
        )


def read_classifier(path: str | PathLike[str]) -> tuple[Card, Preprocessing]:
    """The card beside a .tflite file that classifies one picture a call, and its preprocessing.

    Raises:
        InputError: no .tflite file, no card or another file's, no preprocessing in it, several images a call, an input
            that is no picture, or one of 16 bits.
    """
    if not str(path).endswith(".tflite"):
        raise InputError(f"{path}: pictures are shown to .tflite files; name one, with its card beside it")
    _, card = read_artifact(path)
    if card is None:
        raise InputError(
            f"{path}: no card beside it ({card_path(path).name}) tells its shapes and scales; export it again"
        )
    source, target = card.inputs[0], card.outputs[0]
    require_classifier(str(path), source["shape"], target["shape"])
    for tensor in (source, target):
        if tensor["dtype"] not in DTYPES:
            raise InputError(
                f"{path}: {tensor['name']} is {tensor['dtype']} and a page or a program takes {', '.join(DTYPES)}; "
                "export it with --inputs float32 --outputs float32"
            )
    if card.preprocessing is None:
        raise InputError(f"{path}: its card knows no preprocessing; export it with --preprocess")
    return card, Preprocessing.from_dict(card.preprocessing)
