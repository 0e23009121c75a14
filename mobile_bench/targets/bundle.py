"""The bench's own code as one file that any Python with numpy and the runner's package can run."""

import io
import zipfile
from pathlib import Path

from ... import errors

BENCH = Path(__file__).parents[1]
PACKAGE = "keras_cnnzoo/mobile_bench"
LEFT_OUT = {"report", "cli", "__pycache__"}

MAIN = """\
import os, sys, zipfile
code = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "code")
zipfile.ZipFile(sys.argv[0]).extractall(code)
sys.path[0] = code
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH")]))
from keras_cnnzoo.mobile_bench.targets.agent import main
main()
"""


def bundle() -> bytes:
    """A zip file for `python bundle.pyz MARKER order.json`, see agent.main; the same bytes for the same code."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in sorted(_sources().items()):
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def _sources() -> dict[str, str]:
    found = {"__main__.py": MAIN, "keras_cnnzoo/__init__.py": "", f"{PACKAGE}/__init__.py": ""}
    found["keras_cnnzoo/errors.py"] = Path(errors.__file__).read_text()
    for path in BENCH.rglob("*.py"):
        inside = path.relative_to(BENCH)
        if not LEFT_OUT & set(inside.parts) and inside.as_posix() not in ("__init__.py", "__main__.py"):
            found[f"{PACKAGE}/{inside.as_posix()}"] = path.read_text()
    return found
