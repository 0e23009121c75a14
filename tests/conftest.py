"""What several parts of the suite share."""

import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


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
def some_images() -> np.ndarray:
    """(60, 32, 32, 3) float32: blurred noise of different contrast."""
    rng = np.random.default_rng(0)
    coarse = rng.standard_normal((60, 4, 4, 3)).repeat(8, 1).repeat(8, 2)
    fine = 0.3 * rng.standard_normal((60, 32, 32, 3))
    return (rng.uniform(0.3, 2, (60, 1, 1, 1)) * (coarse + fine)).astype(np.float32)
