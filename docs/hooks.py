"""What MkDocs puts into the pages while it builds them: tables, drawings and plots from the repository's own data.

A page says {{ name }} where `PARTS[name]` stands then. The API pages are made whole, an entry for each public name.
"""

import ast
import json
import math
import re
import shutil
import tomllib
from collections.abc import Callable
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OPENINGS = "at least|choose|expected|give|name|one of|pass|pip install|there are|write"
AT_COLON = re.compile(rf"(.*): ((?:\{{hint\}})?(?:{OPENINGS})\b.*)", re.DOTALL)
STUBS = {
    "keras_cnnzoo": "keras_cnnzoo",
    "keras_cnnzoo.training": "keras_cnnzoo/training",
    "keras_cnnzoo.export": "export",
    "keras_cnnzoo.mobile_bench": "mobile_bench",
}
TREE = ROOT / "build" / "api"  # the packages as they install, for a reader that imports nothing
Point = tuple[str, float, float]


def on_startup(**_: Any) -> None:
    """Lays the packages out as they install, before mkdocstrings asks whether the folder is there."""
    shutil.rmtree(TREE, ignore_errors=True)
    for package, folder in STUBS.items():
        only = shutil.ignore_patterns("__pycache__", "*.json", "*.txt")
        shutil.copytree(ROOT / folder, TREE / package.replace(".", "/"), ignore=only, dirs_exist_ok=True)


