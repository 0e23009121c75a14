"""Imports point one way: the zoo knows nothing of export and bench, export nothing of the bench."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import keras_cnnzoo
import keras_cnnzoo.export
import keras_cnnzoo.mobile_bench

ZOO = Path(keras_cnnzoo.__file__).parent
EXPORT, BENCH = (Path(p.__file__).parent for p in (keras_cnnzoo.export, keras_cnnzoo.mobile_bench))
SHARED = {
    "console",
    "errors",
    "files",
    "images",
    "litertjs",
    "preprocessing",
}  # numpy and Pillow at most
HEAVY = {"tensorflow", "keras", "jax", "torch", "tf2onnx", "tensorflow_model_optimization"}


def imported(package: Path, name: str) -> set[tuple[str, str]]:
    """(module, absolute module) of every import below `package`, called `name`; relative ones resolved."""
    found = set()
    for file in package.rglob("*.py"):
        inside = (*name.split("."), *file.relative_to(package).parent.parts)
        here = ".".join(inside if file.stem == "__init__" else (*inside, file.stem))
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {(here, alias.name) for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                above = inside[: len(inside) - node.level + 1] if node.level else ()
                module = ".".join([*above, *([node.module] if node.module else [])])
                found |= {(here, f"{module}.{alias.name}") for alias in node.names} | {(here, module)}
    return found


def first_part_below(module: str, package: str) -> str | None:
    return module.removeprefix(f"{package}.").split(".")[0] if module.startswith(f"{package}.") else None


def test_the_zoo_imports_neither_export_nor_bench_but_for_the_app_and_its_command() -> None:
    for file, module in imported(ZOO, "keras_cnnzoo"):
        if "export" in module.split(".") or "mobile_bench" in module.split("."):
            assert file.startswith("keras_cnnzoo.app."), f"{file} imports {module}"


def test_export_imports_the_zoo_s_layers_and_data_and_nothing_of_the_bench() -> None:
    allowed = SHARED | {
        "archive",
        "by_name",
        "complexity",
        "grouped",
        "layers",
        "export",
        "options",
        "precision",
        "registry",
        "weights",
        "preprocessing_layers",
    }
    for file, module in imported(EXPORT, "keras_cnnzoo.export"):
        part = first_part_below(module, "keras_cnnzoo")
        assert part is None or part in allowed, f"{file} imports {module}"


def test_the_bench_imports_neither_zoo_nor_export() -> None:
    for file, module in imported(BENCH, "keras_cnnzoo.mobile_bench"):
        part = first_part_below(module, "keras_cnnzoo")
        assert part is None or part in SHARED | {"mobile_bench"}, f"{file} imports {module}"


def test_no_module_imports_itself_through_others() -> None:
    """Not even for a type, or inside a function: what two modules need of each other stands in a third."""
    packages = ((ZOO, "keras_cnnzoo"), (EXPORT, "keras_cnnzoo.export"), (BENCH, "keras_cnnzoo.mobile_bench"))
    arrows = {arrow for folder, name in packages for arrow in imported(folder, name)}
    modules = {module for module, _ in arrows}
    above = {module: {to for start, to in arrows if start == module and to in modules - {start}} for module in modules}
    list(graphlib.TopologicalSorter(above).static_order())  # raises CycleError, which names the circle


@pytest.mark.parametrize(
    "statement",
    [
        "import keras_cnnzoo; keras_cnnzoo.list_models(); keras_cnnzoo.info('resnet50')",
        "import keras_cnnzoo.cli, keras_cnnzoo.export.cli, keras_cnnzoo.mobile_bench.cli",
        "import keras_cnnzoo.export",
        "from keras_cnnzoo.preprocessing import PRESETS; from keras_cnnzoo.images import read_images",
    ],
)
def test_what_needs_no_framework_loads_none(statement: str) -> None:
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert not {name.split(".")[0] for name in done.stdout.split()} & HEAVY


def test_no_module_is_loaded_under_two_names() -> None:
    code = (
        "import sys, keras_cnnzoo, keras_cnnzoo.app.demo, keras_cnnzoo.export.cli, keras_cnnzoo.mobile_bench.cli;"
        "files = [m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None)];"
        "ours = [f for f in files if '/export/' in f or '/mobile_bench/' in f or 'keras_cnnzoo' in f];"
        "print(len(ours), len(set(ours)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, distinct = done.stdout.split()
    assert loaded == distinct


@pytest.mark.parametrize("package", ["export", "mobile_bench"])
def test_python_m_in_the_checkout_forwards_and_loads_nothing_twice(package: str) -> None:
    root = EXPORT.parent
    if not (root / "pyproject.toml").is_file():
        pytest.skip("not a checkout: the package is installed elsewhere")
    code = (
        f"import sys, runpy; sys.argv = [{package!r}, '--help']\n"
        f"try: runpy.run_module({package!r}, run_name='__main__', alter_sys=True)\n"
        f"except SystemExit as end: print('CODE', end.code, {package!r} in sys.modules, 'keras' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.splitlines()[-1] == "CODE 0 False False"
    direct = subprocess.run(
        [sys.executable, "-m", package, "--help"], capture_output=True, text=True, check=True, cwd=root
    )
    assert "Usage" in direct.stdout
