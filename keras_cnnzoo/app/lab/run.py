"""Runs a lab: cell by cell, each kept when it is done; then statistics, figures and page."""

import contextlib
import csv
import datetime
import fcntl
import io
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...export.card import tool_versions
from ...files import refuse_overwrite, write
from ...mobile_bench.environment import available_cores, cpu_model
from ...training import Data, dataset
from .figures import require, save
from .framework import Cell, Lab, Preset, Rows, Setup
from .notebook import write_notebook
from .page import write_index, write_page
from .verdict import Verdict, decide


@dataclass(frozen=True)
class Result:
    """What a lab found.

    Args:
        lab: which.
        preset: its name.
        settings: in words, by name: the preset's, or what the data left of them.
        data: where the pictures came from, in words.
        verdicts: of its claims.
        rows: all that was measured.
        seconds: of the sittings in which its cells were finished; what was trained before is not counted.
        measured: the machines, the last one's versions, the last date.
        folder: of all labs.
    """

    lab: Lab
    preset: str
    settings: dict[str, str]
    data: str
    verdicts: tuple[Verdict, ...]
    rows: Rows
    seconds: float
    measured: dict[str, Any]
    folder: Path

    @property
    def page(self) -> Path:
        return self.folder / f"{self.lab.name}.html"

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it, without the rows."""
        return {
            "lab": self.lab.name,
            "title": self.lab.title,
            "chinese": self.lab.chinese,
            "preset": self.preset,
            "data": self.data,
            "seeds": len(self.rows.distinct("seed")),
            "seconds": round(self.seconds, 1),
            "measured": self.measured,
            "settings": self.settings,
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            "page": self.page.name,
        }


class Journal:
    """The cells that are done, a JSON line each, behind a line that says of which experiment. It is written whole."""

    def __init__(self, path: Path, identity: dict[str, Any], *, force: bool) -> None:
        self.path, self.identity = path, json.loads(json.dumps(identity))
        self.entries: dict[str, dict[str, Any]] = {}
        if path.is_file() and not force:
            self._read()

    def _read(self) -> None:
        try:
            found, *entries = [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]
            self.entries = {_key(entry["cell"], entry["seed"]): entry for entry in entries}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.path}: no journal of a lab ({error}); --force starts anew") from error
        if found != self.identity:
            differs = next(k for k in self.identity | found if self.identity.get(k) != found.get(k))
            raise InputError(
                f"{self.path} is of another experiment (its {differs} is {found.get(differs)}, not "
                f"{self.identity.get(differs)}); choose another --out, or --force to start anew"
            )

    def has(self, cell: Cell, seed: int) -> bool:
        return _key(cell, seed) in self.entries

    def add(self, cell: Cell, seed: int, rows: list[dict[str, Any]], seconds: float) -> None:
        entry = {"cell": cell, "seed": seed, "seconds": round(seconds, 2), "measured": _here(), "rows": rows}
        self.entries[_key(cell, seed)] = entry
        write(self.path, "".join(f"{json.dumps(line)}\n" for line in (self.identity, *self.entries.values())))

    def rows(self, cells: list[Cell], seeds: int) -> Rows:
        """What was measured, each row with its cell and seed, in the grid's order."""
        entries = [self.entries[_key(cell, seed)] for seed in range(seeds) for cell in cells]
        return Rows({**e["cell"], "seed": e["seed"], **row} for e in entries for row in e["rows"])

    @property
    def seconds(self) -> float:
        return sum(entry["seconds"] for entry in self.entries.values())

    @property
    def measured(self) -> dict[str, Any]:
        """The machines, and the versions and date of the last cell."""
        found = [entry["measured"] for entry in self.entries.values()]
        return found[-1] | {"machine": "; ".join(dict.fromkeys(each["machine"] for each in found))}


def _here() -> dict[str, Any]:
    machine = f"{cpu_model()}, {available_cores()} cores, {platform.system()}, Python {platform.python_version()}"
    return {"machine": machine, "versions": tool_versions(), "date": datetime.date.today().isoformat()}


def _key(cell: Cell, seed: int) -> str:
    return json.dumps([cell, seed], sort_keys=True)


Watch = Callable[[float, float], object]


