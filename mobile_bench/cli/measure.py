"""`cnnzoo-bench FILES ...`: measure files on this machine, on boards, on phones."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ...console import BAD_INPUT, terminal
from ...errors import InputError
from ...files import refuse_overwrite, write

if TYPE_CHECKING:
    from ..bench import Watch
    from ..result import Report

EXAMPLE = (
    "Examples: `cnnzoo-bench out/*.tflite --threads 1 2 --budget 60s --html report.html`; "
    "`cnnzoo-bench a.tflite a.onnx --data photographs/ --json samples.json`; "
    "`cnnzoo-bench a.keras --backend jax,torch --precision fp32,bf16 --batch 1,8`; "
    "`cnnzoo-bench a.tflite --target local --target ssh://pi@board`"
)
STDOUT = Path("-")
COUNTS = re.compile(r"-?\d{1,18}(,\d{1,18})*")
SECONDS = re.compile(r"(\d+(?:\.\d+)?)(s|m|h)?")
UNITS = {None: 1, "s": 1, "m": 60, "h": 3600}

Threads = Annotated[list[str], typer.Option(metavar="N [N ...]", help="Thread counts; each file is measured at each.")]

RemotePython = Annotated[str | None, typer.Option(help="ssh, adb: the command there; python3 if not given.")]
BenchmarkModel = Annotated[
    str | None, typer.Option(help="adb: TensorFlow Lite's benchmark_model for the device, which is pushed there.")
]
SshConfig = Annotated[str | None, typer.Option(help="ssh: in place of your own.")]


def measure(
    files: Annotated[
        list[Path], typer.Argument(help="The .tflite, .onnx or .keras files; the others are compared with the first.")
    ],
    threads: Threads = ["1"],  # noqa: B006
    runs: Annotated[int, typer.Option(help="Kept calls of each file in each configuration.")] = 200,
    budget: Annotated[
        str | None, typer.Option(metavar="60s", help="Time to measure at each target, split by need; not --runs.")
    ] = None,
    block: Annotated[
        int, typer.Option(help="Calls in a row of one configuration; the first three are discarded.")
    ] = 20,
    seed: Annotated[int, typer.Option(help="Of random inputs, order and intervals.", min=0)] = 0,
    runner: Annotated[
        str,
        typer.Option(help="litert, onnxruntime, keras, tensorrt, web, micro, by comma; by the file's suffix if empty."),
    ] = "",
    xnnpack: Annotated[str | None, typer.Option(metavar="on,off", help="litert: the XNNPACK delegate.")] = None,
    delegate: Annotated[list[str] | None, typer.Option(help="litert: a delegate's shared library.")] = None,
    provider: Annotated[str | None, typer.Option(metavar="cpu,cuda", help="onnxruntime: execution providers.")] = None,
    backend: Annotated[str | None, typer.Option(help="keras: tensorflow, jax, torch, by comma.")] = None,
    mode: Annotated[str | None, typer.Option(help="keras: compiled, eager, by comma.")] = None,
    precision: Annotated[str | None, typer.Option(help="keras: fp32, fp16, bf16, by comma.")] = None,
    batch: Annotated[str | None, typer.Option(metavar="1,8", help="keras, onnxruntime: pictures in a call.")] = None,
    accelerator: Annotated[str | None, typer.Option(metavar="wasm,webgpu", help="web: what LiteRT.js runs on.")] = None,
    litertjs: Annotated[Path | None, typer.Option(help="web: the node_modules folder with @litertjs in it.")] = None,
    cpus: Annotated[str | None, typer.Option(metavar="0,1", help="Stay on these processors.")] = None,
    target: Annotated[
        list[str], typer.Option(help="Where to measure: local, ssh://user@host[:port], adb://serial; repeat for more.")
    ] = ["local"],  # noqa: B006
    install: Annotated[
        bool, typer.Option("--install", help="ssh: put what is missing into a temporary folder; web: let npm fetch it.")
    ] = False,
    remote_python: RemotePython = None,
    benchmark_model: BenchmarkModel = None,
    ssh_config: SshConfig = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="The time of each operator too (litert, onnxruntime).")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="Labelled pictures (a folder a class, or .npz): top-1 and top-5 of each file.")
    ] = None,
    images: Annotated[int | None, typer.Option(help="At most so many of them.")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Keep every sample in this file as it is taken; if it is there, go on from it.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write all samples here; - is standard output.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a row per configuration here; - is standard output.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write a table here; - is standard output.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with plots here; it needs no network.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Measure latency, memory, size and accuracy of model files.

    They are measured side by side, in blocks of calls in random order, and each is compared with the first.
    Boards need python3 and the runner's package; what runs there is one file that is removed again. Phones were never
    tried, only stand-ins; nor was TensorRT or a GPU.
    """
    from ..bench import benchmark
    from ..targets import Settings

    outputs = {"json": json, "csv": csv, "markdown": markdown, "html": html}
    _check_outputs(outputs, resume, force=force)
    runners = _words(runner) or []
    options = {
        "xnnpack": [_switch("--xnnpack", word) for word in _words(xnnpack) or []],
        "delegate": delegate,
        "provider": _words(provider),
        "backend": _words(backend),
        "mode": _words(mode),
        "precision": _words(precision),
        "accelerator": _words(accelerator),
        "litertjs": None if litertjs is None else [str(litertjs)],
        "install": [True] if install and "web" in runners else None,
        "batch": None if batch is None else _numbers("--batch", batch),
    }
    with _told_when_interrupted(outputs, force), _progress(shown=not quiet) as watch:
        report = benchmark(
            files,
            threads=thread_counts(threads),
            runs=runs,
            seconds=None if budget is None else seconds(budget),
            block=block,
            seed=seed,
            runners=runners,
            options={name: values for name, values in options.items() if values},
            cpus=[] if cpus is None else _numbers("--cpus", cpus),
            targets=target,
            connection=Settings(install, remote_python, benchmark_model, ssh_config),
            profile=profile,
            data=data,
            images=images,
            journal=resume,
            watch=watch,
        )
    if _show(report, outputs, force=force):
        sys.exit(BAD_INPUT)


