"""cnnzoo as it is called from a shell (in this process: what becomes of an error is shown by the export's tests)."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from keras_cnnzoo import InputError, info, list_models
from keras_cnnzoo.cli import app


def cnnzoo(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    app([*map(str, arguments)], standalone_mode=False)
    return capsys.readouterr().out


def test_list_shows_every_network_and_sorts(capsys: pytest.CaptureFixture[str]) -> None:
    assert all(name in cnnzoo(capsys, "list") for name in list_models())
    rows = json.loads(cnnzoo(capsys, "list", "shuffle*", "--sort", "macs", "--json"))
    assert [row["name"] for row in rows] == sorted(list_models("shuffle*"), key=lambda name: info(name).macs)
    assert {"params", "macs", "activations", "year", "paper"} <= set(rows[0])
    for as_json in ([], ["--json"]):
        with pytest.raises(
            InputError, match=r"'nothing\*' matches no network of the zoo; `cnnzoo list` shows them all"
        ):
            cnnzoo(capsys, "list", "nothing*", *as_json)


def test_summary_is_a_table_by_stage_that_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    table = cnnzoo(capsys, "summary", "resnet18")
    assert "layer3" in table
    assert "11,689,512" in table
    found = json.loads(cnnzoo(capsys, "summary", "resnet18", "--json"))
    assert [stage["name"] for stage in found["stages"]] == ["stem", *(f"layer{i}" for i in range(1, 5)), "head"]
    for key in ("params", "macs", "activations"):
        assert sum(stage[key] for stage in found["stages"]) == found[key] == getattr(info("resnet18"), key)


def test_summary_takes_the_builder_s_options(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(cnnzoo(capsys, "summary", "resnet20", "--set", "classes=100", "--json"))
    assert found["params"] == info("resnet20").params + 90 * 65


def test_a_bar_is_drawn_unless_it_is_unwanted(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["compare-block"], ["summary", "resnet20"]):
        shown = []
        for quiet in ([], ["--quiet"]):
            app([*command, "--json", *quiet], standalone_mode=False)
            shown.append(bool(capsys.readouterr().err))
        assert shown == [True, False]


def test_compare_block_is_the_lecture_s_table(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(cnnzoo(capsys, "compare-block", "--json"))
    assert [(cost["params"], cost["macs"]) for cost in found.values()] == [
        (163_696, 128_049_152),
        (442_624, 346_816_512),
        (1_229_056, 963_379_200),
    ]
    assert "128.05 M" in cnnzoo(capsys, "compare-block")


def test_plot_draws_stages_and_blocks(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "new [/v2]" / ("long" * 40) / "resnet18.svg"
    assert cnnzoo(capsys, "plot", "resnet18", "-o", picture, "-q") == f"{picture}\n"
    root = ElementTree.fromstring(picture.read_text())
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"resnet18", "stem", "layer1", "layer4", "head", "7×7, 64 / 2", "dense, 1000"} <= set(texts)
    assert texts.count("+") == 7  # two basic units in layer1 are alike and drawn once, with "× 2"
    assert texts.count("× 2") == 1
    with pytest.raises(InputError, match="exists already"):
        cnnzoo(capsys, "plot", "resnet18", "-o", picture)
    with pytest.raises(InputError, match=r"cannot be written \(File name too long\); choose another name"):
        cnnzoo(capsys, "plot", "resnet18", "-o", tmp_path / f"{'a' * 300}.svg")
    with pytest.raises(InputError, match=r"name it so, e\.g\. resnet18\.svg"):
        cnnzoo(capsys, "plot", "resnet18", "-o", tmp_path / "resnet18.png")
