"""README and docs are true: commands parse, blocks run, links and markers hold, the site builds strictly."""

import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

import keras_cnnzoo
from keras_cnnzoo import InputError, cli, export, mobile_bench, training
from keras_cnnzoo.export import cli as export_cli
from keras_cnnzoo.mobile_bench import cli as bench_cli
from keras_cnnzoo.preprocessing import PRESETS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(
    r"(?:^[ ]*<!-- not run: (?P<reason>[^\n]+) -->\n)?^(?P<indent> *)```(?P<language>sh|python)\n(?P<text>.*?)^ *```",
    re.MULTILINE | re.DOTALL,
)
SHORT = ("index", "coming", "weights", "onnx")  # pages that take seconds; the others are slow
LONGEST = ("export", "lowering", "phone", "quantization")  # minutes of exports
APPS = {"cnnzoo": cli.app, "cnnzoo-export": export_cli.app, "cnnzoo-bench": bench_cli.app}
SMALLER = {
    "--threads 1 2": "--threads 1",
    "--budget 60s": "--budget 1s",
    "--budget 30s": "--budget 1s",
    "--runs 1000": "--runs 40",
    "--cpus 0": "",
}
NOT_RUN = {  # words of a command: why it is only parsed
    "weights download": "fetches",
    "weights verify": "what was fetched",
    "in.pth": "torch",
    "cnnzoo demo": "minutes; tests/app/test_demo.py runs it",
    "cnnzoo lab": "minutes; tests/app/test_lab.py",
    "cnnzoo train": "minutes; tests/training",
    "cnnzoo shard": "tests/training",
    "cnnzoo tune": "a minute of measuring",
    "train-aware": "minutes; tests/export/test_compress.py",
    "export sweep": "an hour",
    "--auto-mixed": "a file for each layer; tests/export/test_sensitivity.py",
    "export sensitivity": "a file for each layer; tests/export/test_sensitivity.py",
    "quant.tflite": "a file that is not ours",
    "--target": "a board or phone",
    "--backend": "frameworks that may be absent",
    "--runner": "Chromium, TensorRT",
    "--to web": "LiteRT.js; tests/export/test_web.py",
    "bench micro": "TFLite-Micro; tests/bench/test_micro.py",
    "--install": "fetches",
    "old.json": "files of two releases",
    "resnet50": "size",
    "shufflenet_v1": "size; tests/export/test_lowered_zoo.py",
    "a.onnx": "a card that tells of classes; tests/bench/test_accuracy.py",
    "verify out/resnet20.onnx": "what train-aware wrote",
    "--to onnx --quantize int4": "minutes of AdaRound; tests/export/onnx",
    "--to tensorrt": "half a minute; tests/export/onnx",
}


@dataclass(frozen=True)
class Block:
    """A fenced block; `reason` is why it is marked as not run."""

    page: Path
    language: str
    text: str
    reason: str | None


def blocks(page: Path) -> list[Block]:
    found = FENCE.finditer(page.read_text())
    strip = lambda m: re.sub(rf"^{m['indent']}", "", m["text"], flags=re.MULTILINE)  # noqa: E731
    return [Block(page, m["language"], strip(m), m["reason"]) for m in found]


ALL = [block for page in PAGES for block in blocks(page)]


def commands(block: Block) -> list[str]:
    """Its lines, continued ones joined, comments and what stands before a command's name dropped."""
    lines = re.sub(r"\\\n\s*", " ", block.text).splitlines()
    parts = [part for line in lines for part in re.sub(r"(^|\s)#.*", "", line).split("&&")]
    return [re.sub(r"^[A-Z_0-9]+=\S+\s+", "", part.strip()).removesuffix(" &") for part in parts if part.strip()]


def ours(block: Block) -> list[str]:
    return [line for line in commands(block) if block.language == "sh" and line.split()[0] in APPS]


def spelled_out(line: str) -> str:
    """With what a page leaves out as "..."."""
    images = "--data train.npz" if "train-aware" in line else "--calibration train.npz"
    missing = {
        "--weights": "w.safetensors",
        "--preprocess": "torch",
        "-o": "elided/",
        images.split()[0]: images.split()[1],
    }
    options = " ".join(f"{option} {value}" for option, value in missing.items() if option not in line)
    return line.replace(" ...", f" {options}")


def parse(line: str) -> None:
    """Raises where the command, an option or the form of a value does not exist; runs nothing."""
    import typer

    name, *words = shlex.split(spelled_out(line))
    command: Any = typer.main.get_command(APPS[name])
    while hasattr(command, "resolve_command"):
        context = command.make_context(name, list(words))
        name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
    command.make_context(name, list(words))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_exists_with_all_its_options(page: Path) -> None:
    for block in blocks(page):
        for line in ours(block):
            try:
                parse(line)
            except Exception as error:
                pytest.fail(f"{line}: {error}")


