"""The wheel, in a virtual environment of its own that has no framework at all."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIGHT = ["typer", "rich", "lazy-loader", "numpy", "pillow", "jinja2"]


def shell(*arguments: object, cwd: Path | None = None) -> str:
    done = subprocess.run([*map(str, arguments)], capture_output=True, text=True, cwd=cwd, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    shell(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def venv(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("venv")
    shell(sys.executable, "-m", "venv", folder)
    shell(folder / "bin" / "pip", "install", "-q", "--disable-pip-version-check", *LIGHT)
    shell(folder / "bin" / "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", wheel)
    return folder


@pytest.mark.slow
def test_a_wheel_holds_the_three_packages_and_their_data(wheel: Path) -> None:
    assert wheel.stat().st_size < 15e6
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"keras_cnnzoo", wheel.name.split("-py3")[0] + ".dist-info"}
    within = Path("keras_cnnzoo")
    files = {
        (place / path.relative_to(ROOT / place.name)).as_posix()
        for place in (within, within / "export", within / "mobile_bench")
        for path in (ROOT / place.name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {Path(file).suffix for file in files} >= {".css", ".html", ".json", ".pyi", ".safetensors", ".toml"}
    assert files <= set(names)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["cnnzoo --help", "cnnzoo list", "cnnzoo-export --help", "cnnzoo-bench --help"])
def test_the_scripts_answer_without_any_framework_installed(venv: Path, command: str, tmp_path: Path) -> None:
    name, *arguments = command.split()
    assert shell(venv / "bin" / name, *arguments, cwd=tmp_path).strip()


@pytest.mark.slow
def test_no_stray_module_is_installed(venv: Path, tmp_path: Path) -> None:
    code = (
        "from importlib.util import find_spec; import keras_cnnzoo, keras_cnnzoo.export, keras_cnnzoo.mobile_bench;"
        "print(*map(find_spec, ('export', 'mobile_bench', 'tensorflow')), len(keras_cnnzoo.list_models()))"
    )
    *absent, networks = shell(venv / "bin" / "python", "-c", code, cwd=tmp_path).split()
    assert absent == ["None"] * 3
    assert int(networks) > 10
