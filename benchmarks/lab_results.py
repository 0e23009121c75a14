"""Takes the results of labs into docs/labs: a small JSON file of each, with all its rows, and its figures as SVG.

Writes docs/labs.md of all that stand there, and prints README's table of them.

    cnnzoo lab all --data fashion_mnist --out lab/
    python benchmarks/lab_results.py lab/

Labs that are not there stay as they are in docs/labs.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from keras_cnnzoo.app.lab.claims import NAMES
from keras_cnnzoo.files import write

DOCS = Path(__file__).resolve().parents[1] / "docs" / "labs"
DIGITS = 5  # significant ones
HEAD = """# What the labs found

    cnnzoo lab all --data fashion_mnist --out lab/
    python benchmarks/lab_results.py lab/

Preset `standard`: networks small enough for two cores of a CPU, 3 seeds. An effect above 0 speaks for its claim;
*confirmed* is one whose 95 % interval over the seeds (Student's t) lies above 0, *contradicted* one whose interval lies
below, everything else is *not shown*: three seeds leave intervals wide, and networks so small need not do what large
ones do. *Counted* is what holds without chance, as a number of parameters. The rows stand in `docs/labs/NAME.json`.
Minutes are of one thread, with other work on the machine, and do not count networks that another lab had trained.
"""


def taken(folder: Path, name: str) -> None:
    """A lab's results and figures, in place of those that stand there."""
    result = json.loads((folder / name / "results.json").read_text(encoding="utf-8"))
    if result["preset"] != "standard":
        raise SystemExit(f"{folder / name}: preset {result['preset']}; docs/labs holds standard ones")
    rows, columns = result.pop("rows"), list[str]()
    for row in rows:
        columns += [key for key in row if key not in columns]
    result.pop("page")
    result["columns"] = columns
    head = json.dumps(result, indent=1, ensure_ascii=False).removesuffix("\n}")
    lines = ",\n".join(json.dumps([rounded(row.get(key)) for key in columns]) for row in rows)
    for old in DOCS.glob(f"{name}-*.svg"):
        old.unlink()
    write(DOCS / f"{name}.json", f'{head},\n "rows": [\n{lines}\n]}}\n')
    for figure in sorted((folder / name).glob("*.svg")):
        write(DOCS / f"{name}-{figure.name}", figure.read_text(encoding="utf-8"))


def rounded(value: Any) -> Any:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def verdicts(labs: list[dict[str, Any]]) -> str:
    """README's table: how many claims of each lab were confirmed, and how many not."""
    words = ("confirmed", "counted", "not shown", "contradicted")
    lines = [f"| lab | | | {' | '.join(words)} | seeds | minutes |", "| --- | --- | --- |" + " ---: |" * 6]
    for lab in labs:
        said = [verdict["word"] for verdict in lab["verdicts"]]
        cells = [f"[{lab['lab']}](docs/labs.md#{lab['lab']})", lab["chinese"], lab["title"]]
        cells += [str(said.count(word) or "") for word in words]
        lines.append("| " + " | ".join([*cells, str(lab["seeds"]), f"{lab['seconds'] / 60:.0f}"]) + " |")
    return "\n".join(lines)


def page(labs: list[dict[str, Any]]) -> str:
    """docs/labs.md: what each claimed, what was measured, with intervals and figures."""
    return HEAD + "".join(f"\n## {lab['lab']}\n\n{section(lab)}\n" for lab in labs)


def section(lab: dict[str, Any]) -> str:
    parts = [f"**{lab['title']}** ({lab['chinese']})\n"]
    parts.append("| claim | verdict | effect | 95 % interval |\n| --- | --- | --- | --- |")
    for verdict in lab["verdicts"]:
        between = "" if verdict["low"] is None else f"{verdict['low']:.3g} to {verdict['high']:.3g}"
        effect = "none" if verdict["effect"] is None else f"{verdict['effect']:.3g} {verdict['unit']}"
        parts.append(f"| {verdict['says']} | *{verdict['word']}* | {effect} | {between} |")
    settings = ", ".join(f"{key} {value}" for key, value in lab["settings"].items())
    tools = ", ".join(f"{tool} {version}" for tool, version in lab["measured"]["versions"].items())
    parts.append(
        f"\nPreset {lab['preset']}: {settings}; {lab['seeds']} seeds, {lab['data']}. {lab['seconds'] / 60:.0f}"
    )
    parts.append(f"minutes on {lab['measured']['machine']}; {tools}; {lab['measured']['date']}.")
    for figure in sorted(DOCS.glob(f"{lab['lab']}-*.svg")):
        what = figure.stem.removeprefix(f"{lab['lab']}-").replace("_", " ")
        parts.append(f"\n![{lab['title']}: {what}](labs/{figure.name})")
    return "\n".join(parts)


def published() -> list[dict[str, Any]]:
    """What stands in docs/labs, in the labs' order."""
    paths = (DOCS / f"{name}.json" for name in NAMES)
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the --out of `cnnzoo lab`")
    asked = parser.parse_args()
    names = [name for name in NAMES if (asked.folder / name / "results.json").is_file()]
    if not names:
        parser.error(f"{asked.folder}: no lab has ended there")
    for name in names:
        taken(asked.folder, name)
        print(f"{name}: {sum(path.stat().st_size for path in DOCS.glob(f'{name}[.-]*')) / 1e3:.0f} kB")
    labs = published()
    write(DOCS.with_suffix(".md"), page(labs))
    print(f"\n{verdicts(labs)}")


if __name__ == "__main__":
    main()
