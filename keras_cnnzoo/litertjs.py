"""LiteRT.js on this machine: the bench runs files by it in a browser, export puts it beside a page."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from .errors import InputError

VERSION = "2.5.3"
FOLDER, CACHE = "CNNZOO_LITERTJS", Path("~/.cache/keras_cnnzoo/litertjs")
CORE, TOOLS = "@litertjs/core", "@litertjs/wasm-utils"
SCRIPT = f"{CORE}/dist/index.js"
INSTALL_SECONDS = 300

# LiteRT.js 2.5 runs int8 inputs and outputs, but its table of types in JavaScript lacks them. Put in as it is served.
UINT8 = """    dtype: "uint8",
    typedArrayConstructor: Uint8Array,
    elementType: ElementType.UINT8
  }"""
INT8 = """,
  {
    dtype: "int8",
    typedArrayConstructor: Int8Array,
    elementType: ElementType.INT8
  }"""


def find_modules(folder: str | os.PathLike[str] | None = None, *, install: bool = False) -> Path:
    """The node_modules folder: `folder`, that of the environment variable, or the cache's, in this order.

    Raises:
        InputError: LiteRT.js is not in it, or could not be installed.
    """
    named = folder or os.environ.get(FOLDER)
    modules = Path(named).expanduser() if named else CACHE.expanduser() / "node_modules"
    if install and not named and not _complete(modules):
        _npm_install(modules.parent)
    for found in (modules, modules / "node_modules"):
        if _complete(found):
            return found
    raise InputError(
        f"{modules}: no LiteRT.js there ({CORE} and {TOOLS}); run `npm install "
        f"{CORE}@{VERSION}` in a folder and name its node_modules by {FOLDER}, or give --install"
    )


def installed_version(modules: Path) -> str:
    """Of the LiteRT.js in a node_modules folder."""
    return str(json.loads((modules / CORE / "package.json").read_text())["version"])


def script(modules: Path) -> str:
    """LiteRT.js' own script, which knows int8."""
    text = (modules / SCRIPT).read_text()
    return text if '"int8"' in text else text.replace(UINT8, UINT8 + INT8, 1)


def _complete(modules: Path) -> bool:
    return all((modules / name / "package.json").is_file() for name in (CORE, TOOLS))


def _npm_install(folder: Path) -> None:
    if shutil.which("npm") is None:
        raise InputError("npm is not installed, and LiteRT.js comes by it; install it (apt-get install npm)")
    folder.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), f"{CORE}@{VERSION}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise InputError(f"npm did not install LiteRT.js within {INSTALL_SECONDS} s; is there a network?") from error
    if done.returncode != 0:
        reason = " ".join(done.stderr.split())[-200:]
        raise InputError(f"npm could not install LiteRT.js ({reason}); name a folder that has it by {FOLDER}")
