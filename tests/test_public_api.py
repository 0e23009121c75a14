"""The public API is typed throughout, and importing it asks nothing of any network."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "keras_cnnzoo": "keras_cnnzoo",
    "keras_cnnzoo.training": "keras_cnnzoo/training",
    "keras_cnnzoo.export": "export",
    "keras_cnnzoo.mobile_bench": "mobile_bench",
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def public(folder: Path, module: str, name: str) -> ast.stmt:
    """The statement that defines a name, in the module or where that imports it from."""
    path = folder.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, Function | ast.ClassDef) and node.name == name:
            return node
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name:
            return node
        if isinstance(node, ast.Assign) and name in map(ast.unparse, node.targets):
            return node
        if isinstance(node, ast.ImportFrom) and node.level == 1 and name in [alias.name for alias in node.names]:
            return public(file.parent, str(node.module), name)
    raise AssertionError(f"{file}: defines no {name}")


def symbols() -> Iterator[tuple[str, ast.stmt]]:
    for package, place in PACKAGES.items():
        for node in ast.parse((ROOT / place / "__init__.pyi").read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    yield f"{package}.{alias.name}", public(ROOT / place, node.module, alias.name)


def untyped(name: str, node: ast.stmt) -> list[str]:
    """What of a symbol has no type: parameters, results, attributes."""
    if isinstance(node, Function):
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        arguments += [argument for argument in (node.args.vararg, node.args.kwarg) if argument is not None]
        bare = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
        return [f"{name}({argument})" for argument in bare] + ([] if node.returns else [f"{name} -> ?"])
    if isinstance(node, ast.ClassDef):
        methods = [n for n in node.body if isinstance(n, Function) and (n.name[0] != "_" or n.name[:2] == "__")]
        found = [missing for method in methods for missing in untyped(f"{name}.{method.name}", method)]
        return found + [f"{name}.{ast.unparse(n.targets[0])}" for n in node.body if isinstance(n, ast.Assign)]
    if isinstance(node, ast.Assign):  # of a call, whose function says what it returns
        return [] if isinstance(node.value, ast.Call) else [name]
    return []


def test_no_public_symbol_is_untyped() -> None:
    found = dict(symbols())
    assert len(found) > 100
    assert [missing for name, node in found.items() for missing in untyped(name, node)] == []


def test_every_public_function_and_class_is_documented() -> None:
    described = Function | ast.ClassDef
    assert [n for n, node in symbols() if isinstance(node, described) and not ast.get_docstring(node)] == []


@pytest.mark.parametrize("source", ["def f(a, *, b: int) -> int: ...", "class A:\n  x = 3\n  def f(self): ..."])
def test_what_is_untyped_is_found(source: str) -> None:
    assert untyped("name", ast.parse(source).body[0])


def test_nothing_is_asked_of_a_network_at_import() -> None:
    code = (
        "import sys; asked = []\n"
        "sys.addaudithook(lambda event, args: asked.append(event) if event.startswith('socket.') else None)\n"
        "import keras_cnnzoo, keras_cnnzoo.export, keras_cnnzoo.mobile_bench, keras_cnnzoo.app.demo\n"
        "import keras_cnnzoo.cli, keras_cnnzoo.export.cli, keras_cnnzoo.mobile_bench.cli\n"
        "[getattr(package, name) for package in (keras_cnnzoo, keras_cnnzoo.export, keras_cnnzoo.mobile_bench)"
        " for name in package.__all__]\n"
        "import socket; before = [e for e in asked if e in ('socket.connect', 'socket.getaddrinfo', 'socket.sendto')]\n"
        "try: socket.create_connection(('127.0.0.1', 9), 0.1)\n"
        "except OSError: pass\n"
        "print(before, 'socket.connect' in asked)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split("\n")[-2:] == ["[] True", ""], done.stderr[-2000:]