def _check_outputs(outputs: dict[str, Path | None], journal: Path | None, *, force: bool) -> None:
    """Raises InputError where one could not be written, or two go to one place."""
    places: dict[Path, str] = {}
    for name, path in {"resume": journal, **outputs}.items():
        if path is None:
            continue
        other = places.setdefault(path.resolve(), name)
        if other != name:
            raise InputError(f"--{name} {path}: --{other} goes there too; give each a place of its own")
        if name != "resume" and path != STDOUT:
            refuse_overwrite(path, force=force)


@contextmanager
def _told_when_interrupted(outputs: dict[str, Path | None], force: bool) -> Iterator[None]:
    """Shows and writes what was measured before Ctrl-C."""
    from ..bench import Interrupted

    try:
        yield
    except Interrupted as interrupt:
        _show(interrupt.report, outputs, force=force)
        raise KeyboardInterrupt("interrupted; what was measured until then is shown") from interrupt


def _show(report: "Report", outputs: dict[str, Path | None], *, force: bool) -> bool:
    """Warnings, tables and files; whether a configuration failed."""
    from ..report import escaped
    from ..report.as_csv import as_csv
    from ..report.as_html import as_html
    from ..report.as_json import as_json
    from ..report.as_markdown import as_markdown
    from ..report.table import tables

    errors = terminal(stderr=True)
    for warning in report.warnings:
        errors.print(f"[yellow]warning:[/] {escaped(warning)}", highlight=False, soft_wrap=True)
    console = terminal(stderr=STDOUT in outputs.values())
    console.print(tables(report, width=console.width))
    for name, text in {"json": as_json, "csv": as_csv, "markdown": as_markdown, "html": as_html}.items():
        path = outputs[name]
        if path == STDOUT:
            print(text(report), end="")
        elif path is not None:
            write(path, text(report), force=force)
    failures = [m.failure for m in report.measurements if m.failure] + [u.reason for u in report.unmeasured if u.reason]
    for reason in dict.fromkeys(failures):
        errors.print(f"[red]error:[/] {escaped(reason)}", highlight=False, soft_wrap=True)
    return bool(failures)


def one_flag_per_value(arguments: list[str], flag: str) -> list[str]:
    """`--threads 1 2` as `--threads 1 --threads 2`, which is how click takes several values of an option."""
    expanded: list[str] = []
    inside = False
    for previous, argument in pairwise(["", *arguments]):
        inside = argument == flag or (inside and (previous == flag or COUNTS.fullmatch(argument) is not None))
        further = inside and flag not in (previous, argument)
        expanded += [flag, argument] if further else [argument]
    return expanded


def thread_counts(values: list[str]) -> list[int]:
    """`["1,2", "4"]` as `[1, 2, 4]`.

    Raises:
        InputError: something that is not a whole number.
    """
    words = [word for value in values for word in value.split(",")]
    for word in words:
        if not COUNTS.fullmatch(word):
            raise InputError(f"--threads {word}: this is not a thread count; give whole numbers, as in --threads 1 2")
    return [int(word) for word in words]


def seconds(text: str) -> float:
    """`60s`, `2m`, `1h` or `90` in seconds; more than 0.

    Raises:
        InputError: something else.
    """
    found = SECONDS.fullmatch(text.strip())
    if found is None or not float(found[1]):
        raise InputError(f"--budget {text}: this is no time; give seconds, minutes or hours, as in 60s, 2m or 1h")
    return float(found[1]) * UNITS[found[2]]


def _words(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


def _numbers(flag: str, text: str) -> list[int]:
    if not COUNTS.fullmatch(text):
        raise InputError(f"{flag} {text}: give whole numbers by comma, as in {flag} 1,2")
    return [int(word) for word in text.split(",")]


def _switch(flag: str, word: str) -> bool:
    if word not in ("on", "off"):
        raise InputError(f"{flag} {word}: give on, off or both, as in {flag} on,off")
    return word == "on"


@contextmanager
def _progress(*, shown: bool) -> "Iterator[Watch]":
    """A bar on standard error that is drawn between blocks only: a thread that redraws it would disturb the calls."""
    console = terminal(stderr=True)
    columns: Any = TextColumn("measuring"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), TextColumn("left")
    shown = shown and console.is_terminal
    with Progress(*columns, console=console, auto_refresh=False, transient=True, disable=not shown) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total, refresh=True)
