"""Takes the results of labs into docs/labs: a small JSON file of each, with all its rows, and its figures as SVG.

    cnnzoo lab all --data fashion_mnist --out lab/
    python benchmarks/lab_results.py lab/

Labs that are not there stay as they are in docs/labs. The site and README show what stands there.
"""

import argparse
import datetime
import json
import platform
from pathlib import Path
from typing import Any

from keras_cnnzoo.app.lab.claims import NAMES
from keras_cnnzoo.files import write
from keras_cnnzoo.mobile_bench.environment import available_cores, cpu_model

DOCS = Path(__file__).resolve().parents[1] / "docs" / "labs"
DIGITS = 5  # significant ones


def taken(folder: Path, name: str, machine: str) -> None:
    """A lab's results and figures, in place of those that stand there."""
    result = json.loads((folder / name / "results.json").read_text(encoding="utf-8"))
    rows, columns = result.pop("rows"), list[str]()
    for row in rows:
        columns += [key for key in row if key not in columns]
    result.pop("page")
    result["measured"] = {"machine": machine, "versions": versions(), "date": datetime.date.today().isoformat()}
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


def versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("keras-cnnzoo", "keras", "tensorflow", "ai-edge-litert", "numpy")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the --out of `cnnzoo lab`")
    asked = parser.parse_args()
    names = [name for name in NAMES if (asked.folder / name / "results.json").is_file()]
    if not names:
        parser.error(f"{asked.folder}: no lab has ended there")
    machine = f"{cpu_model()}, {available_cores()} cores, {platform.system()}, Python {platform.python_version()}"
    for name in names:
        taken(asked.folder, name, machine)
        print(f"{name}: {sum(path.stat().st_size for path in DOCS.glob(f'{name}[.-]*')) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
