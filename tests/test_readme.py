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


def test_every_file_that_it_links_stands_there() -> None:
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", README)
    assert links
    assert [link for link in links if not stands(*link.partition("#")[::2])] == []


def stands(file: str, anchor: str) -> bool:
    """Whether there is such a file and, where one is named, a heading in it of that anchor."""
    if not anchor:
        return (ROOT / file).is_file()
    headings = re.findall(r"^#+ (.+)$", (ROOT / file).read_text(), re.MULTILINE)
    return anchor in [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]


def test_a_link_to_a_heading_that_is_not_there_is_seen() -> None:
    assert stands("docs/bench.md", "how-well-a-ratio-repeats")
    assert not stands("docs/bench.md", "how-badly")


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
