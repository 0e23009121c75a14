"""What a card must say before its file can be shown pictures: one of them in, scores out."""

from os import PathLike

from ..errors import InputError
from ..preprocessing import Preprocessing
from .card import Card, card_path


def read_classifier(path: str | PathLike[str]) -> tuple[Card, Preprocessing]:
    """The card beside a .tflite file that classifies one picture a call, and its preprocessing.

    Raises:
        InputError: no .tflite file, no card, no preprocessing in it, several images a call, or an input that is no
            picture.
    """
    if not str(path).endswith(".tflite"):
        raise InputError(f"{path}: pictures are shown to .tflite files")
    if not card_path(path).is_file():
        raise InputError(
            f"{path}: no card beside it ({card_path(path).name}) tells its shapes and scales; export it again"
        )
    card = Card.read(card_path(path))
    source, target = card.inputs[0], card.outputs[0]
    batch, _, _, channels = source["shape"] if len(source["shape"]) == 4 else (0, 0, 0, 0)
    if batch != 1 or channels not in (1, 3) or len(target["shape"]) != 2:
        raise InputError(
            f"{path}: reads {source['shape']} and returns {target['shape']}; it must classify one picture of 1 or 3 "
            "channels a call"
        )
    if card.preprocessing is None:
        raise InputError(f"{path}: its card knows no preprocessing; export it with --preprocess")
    return card, Preprocessing.from_dict(card.preprocessing)
