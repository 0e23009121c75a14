"""The page in a real browser: it draws, sorts, explains, fits a phone, and writes no error to the console."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from keras_cnnzoo.mobile_bench import Report, as_html, benchmark
from keras_cnnzoo.mobile_bench.accuracy import Accuracy
from keras_cnnzoo.mobile_bench.report.as_json import document
from keras_cnnzoo.mobile_bench.runners import Layer

EVIL = "<img src=x onerror=alert(1)>.tflite"


@pytest.fixture(scope="module")
def report(model: Path, larger_model: Path) -> Report:
    """Two files at two thread counts, one of them with markup for a name, with profiles and accuracies made up."""
    measured = benchmark([model, larger_model], threads=(1, 2), runs=60)
    layers = (Layer("CONV_2D", "a", 30.0), Layer("ADD", "b", 10.0), Layer("CONV_2D", "c", 60.0))
    changed = [
        dataclasses.replace(m, layers=layers, accuracy=Accuracy(0.7 + index / 50, 0.9, 100, "pictures"))
        for index, m in enumerate(measured.measurements)
    ]
    for index in (2, 3):
        artifact = dataclasses.replace(changed[index].artifact, path=Path(EVIL), named=None)
        changed[index] = dataclasses.replace(changed[index], artifact=artifact)
    return dataclasses.replace(measured, measurements=tuple(changed))


@pytest.fixture
def page(browser: Any, report: Report, tmp_path: Path) -> Any:
    path = tmp_path / "report.html"
    path.write_text(as_html(report))
    size(browser, 1200, 900)
    browser.get_log("browser")  # what other tests' pages said
    browser.get(path.as_uri())
    yield browser
    assert browser.get_log("browser") == []


def size(browser: Any, width: int, height: int) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def column(page: Any, title: str) -> list[str]:
    script = """
        const at = [...document.querySelectorAll("th")].findIndex((th) => th.textContent === arguments[0]);
        return [...document.querySelectorAll("tbody tr")].map((tr) => tr.cells[at].firstChild.textContent);"""
    return page.execute_script(script, title)


def test_a_heading_sorts_both_ways_with_pointer_and_keyboard(page: Any, report: Report) -> None:
    from selenium.webdriver.common.keys import Keys

    medians = [m.summary.median.value for m in report.measurements]
    heading = next(th for th in page.find_elements("css selector", "th") if th.text.startswith("median"))
    heading.find_element("css selector", "button").click()
    shown = [float(value) for value in column(page, "median")]
    assert shown == sorted(shown)
    assert len(shown) == len(medians)
    assert shown[0] == pytest.approx(min(medians), rel=0.01)
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.find_element("css selector", "button").send_keys(Keys.ENTER)
    assert [float(value) for value in column(page, "median")] == shown[::-1]
    assert heading.get_attribute("aria-sort") == "descending"


def test_a_mark_explains_itself_to_pointer_and_keyboard(page: Any) -> None:
    from selenium.webdriver import ActionChains

    tip = page.find_element("css selector", "#tip")
    assert not tip.is_displayed()
    mark = page.find_elements("css selector", "#scatter circle")[0]
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", mark)
    ActionChains(page).move_to_element(mark).pause(0.1).perform()
    assert tip.is_displayed()
    assert "ms, " in tip.text
    page.execute_script("window.dispatchEvent(new Event('scroll'))")  # of a scroll that began before the pointer came
    assert tip.is_displayed()
    page.execute_script("document.querySelector('#flame rect').focus()")
    assert "CONV_2D" in tip.text
    assert "30 % of 0.10 ms" in tip.text.replace("30.0", "30")


def test_every_section_is_drawn_from_the_report(page: Any, report: Report) -> None:
    def count(selector: str) -> int:
        return len(page.find_elements("css selector", selector))

    assert count("#scatter circle") == count("#distributions circle") == len(report.measurements)
    assert count("#scaling path") == 2
    assert count("#flame rect") == 3
    assert [e.text for e in page.find_elements("css selector", "#types .bar span:first-child")] == ["CONV_2D", "ADD"]
    assert count("#axis option") >= 4
    assert page.execute_script("return document.querySelector('.front').getAttribute('d')").startswith("M")


def test_names_from_outside_stay_text(page: Any) -> None:
    assert page.find_elements("css selector", "main img") == []
    assert "<img src=x onerror=alert(1)>" in page.find_element("css selector", "tbody").text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_light_and_dark(page: Any, scheme: str) -> None:
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    size(page, 390, 800)
    page.refresh()
    assert page.execute_script("return document.documentElement.scrollWidth") <= 390
    red = page.execute_script("return getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
    assert (int(red) < 60) == (scheme == "dark")


def test_the_page_says_what_the_json_says(page: Any, report: Report) -> None:
    told = document(report)["measurements"]
    for name in ("p10", "median", "p90", "p99"):
        expected = [m["summary_ms"][name]["value"] for m in told]
        assert [float(text) for text in column(page, name)] == pytest.approx(expected, rel=0.01), name
    ratios = [1 if m["ratio_to_first"] is None else m["ratio_to_first"]["value"] for m in told]
    assert [float(text) for text in column(page, "ratio")] == pytest.approx(ratios, rel=0.01)