def on_files(files: Any, config: Any) -> Any:
    from mkdocs.structure.files import File

    for name, folder in STUBS.items():
        text = api_page(name, (ROOT / folder / "__init__.pyi").read_text())
        files.append(File.generated(config, f"api/{name.rpartition('.')[2]}.md", content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    return re.sub(r"^\{\{ (\w+) \}\}$", lambda found: PARTS[found[1]](), markdown, flags=re.MULTILINE)


def api_page(package: str, stub: str) -> str:
    """An entry for each name of the stub, by the path at which it is defined."""
    entries = [
        f"{package}.{node.module}.{alias.name}"
        for node in ast.parse(stub).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    modules = [entry for entry in entries if is_module(entry)]
    names = sorted(set(entries) - set(modules), key=lambda entry: entry.rpartition(".")[2].lower())
    return f"# {package}\n\n" + "\n\n".join(f"::: {name}" for name in names) + "\n"


def is_module(entry: str) -> bool:
    """Whether a dotted name is a module of ours; what is public in it has entries elsewhere, or its own page."""
    package = max((name for name in STUBS if entry.startswith(f"{name}.")), key=len)
    path = ROOT / STUBS[package] / entry.removeprefix(f"{package}.").replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


# ---- the networks


def networks() -> dict[str, dict[str, Any]]:
    """Each network's row of the registry, with its group's year."""
    table = tomllib.loads((ROOT / "keras_cnnzoo" / "registry.toml").read_text())
    return {
        name: {"year": group.get("year"), "size": group.get("size", 224), "classes": group.get("classes", 1000)} | row
        for group in table["group"]
        for name, row in group["networks"].items()
    }


def published() -> dict[str, float]:
    """The published top-1 of what `weights="imagenet"` means, in percent."""
    table = tomllib.loads((ROOT / "keras_cnnzoo" / "weights" / "catalogue.toml").read_text())
    rows = [row for group in table["group"] for row in group["rows"]]
    return {row["network"]: row["top1"] for row in rows if row.get("imagenet") and "top1" in row}


def latencies() -> dict[tuple[str, str], float]:
    """Median milliseconds on one thread by (network, type), from README's table of the zoo."""
    row = re.compile(r"^\| (\w+) \| (float32|int8) \| [\d.]+ \| [\d.]+ \| [\d.]+ \| ([\d.]+) \|", re.MULTILINE)
    return {(name, kind): float(ms) for name, kind, ms in row.findall((ROOT / "README.md").read_text())}


def table_of_networks() -> str:
    top1, measured = published(), latencies()
    head = "| network | year | top-1 % | million MACs | million parameters | size | float32, ms | int8, ms |"
    lines = [head, "| --- |" + " ---: |" * 7]
    for name, row in networks().items():
        if row["classes"] == 1000:
            times = [f"{measured[name, kind]:.2f}" if (name, kind) in measured else "" for kind in ("float32", "int8")]
            cells = [row["year"], f"{top1[name]:.2f}" if name in top1 else "", f"{row['macs'] / 1e6:,.0f}"]
            cells += [f"{row['params'] / 1e6:.2f}", row["size"], *times]
            lines.append("| " + " | ".join(map(str, [name, *cells])) + " |")
    return "\n".join(lines)


def bundled() -> str:
    """The weights that ship, with what was measured of each."""
    folder = ROOT / "keras_cnnzoo" / "weights" / "bundled"
    lines = [
        "| network | `weights=` | top-1 % | test images | epochs | minutes | cores | seed | MB |",
        "| --- | --- |" + " ---: |" * 7,
    ]
    for row in json.loads((folder / "bundled.json").read_text()):
        size = (folder / f"{row['network']}-{row['data']}.safetensors").stat().st_size
        width = f", width {row['options']['width']}" if "width" in row["options"] else ""
        cells = [
            f"{row['network']}{width}",
            f'"{row["data"]}"',
            f"{row['top1']:.2f}",
            f"{row['images']:,}",
            row["epochs"],
        ]
        cells += [f"{row['seconds'] / 60:.0f}", row["cores"], row["seed"], f"{size / 1e6:.2f}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def accuracy_by_macs() -> str:
    top1, table = published(), networks()
    points = [(name, table[name]["macs"] / 1e6, value) for name, value in top1.items() if name in table]
    return plot(points, "million multiply-accumulates", "published top-1, %")


def accuracy_by_latency() -> str:
    top1 = published()
    points = [(name, ms, top1[name]) for (name, kind), ms in latencies().items() if kind == "float32" and name in top1]
    return plot(points, "float32, one thread, median ms", "published top-1, %")


def front(points: list[Point]) -> list[Point]:
    """Those that nothing beats in both, from left to right."""
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p[1], -p[2])):
        if not best or point[2] > best[-1][2]:
            best.append(point)
    return best


def plot(points: list[Point], across: str, up: str) -> str:
    """A scatter as SVG, its x axis logarithmic; those on the front are named and joined, the others tell on hover."""
    width, height, left, bottom = 760, 420, 46, 44
    low, high = math.log10(min(p[1] for p in points) * 0.85), math.log10(max(p[1] for p in points) * 1.2)
    least, most = math.floor(min(p[2] for p in points) - 1), math.ceil(max(p[2] for p in points) + 1)
    x = lambda value: left + (math.log10(value) - low) / (high - low) * (width - left - 12)  # noqa: E731
    y = lambda value: (height - bottom) * (1 - (value - least) / (most - least)) + 6  # noqa: E731
    parts = [f'<svg class="zoo" viewBox="0 0 {width} {height}" role="img" aria-label="{up} against {across}">']
    for value in (base * 10**power for power in range(-1, 6) for base in (1, 2, 5)):
        if 10**low <= value <= 10**high:
            parts.append(f'<line x1="{x(value):.1f}" x2="{x(value):.1f}" y1="6" y2="{height - bottom + 6}"/>')
            parts.append(f'<text x="{x(value):.1f}" y="{height - bottom + 22}" text-anchor="middle">{value:g}</text>')
    for value in range(least + (-least) % 5, most + 1, 5):
        parts.append(f'<line x1="{left}" x2="{width - 12}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text x="{left - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value}</text>')
    best = front(points)
    parts.append(f'<polyline points="{" ".join(f"{x(p[1]):.1f},{y(p[2]):.1f}" for p in best)}"/>')
    for name, value, share in points:
        title = f"<title>{escape(name)}: {value:.3g}, {share:.2f} %</title>"
        on = ' class="front"' if (name, value, share) in best else ""
        parts.append(f'<circle{on} cx="{x(value):.1f}" cy="{y(share):.1f}" r="4.5">{title}</circle>')
    free: list[tuple[float, float]] = []  # where names stand; one that would cover another is left to the pointer
    for name, value, share in reversed(best):
        if any(abs(x(value) - a) < 110 and abs(y(share) - b) < 13 for a, b in free):
            continue
        free.append((x(value), y(share)))
        end = x(value) > width * 0.8
        shift, anchor = (-8, "end") if end else (8, "start")
        parts.append(f'<text class="name" x="{x(value) + shift:.1f}" y="{y(share) + 15:.1f}" text-anchor="{anchor}">')
        parts.append(f"{escape(name)}</text>")
    parts.append(f'<text x="{(width + left) / 2}" y="{height - 4}" text-anchor="middle">{across}</text></svg>')
    return "".join(parts)


# ---- lowering and errors


def drawings() -> str:
    """Each pass in its order: name, reason, and its file's docstring."""
    text = (ROOT / "export" / "lowering" / "passes.py").read_text()
    modules = dict(re.findall(r"^from \.(\w+) import ([\w, ]+)$", text, re.MULTILINE))
    parts, seen = [], set[str]()
    for name, function, reason in re.findall(r'Pass\(\s*"([\w-]+)", (\w+), "([^"]+)"', text):
        module = next(m for m, names in modules.items() if function in names.split(", "))
        parts.append(f"### {name}\n\n*{reason[0].upper()}{reason[1:]}.*\n")
        if module in seen:
            parts.append(f"Drawn above, with the other pass of `{module}.py`.\n")
        else:
            doc = ast.get_docstring(ast.parse((ROOT / "export" / "lowering" / f"{module}.py").read_text())) or ""
            parts.append(f"{doc}\n")
        seen.add(module)
    return "\n".join(parts)


@cache
def errors() -> str:
    """Every sentence of an InputError in the code, by the file that says it; {what varies} in braces."""
    parts = []
    for title, folder in (("The zoo", "keras_cnnzoo"), ("Export", "export"), ("The bench", "mobile_bench")):
        rows = [row for file in sorted((ROOT / folder).rglob("*.py")) for row in sentences(file.read_text())]
        parts.append(f"### {title}\n\n| sentence (cause) | way out |\n| --- | --- |")
        parts += [f"| {cause} | {cure} |" for cause, cure in sorted(set(rows), key=lambda row: row[0].lower())]
        parts.append("")
    return "\n".join(parts)


def sentences(source: str) -> list[tuple[str, str]]:
    """(cause, cure) of each `InputError(...)` whose text stands in place, split at the semicolon before the cure.

    Without one, what is possible is the cure where it stands behind the last colon.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "InputError":
            text = spoken(node.args[0]) if node.args else ""
            cause, _, cure = text.partition("; ")
            if not cure and (split := AT_COLON.fullmatch(text)):
                cause, cure = split.groups()
            if len(re.sub(r"\{[^}]*\}", "", text)) > 8:  # not one that hands another's words on
                found.append((cell(cause), cell(cure)))
    return found


def spoken(node: ast.expr) -> str:
    """A string or f-string as text, expressions by their source in braces."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(spoken(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return spoken(node.left) + spoken(node.right)
    if isinstance(node, ast.FormattedValue):
        name = ast.unparse(node.value)
        return "{" + (name if re.fullmatch(r"[\w.]+", name) else "…") + "}"
    return "{…}"


def cell(text: str) -> str:
    """Text of a table's cell: no markup, no column's end."""
    return re.sub(r"([\\`*_{}\[\]|<>])", r"\\\1", " ".join(text.split()))


PARTS: dict[str, Callable[[], str]] = {
    "table_of_networks": table_of_networks,
    "accuracy_by_macs": accuracy_by_macs,
    "accuracy_by_latency": accuracy_by_latency,
    "bundled": bundled,
    "drawings": drawings,
    "errors": errors,
}
