"""A journal is gone on with, never overwritten."""

from pathlib import Path

import numpy as np
import pytest

from keras_cnnzoo import InputError
from keras_cnnzoo.mobile_bench.events import Block, Event, Failed, Health, Profiled, Seen
from keras_cnnzoo.mobile_bench.journal import Journal
from keras_cnnzoo.mobile_bench.order import Configuration, Order
from keras_cnnzoo.mobile_bench.taken import Taken

ORDER = Order((Configuration(Path("a.tflite"), "litert"),))


def journal(path: Path, order: Order = ORDER) -> Journal:
    return Journal(path, ["local"], order, ["00"])


def replayed(path: Path) -> list[Event]:
    taken: list[Event] = []
    with journal(path) as found:
        found.replay(lambda target, event: taken.append(event))
    return taken


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a journal with two events."""
    path = tmp_path / "new" / "journal.jsonl"
    with journal(path) as kept:
        kept.replay(lambda target, event: None)
        for number in (1, 2):
            kept.add(0, Health(number))
    return path


def test_a_torn_line_is_cut_off_and_nothing_before_it_is_written_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(b'0\t{"event": "hea\xc3')
    monkeypatch.setattr(Path, "write_text", None)
    assert replayed(path) == [Health(1), Health(2)]
    assert path.read_bytes() == whole


def test_a_header_that_was_torn_is_begun_anew(path: Path) -> None:
    header = path.read_text().split("\n")[0]
    for torn in ("", header[:20], header):
        path.write_text(torn)
        assert replayed(path) == []
        assert path.read_text() == f"{header}\n"


@pytest.mark.parametrize("content", ["notes", "notes\n", "\n", "\xff\xfe", '{"journal": 1}\n'])
def test_a_file_that_is_no_journal_is_kept(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(InputError, match=r"no journal|journal of another measurement"):
        replayed(path)
    assert path.read_text() == content


def test_a_damaged_line_is_named_with_its_file(path: Path) -> None:
    header, first, _ = path.read_text().splitlines()
    for damaged in ("0\tno event", "x" + first[1:], "notes"):
        path.write_text(f"{header}\n{first}\n{damaged}\n")
        with pytest.raises(InputError, match=r"journal\.jsonl: its line 3 is damaged \(.*\); name a new file"):
            replayed(path)


def test_what_is_written_can_be_read_again(path: Path) -> None:
    layer = {"type": "\x1b[31m", "name": "x" * 20_000, "microseconds": 1.0}
    with journal(path) as kept:
        kept.replay(lambda target, event: None)
        kept.add(0, Failed(0, "line\x07\x1b]0;title"))
        kept.add(0, Profiled(0, (layer,), None))
    failed, profiled = replayed(path)[2:]
    assert failed == Failed(0, "line]0;title")
    assert profiled == Profiled(0, (layer | {"type": "[31m", "name": "x" * 10_000},), None)


def test_a_place_that_cannot_be_written_is_said_as_such(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read or written"):
        replayed(tmp_path)


def test_what_lies_between_two_sittings_takes_none_of_the_budget() -> None:
    taken, hour = Taken(), 3600 * 10**9
    for sitting in (0, 1):
        taken.add(Seen({}))
        for number in (0, 1):
            start = sitting * hour + number * 10**9
            taken.add(Block(0, 2 * sitting + number, np.array([start]), np.array([10**9])))
    assert taken.seconds() == 4
