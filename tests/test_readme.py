"""The README names what there is."""

import ast
import re
from pathlib import Path

import keras_cnnzoo
from keras_cnnzoo.registry import VARIANTS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_every_builder_is_in_the_table_of_families() -> None:
    assert [builder for builder in sorted({v.builder for v in VARIANTS.values()}) if f"`{builder}`" not in README] == []


def test_every_python_block_is_python_and_uses_public_names() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "zoo":
                assert hasattr(keras_cnnzoo, node.attr)


def test_every_benchmark_that_it_names_is_in_the_repository() -> None:
    named = set(re.findall(r"benchmarks/(\w+\.py)", README))
    assert named
    assert named <= {path.name for path in (ROOT / "benchmarks").glob("*.py")}
