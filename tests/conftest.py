"""What several parts of the suite share."""

import importlib.util
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:  # a process a core: a second thread of each would wait for the other process
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}
signal.signal(signal.SIGINT, signal.default_int_handler)  # `pytest &` in a script ignores it: its children too
ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
)  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="run the tests marked nightly as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--nightly"):
        skip = pytest.mark.skip(reason="nightly: pass --nightly")
        for item in items:
            if "nightly" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def data() -> Path:
    """Real images and trained weights, which stand beside a checkout, not in it."""
    if not DATA.is_dir():
        pytest.skip(f"no trained weights and images in {DATA}")
    return DATA


@pytest.fixture(scope="session")
def script() -> Callable[[str], ModuleType]:
    """Loads a file of the checkout that belongs to no package, as a module."""

    def load(path: str) -> ModuleType:
        name = Path(path).stem
        spec = importlib.util.spec_from_file_location(name, ROOT / path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look there
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def some_images() -> np.ndarray:
    """(60, 32, 32, 3) float32: blurred noise of different contrast."""
    rng = np.random.default_rng(0)
    coarse = rng.standard_normal((60, 4, 4, 3)).repeat(8, 1).repeat(8, 2)
    fine = 0.3 * rng.standard_normal((60, 32, 32, 3))
    return (rng.uniform(0.3, 2, (60, 1, 1, 1)) * (coarse + fine)).astype(np.float32)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium with a camera that films a test picture; selenium's driver."""
    pytest.importorskip("selenium")
    programs = shutil.which("chromium"), shutil.which("chromedriver")
    if None in programs:
        pytest.skip("no chromium and chromedriver on the PATH")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="page") as profile:  # its socket's path must be short
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(programs[1]))
        yield driver
        driver.quit()