def test_other_lines_name_what_there_is() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    extras = set(re.findall(r"^([\w-]+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    known = {"pip", "npm", "export", "python", "bash", *APPS}
    for block in ALL:
        for line in commands(block) if block.language == "sh" and block.reason is None else []:
            first, *words = shlex.split(line)
            if first == "make":
                assert set(words) <= targets, line
                continue
            assert first in known or first.startswith("."), line
            scripts = [w for w in words if w.startswith(("benchmarks/", "tests/")) and w.endswith((".py", ".sh"))]
            assert [w for w in scripts if not (ROOT / w).is_file()] == [], line
            named = re.findall(r"\[([\w,-]+)\]", line) if first == "pip" else []
            assert {extra for group in named for extra in group.split(",")} <= extras, line


def test_few_blocks_are_marked_as_not_run() -> None:
    marked = [(block.page.name, block.reason) for block in ALL if block.reason]
    assert len(marked) <= 14, marked
    assert len(ALL) > 4 * len(marked)


@pytest.mark.parametrize("page", [*PAGES, *(ROOT / f"{n}.md" for n in ("ARCHITECTURE", "SECURITY", "CHANGELOG"))])
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", prose)
    assert [link for link in links if not stands(page, *link.partition("#")[::2])] == []


def stands(page: Path, file: str, anchor: str) -> bool:
    """Whether a page's link leads to what is there and, where an anchor is named, to a heading of it."""
    target = page.parent / file if file else page
    if not anchor:
        return target.exists()
    headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
    return anchor in [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]


def test_a_link_to_a_heading_that_is_not_there_is_seen() -> None:
    assert stands(ROOT / "README.md", "docs/bench.md", "how-well-a-ratio-repeats")
    assert not stands(ROOT / "README.md", "docs/bench.md", "how-badly")


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages speak of, small: weights, images, photographs, a model."""
    import keras

    folder, rng = tmp_path_factory.mktemp("documentation"), np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    keras_cnnzoo.save_weights(keras_cnnzoo.ResNet20(), folder / "w.safetensors", preprocessing=PRESETS["torch"])
    for name in ("train", "test"):
        images = rng.integers(0, 256, (12, 4, 4, 3), np.uint8).repeat(8, 1).repeat(8, 2)
        np.savez(folder / f"{name}.npz", images=images, labels=np.arange(12) % 10)
    for index, image in enumerate(images[:6]):
        for place in ("photographs", "photos"):
            picture = folder / place / f"class{index % 2}" / f"{index}.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).resize((72, 80)).save(picture)
    layers = [keras.layers.Conv2D(8, 3, 2, activation="relu"), keras.layers.GlobalAveragePooling2D()]
    network = keras.Sequential([keras.Input((32, 32, 3)), *layers, keras.layers.Dense(10)])
    model = keras.Model(network.inputs, network.outputs, name="my_model")
    model.save(folder / "my_model.keras")
    export.to_tflite(model, folder / "a.tflite")
    export.to_onnx(model, folder / "anyones.onnx")
    (folder / "out").mkdir()
    app = APPS["cnnzoo-export"]
    resnet = ["resnet20", "--weights", str(folder / "w.safetensors"), "--preprocess", "torch", "-q"]
    int8 = ["--quantize", "int8", "--calibration", str(folder / "train.npz")]
    app([*resnet, *int8, "-o", str(folder / "out")], standalone_mode=False)
    shutil.copy(folder / "a.tflite", folder / "out" / "small.tflite")
    shutil.copy(folder / "a.tflite.json", folder / "out" / "small.tflite.json")
    return folder


@pytest.fixture
def here(scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the scratch folder for one page, and the working folder."""
    folder = tmp_path / "page"
    shutil.copytree(scratch, folder)
    monkeypatch.chdir(folder)
    return folder


def run(line: str) -> None:
    """A command in this process, with small presets, over what an earlier one wrote."""
    for long, short in SMALLER.items():
        line = line.replace(long, short)
    name, *words = shlex.split(spelled_out(line))
    words = [
        match for word in words for match in (sorted(map(str, Path().glob(word))) if "*" in word else []) or [word]
    ]
    try:
        code = APPS[name](words, standalone_mode=False)
    except InputError as error:
        if "give --force" not in str(error):
            raise
        code = APPS[name]([*words, "--force"], standalone_mode=False)
    assert code in (None, 0, 3), f"{line}: exit code {code}"


def runnable(page: Path) -> Iterator[tuple[str, str]]:
    """(language, text) of what a page shows and can run here, in its order."""
    for block in blocks(page):
        if block.reason is None and block.language == "python":
            yield "python", block.text
        elif block.reason is None:
            yield from (("sh", line) for line in ours(block) if not any(words in line for words in NOT_RUN))


def run_page(page: Path) -> None:
    import keras

    names: dict[str, Any] = {"images": np.random.default_rng(0).standard_normal((2, 224, 224, 3), np.float32)}
    if page.name == "lowering.md":
        names["model"] = keras.saving.load_model("my_model.keras", compile=False)
    for language, text in runnable(page):
        if language == "python":
            exec(compile(text, str(page), "exec"), names)
        else:
            run(text)


RUN = {"README", "CONTRIBUTING", "bench", "training", *SHORT, *LONGEST}  # the other pages show nothing that runs here
MARKS = dict.fromkeys(SHORT, ()) | dict.fromkeys(LONGEST, pytest.mark.nightly)


def test_pages_that_show_what_runs_are_run() -> None:
    assert {page.stem for page in PAGES if any(runnable(page))} == RUN


@pytest.mark.parametrize(
    "page",
    [pytest.param(p, id=p.name, marks=MARKS.get(p.stem, pytest.mark.slow)) for p in PAGES if p.stem in RUN],
)
def test_the_blocks_of_a_page_run(page: Path, here: Path) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    run_page(page)


# ---- what the site is built from


@pytest.fixture(scope="module")
def hooks(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("docs/hooks.py")


def test_every_part_that_a_page_asks_for_is_made_from_data(hooks: ModuleType) -> None:
    asked = {name for page in PAGES for name in re.findall(r"^\{\{ (\w+) \}\}$", page.read_text(), re.MULTILINE)}
    assert asked == set(hooks.PARTS)
    for name in asked:
        assert len(hooks.PARTS[name]()) > 200, name


def test_the_table_of_networks_says_what_the_package_says(hooks: ModuleType) -> None:
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in hooks.table_of_networks().splitlines()[2:]}
    wanted = [name for name in keras_cnnzoo.list_models() if keras_cnnzoo.info(name).classes == 1000]
    assert list(rows) == wanted
    assert "| 69.76 | 1,814 | 11.69 | 224 | 43.35 | 50.12 |" in rows["resnet18"]


def test_a_front_holds_what_nothing_beats(hooks: ModuleType) -> None:
    points = [("slow", 5.0, 70.0), ("good", 2.0, 72.0), ("fast", 1.0, 60.0), ("tie", 2.0, 71.0), ("best", 9.0, 80.0)]
    assert [name for name, *_ in hooks.front(points)] == ["fast", "good", "best"]


def test_every_pass_is_drawn(hooks: ModuleType) -> None:
    from keras_cnnzoo.export.lowering.passes import PASSES

    text = hooks.drawings()
    assert re.findall(r"^### ([\w-]+)$", text, re.MULTILINE) == [each.name for each in PASSES]
    assert text.count("==>") >= len(PASSES) - 2


def test_sentences_of_errors_are_read_from_the_code(hooks: ModuleType) -> None:
    source = 'raise InputError(f"{path}: no <card> of {len(x)}; " "export it again")'
    assert hooks.sentences(source) == [(r"\{path\}: no \<card\> of \{…\}", "export it again")]
    assert hooks.errors().count("\n| ") > 200


def test_a_sentence_that_ends_in_what_is_possible_has_it_as_its_way_out(hooks: ModuleType) -> None:
    for text, row in {
        "f'--size {n}: expected 8: 2 or more'": (r"--size \{n\}", "expected 8: 2 or more"),
        "f'lab {name}: {hint}there are {x}'": (r"lab \{name\}", r"\{hint\}there are \{x\}"),
        "'the digits come with it: pip install it'": ("the digits come with it", "pip install it"),
        "'--to x: choose one of a: b; drop it'": ("--to x: choose one of a: b", "drop it"),
        "'weights: named otherwise'": ("weights: named otherwise", ""),
    }.items():
        assert hooks.sentences(f"raise InputError({text})") == [row]


def test_no_sentence_is_without_a_way_out(hooks: ModuleType) -> None:
    assert [line for line in hooks.errors().splitlines() if line.endswith("|  |")] == []


def test_the_api_pages_have_an_entry_for_each_public_name(hooks: ModuleType) -> None:
    for module in (keras_cnnzoo, training, export):
        package = module.__name__
        stub = (ROOT / hooks.STUBS[package] / "__init__.pyi").read_text()
        shown = {line.rpartition(".")[2] for line in re.findall(r"^::: (\S+)", hooks.api_page(package, stub), re.M)}
        assert shown == set(module.__all__) - {"weights", "training"}
    assert "::: keras_cnnzoo.mobile_bench.bench.benchmark" in hooks.api_page(
        "keras_cnnzoo.mobile_bench", (ROOT / "mobile_bench" / "__init__.pyi").read_text()
    )
    assert mobile_bench.benchmark


@pytest.mark.slow
def test_the_site_builds_strictly_and_fetches_nothing(tmp_path: Path) -> None:
    for needed in ("mkdocs", "material", "mkdocstrings_handlers"):
        pytest.importorskip(needed, reason="pip install -e .[docs]")
    import subprocess
    import sys

    command = [sys.executable, "-m", "mkdocs", "build", "-q", "--strict", "-d", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for page in (tmp_path / "site").rglob("*.html"):
        fetched = re.findall(r"<(?:script|img|link)[^>]+(?:src|href)=\"(https?://[^\"]+)", page.read_text())
        assert fetched == [], page.name