def run_lab(
    lab: Lab,
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    preset: str = "standard",
    seeds: int | None = None,
    force: bool = False,
    watch: Watch = lambda done, total: None,
) -> Result:
    """Runs what of a lab is not done yet, and writes its results, figures and page, and the index of all labs.

    Args:
        lab: of `claims.lab`.
        source: "fashion_mnist", "cifar10", a folder with one folder a class, or an .npz file.
        out: a folder for all labs; networks that one trained serve the others.
        preset: "quick" (the code path; shows nothing), "standard" or "full".
        seeds: repetitions; the preset's unless given.
        force: start the lab anew (trained networks stay).
        watch: told of cells done, and of how many there are.

    Raises:
        InputError: no such preset or data, data smaller than a batch that is compared, results of another experiment in
            `out`, another process at the same lab there, or the extra `lab` is not installed.
    """
    require()
    chosen, folder = lab.preset(preset), Path(out)
    data = _pictures(source, chosen)
    with _alone(folder / lab.name):
        settings = chosen.settings() | _fewer(chosen, len(data.train))
        identity = {"lab": lab.name, "preset": preset, "data": data.name, "pictures": data.fingerprint, **settings}
        journal = Journal(folder / lab.name / "cells.jsonl", identity, force=force)
        count = chosen.seeds if seeds is None else seeds
        _fill(journal, lab, Setup(data, chosen, folder), count, watch)
        rows = journal.rows(chosen.cells(), count)
        verdicts = tuple(decide(claim, rows) for claim in lab.claims)
        if preset == "quick":  # the code path: whatever its numbers say, they show nothing
            verdicts = tuple(replace(verdict, word="not shown") for verdict in verdicts)
        result = Result(lab, preset, settings, data.name, verdicts, rows, journal.seconds, journal.measured, folder)
        _write(result, source, count)
        return result


def _pictures(source: str | os.PathLike[str], preset: Preset) -> Data:
    """As large and as many as the preset takes, and not fewer than the batches that it compares."""
    data = dataset(source, size=preset.size).limited(preset.images)
    largest = max(preset.grid.get("batch", (1,)))
    if len(data.train) < largest:
        raise InputError(
            f"{data.name}: {len(data.train)} pictures to train on, and batches of up to {largest} are compared; give "
            f"{largest} or more"
        )
    return data


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """The folder, made where there is none, for this process alone."""
    refuse_overwrite(folder / "cells.jsonl", force=True)
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise InputError(
            f"{folder}: another process runs this lab there; wait for it, or choose another --out"
        ) from error
    finally:
        os.close(handle)


def _fill(journal: Journal, lab: Lab, setup: Setup, count: int, watch: Watch) -> None:
    """Runs the cells that the journal lacks, all of one seed before the next seed's."""
    waiting = [(cell, seed) for seed in range(count) for cell in setup.preset.cells()]
    for done, (cell, seed) in enumerate(waiting):
        watch(done, len(waiting))
        if journal.has(cell, seed):
            continue
        began, counter = time.monotonic(), _Counter(done, len(waiting), watch)
        rows = list(lab.experiment(replace(setup, step=counter.step), cell, seed))
        journal.add(cell, seed, rows, time.monotonic() - began)
    watch(len(waiting), len(waiting))


def _fewer(preset: Preset, pictures: int) -> dict[str, str]:
    """What the data leave of a preset's settings, where they are too few for them."""
    said = {}
    if pictures < preset.images:
        said["images"] = f"{pictures:,}, all that there are"
    if pictures < preset.batch and "batch" not in preset.grid:
        said["batch"] = f"{pictures:,}, all that there are"
    return said


class _Counter:
    """Adds shares of a cell up, and never to the whole of it."""

    def __init__(self, done: int, total: int, watch: Watch) -> None:
        self.done, self.total, self.watch, self.share = done, total, watch, 0.0

    def step(self, share: float) -> None:
        self.share = min(self.share + share, 0.99)
        self.watch(self.done + self.share, self.total)


def _write(result: Result, source: str | os.PathLike[str], seeds: int) -> None:
    folder, said = result.folder / result.lab.name, result.to_dict()
    write(folder / "results.json", json.dumps(said | {"rows": result.rows}, indent=1, ensure_ascii=False) + "\n")
    write(folder / "results.csv", _csv(result.rows))
    drawn = {name: save(figure, folder / name) for name, figure in result.lab.figures(result.rows).items()}
    write_page(result.lab, said, result.rows, drawn, result.page)
    notebook = result.folder / f"{result.lab.name}.ipynb"
    write_notebook(result.lab, source, result.preset, seeds, drawn, notebook)
    write_index(result.folder)


def _csv(rows: Rows) -> str:
    text = io.StringIO(newline="")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
