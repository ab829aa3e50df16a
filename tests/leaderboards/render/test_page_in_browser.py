"""The page of leaderboards as a reader has it: in Chromium, without a window."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from mmbench.leaderboards.render.page import PageTable, Picture, page
from mmbench.leaderboards.tables import accuracy as tables
from mmbench.leaderboards.tables.results import Result

from ..conftest import make_result
from .test_page import PNG, Reader, results, tables_of

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

pytestmark = pytest.mark.needs("chromium")
Look = Callable[..., "Chrome"]

NASTY = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</script><script>alert(3)</script>",
    "'-alert(4)-'",
    "&lt;b&gt; <!-- $title",
    "__proto__",
    "=1+1",
)


def write(folder: Path, found: list[Result]) -> Path:
    file = folder / "page.html"
    file.write_text(page(tables_of(found), [Picture("curves", PNG)], "1"), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Methods m2, m10 and m9 from best to worst on mosi, m9 alone on mosei, and one that failed."""
    found = [
        *results({"m2": 0.1, "m10": 1.0, "m9": 3.0}, audit={"selected_by": "source validation"}),
        make_result("broken", 0, reason="out of memory"),
        *results({"m9": 1.5}, task="mosei", audit={"selected_by": "target test"}),
    ]
    return write(tmp_path_factory.mktemp("page"), found)


def all_of(within: Chrome | WebElement, selector: str) -> list[WebElement]:
    return within.find_elements("css selector", selector)


def one(within: Chrome | WebElement, selector: str) -> WebElement:
    return within.find_element("css selector", selector)


def column(driver: Chrome, place: int, table: str = "accuracy") -> list[str]:
    """What is shown in a column."""
    rows = [row for row in all_of(driver, f"#{table} tbody tr") if row.is_displayed()]
    return [all_of(row, "th, td")[place].text for row in rows]


def head(driver: Chrome, text: str, table: str = "accuracy") -> WebElement:
    (found,) = [th for th in all_of(driver, f"#{table} thead th") if th.text.split()[0] == text]
    return found


def test_script_and_plain_html_show_the_same(file: Path, look: Look) -> None:
    plain = Reader(file.read_text(encoding="utf-8")).tables
    driver = look(file)
    drawn = Reader("".join(str(table.get_attribute("outerHTML")) for table in all_of(driver, "table"))).tables
    strip = lambda rows: [[text for text, _ in row] for row in rows]  # noqa: E731
    texts = [
        [[cell.text for cell in all_of(row, "th, td")] for row in all_of(t, "tr")]
        for t in all_of(driver, "table")
    ]
    assert texts == [strip(rows) for rows in plain]
    for before, after in zip(plain, drawn, strict=True):
        for old, new in zip(before[1:], after[1:], strict=True):
            assert [a.get("class", "") or "" for _, a in old] == [a.get("class", "") or "" for _, a in new]
            values = [
                [float(a["data-value"] or "nan") for _, a in row if "data-value" in a] for row in (old, new)
            ]
            assert values[0] == values[1]


def test_a_click_on_a_header_sorts(file: Path, look: Look) -> None:
    driver = look(file)
    given = column(driver, 0)
    mae = [th.text.split()[0] for th in all_of(driver, "#accuracy thead th")].index("mae")
    for clicks, order in ((1, "ascending"), (2, "descending")):
        one(head(driver, "mae"), "button").click()
        assert head(driver, "mae").get_attribute("aria-sort") == order, clicks
        shown = column(driver, mae)
        assert shown[-1] == "—"  # a hole is neither best nor worst
        means = [float(text.split()[0]) for text in shown[:-1]]
        assert means == sorted(means, reverse=order == "descending")
        assert len(set(means)) == 4
    one(head(driver, "mae"), "button").click()
    assert head(driver, "mae").get_attribute("aria-sort") is None
    assert column(driver, 0) == given
    one(head(driver, "corr"), "button").click()  # higher is better: the best comes first
    assert head(driver, "corr").get_attribute("aria-sort") == "descending"
    assert column(driver, 0)[0] == "m2"


def test_names_sort_by_their_numbers_stably_and_by_keyboard(file: Path, look: Look) -> None:
    driver = look(file)
    one(head(driver, "mae"), "button").click()
    button = one(head(driver, "method"), "button")
    driver.execute_script("arguments[0].focus()", button)
    driver.switch_to.active_element.send_keys("\ue007")  # Enter
    assert column(driver, 0) == ["broken", "m2", "m9", "m9", "m10"]
    assert column(driver, 1)[2:4] == ["mosi", "mosei"]  # equal names keep the order of the page


def test_filters_hide_rows_in_one_table_and_in_all(file: Path, look: Look) -> None:
    driver = look(file)
    box = one(driver, "#accuracy input")
    box.send_keys("M9 mosei")
    assert column(driver, 0) == ["m9"]
    assert column(driver, 1) == ["mosei"]
    assert one(driver, "#accuracy .count").text == "1 of 5 rows"
    assert len(column(driver, 0, "missing")) == 5
    one(head(driver, "mae"), "button").click()  # sorting brings nothing back
    assert column(driver, 0) == ["m9"]
    box.clear()
    box.send_keys("nothing is called so")
    assert column(driver, 0) == []
    box.clear()
    box.send_keys(" ")
    assert len(column(driver, 0)) == 5
    one(driver, "#filters input").send_keys("m10")
    assert [column(driver, 0, name) for name in ("accuracy", "missing", "audit")] == [["m10"]] * 3
    one(driver, "#filters input").clear()
    one(driver, "#filters input").send_keys(" ")
    one(driver, "#filters select[name=task] option[value=mosei]").click()
    assert [column(driver, 0, name) for name in ("accuracy", "missing", "audit")] == [["m9"]] * 3


def test_the_address_gives_another_reader_the_same_rows(file: Path, look: Look) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    driver = look(file)
    one(driver, "#accuracy input").send_keys("m9 &")
    one(driver, "#filters input").send_keys("m")
    one(driver, "#filters select[name=task] option[value=mosei]").click()
    assert driver.current_url == f"{file.as_uri()}#?filter=m&task=mosei&accuracy.filter=m9+%26"
    one(driver, "#accuracy input").send_keys("\ue003\ue003")  # backspace
    one(driver, "nav a[href^='#missing']").click()
    assert driver.current_url == f"{file.as_uri()}#missing?filter=m&task=mosei&accuracy.filter=m9"
    assert abs(one(driver, "#missing").rect["y"] - driver.execute_script("return scrollY")) < 200
    driver.refresh()
    WebDriverWait(driver, 20).until(lambda page: one(page, "#accuracy .count").text == "1 of 5 rows")
    assert [column(driver, 0, name) for name in ("accuracy", "missing", "audit")] == [["m9"]] * 3
    assert one(driver, "#filters input").get_attribute("value") == "m"
    assert one(driver, "#filters select[name=task]").get_attribute("value") == "mosei"
    driver.execute_script("location.hash = '#?task=of_no_row'")  # what is no longer there filters nothing
    WebDriverWait(driver, 20).until(lambda page: one(page, "#accuracy .count").text == "5 rows")


def tip(driver: Chrome) -> str:
    found = one(driver, "#tip")
    return found.text if found.is_displayed() else ""


def test_hover_and_focus_tell_n_interval_verdict_and_audit(file: Path, look: Look) -> None:
    from selenium.webdriver import ActionChains

    driver = look(file)
    (row,) = [r for r in all_of(driver, "#missing tbody tr") if r.text.startswith("m10 mosi")]
    cell = all_of(row, ".number")[1]
    ActionChains(driver).move_to_element(cell).perform()
    told = tip(driver)
    assert "n = 3 of 3 seeds (0 1 2), 60 samples" in told
    assert "over seeds+samples" in told
    assert "lost against clean" in told
    assert "worse than the best, p" in told
    assert "selected by: source validation" in told
    assert cell.text.split()[0] in told
    assert cell.get_attribute("aria-describedby") == "tip"
    driver.switch_to.active_element.send_keys("\ue00c")  # Escape
    assert tip(driver) == ""
    first = one(driver, "#missing tbody td")
    driver.execute_script("arguments[0].focus()", first)
    for _ in range(4):
        driver.switch_to.active_element.send_keys("\ue014")  # arrow to the right
    assert "mae ↓, clean" in tip(driver)
    assert [cell.get_attribute("tabindex") for cell in all_of(driver, "#missing tbody [tabindex='0']")] == [
        "0"
    ]
    (broken,) = [r for r in all_of(driver, "#accuracy tbody tr") if r.text.startswith("broken")]
    ActionChains(driver).move_to_element(one(broken, ".hole")).perform()
    assert "out of memory" in tip(driver)
    ActionChains(driver).move_to_element(head(driver, "mae")).perform()
    assert "mean absolute error" in tip(driver).lower()


def test_best_is_bold_and_second_underlined_to_the_eye(file: Path, look: Look) -> None:
    driver = look(file)
    cells = {
        r.text.split()[0]: one(r, ".number") for r in all_of(driver, "#accuracy tbody tr") if "mosi" in r.text
    }
    assert int(cells["m2"].value_of_css_property("font-weight")) >= 700
    assert "underline" in cells["m10"].value_of_css_property("text-decoration")
    assert int(cells["m9"].value_of_css_property("font-weight")) < 600
    assert "underline" not in cells["m9"].value_of_css_property("text-decoration")


def test_single_conditions_and_other_metrics_are_one_choice_away(tmp_path: Path, look: Look) -> None:
    found = results({"one": 1.0, "two": 2.0})
    frame = tables.missing(found, draws=100)
    names = {
        "missing:text": "noise:text@1",
        "missing:audio": "noise:text@2",
        "average_missing": "mean_corruption",
    }
    frame["condition"] = frame["condition"].replace(names)
    board = PageTable("robustness", "Robustness", "condition", frame, lambda name: "@" not in name)
    file = tmp_path / "page.html"
    file.write_text(page([board], (), "1"), encoding="utf-8")
    driver = look(file)
    heads = lambda: [th.text.split()[0] for th in all_of(driver, "thead th")][4:]  # noqa: E731
    assert heads() == ["clean", "mean_corruption"]
    one(driver, "#robustness option:nth-child(2)").click()
    assert one(driver, "#robustness option:nth-child(2)").text == "noise:text"
    assert heads() == ["clean", "noise:text@1", "noise:text@2"]
    mean = frame.loc[(frame["method"] == "two") & (frame["condition"] == "noise:text@2"), "mean"].iloc[0]
    (row,) = [row for row in all_of(driver, "tbody tr") if row.text.startswith("two")]
    assert float(str(all_of(row, "td")[-1].get_attribute("data-value"))) == pytest.approx(mean, rel=5e-6)
    (corr,) = [option for option in all_of(driver, "#robustness option") if option.text == "corr"]
    corr.click()
    assert column(driver, 3, "robustness") == ["corr ↑", "corr ↑"]


def test_names_are_shown_and_do_nothing(tmp_path: Path, look: Look) -> None:
    found = [
        *(
            result
            for name in NASTY
            for result in results({name: 1.0}, 1, task=name, protocol=name, audit={name: name})
        ),
        make_result(NASTY[0], 0, task=NASTY[1], reason=NASTY[2]),
    ]
    driver = look(write(tmp_path, found))
    assert sorted(set(column(driver, 0))) == sorted(" ".join(name.split()) for name in NASTY)
    assert len(all_of(driver, "script")) == 2
    assert len(all_of(driver, "img")) == 1
    for option in all_of(driver, "#filters select[name=method] option")[1:]:
        option.click()
        driver.execute_script("document.querySelector('#accuracy td.number').focus()")
        assert set(column(driver, 0)) == {option.text}
        for cell in all_of(driver, "#accuracy tbody tr:not([hidden]) td.number")[:1]:
            cell.click()
            assert option.text in tip(driver)
    assert len(all_of(driver, "script")) == 2


def test_the_page_s_policy_stops_what_would_get_in(file: Path, chromium) -> None:
    driver = chromium.open(file)
    driver.execute_script(
        "const made = document.createElement('script'); made.textContent = 'window.inside = true';"
        "document.body.append(made);"
        "document.body.insertAdjacentHTML('beforeend', '<img src=\"https://example.org/a.png\">');"
    )
    time.sleep(0.2)
    assert driver.execute_script("return window.inside") is None
    said = chromium.complaints()
    assert len(said) == 2
    assert "script-src" in said[0]
    assert "img-src" in said[1]


def test_the_csv_is_what_is_shown_with_six_digits(tmp_path: Path, look: Look) -> None:
    found = results({"one": 1.0, "=two": 2.0})
    driver = look(write(tmp_path, found))
    driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    for method in ("=two", "one"):
        box = one(driver, "#missing input")
        box.clear()
        box.send_keys(method)
        saved = tmp_path / "missing.csv"
        saved.unlink(missing_ok=True)
        one(driver, "#missing button").click()
        deadline = time.monotonic() + 10
        while not saved.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        with saved.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        frame = tables.missing(found, draws=100)
        expected = frame.loc[(frame["method"] == method) & (frame["metric"] == "mae")]
        assert [row["condition"] for row in rows] == expected["condition"].tolist()
        assert {row["method"] for row in rows} == {f"'{method}" if method[0] == "=" else method}
        for name in ("mean", "sd", "low", "high"):
            assert [float(row[name]) for row in rows] == pytest.approx(expected[name].tolist(), rel=5e-6)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 1400), ("light", 360)])
def test_axe_finds_nothing_that_keeps_readers_out(file: Path, look: Look, scheme: str, width: int) -> None:
    from axe_selenium_python import Axe

    driver = look(file, width=width)
    media = lambda value: driver.execute_cdp_cmd(  # noqa: E731
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": value}]}
    )
    media(scheme)
    try:
        driver.execute_script("document.querySelector('#missing tbody td').focus()")
        time.sleep(0.1)  # the scroll to what has the focus
        assert tip(driver)  # it stays, and is judged, too
        axe = Axe(driver)
        axe.inject()
        found = axe.run()
        assert axe.report(found["violations"]) == axe.report([])
        assert {rule["id"] for rule in found["passes"]} >= {"color-contrast", "label", "aria-required-attr"}
        # The rules can fail: an input without a label is found.
        driver.execute_script("document.querySelector('main').append(document.createElement('input'))")
        assert [rule["id"] for rule in axe.run()["violations"]] == ["label"]
    finally:
        media("light")


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_the_page_is_as_wide_as_the_window(file: Path, look: Look, width: int) -> None:
    driver = look(file, width=width)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    assert driver.execute_script("return innerWidth") == width


@pytest.mark.parametrize("width", [390, 1280])
def test_a_long_name_is_broken_behind_a_sign_and_covers_no_other_cell(
    tmp_path: Path, look: Look, width: int
) -> None:
    name = "mplmm(generation=false,signals=false,types=false)"
    driver = look(write(tmp_path, results({"erm": 1.0, name: 2.0}, 1)), width=width)
    (cell,) = [one for one in all_of(driver, "#accuracy tbody th") if one.text.startswith("mplmm")]
    assert cell.text.replace("\n", "") == name
    assert driver.execute_script("return arguments[0].scrollWidth <= arguments[0].clientWidth", cell)
    assert driver.execute_script(
        "const box = arguments[0].getBoundingClientRect(), next = arguments[0].nextSibling.getBoundingClientRect();"
        "return box.right <= next.left + 1",
        cell,
    )


def test_five_hundred_rows_of_twenty_columns_are_sorted_and_filtered(tmp_path: Path, look: Look) -> None:
    one_row = tables.accuracy(results({"m": 1.0}, 2, 20), ["mae"], draws=100)
    draw = np.random.default_rng(0)
    frame = one_row.loc[one_row.index.repeat(500 * 20)].reset_index(drop=True)
    frame["method"] = [f"m{row}" for row in range(500) for _ in range(20)]
    frame["metric"] = [f"metric{place}" for _ in range(500) for place in range(20)]
    frame["mean"] = draw.normal(size=len(frame))
    file = tmp_path / "page.html"
    file.write_text(page([PageTable("accuracy", "Accuracy", "metric", frame)], (), "1"), encoding="utf-8")
    assert file.stat().st_size < 2_000_000
    driver = look(file)
    script = """
      const box = document.querySelector("#accuracy input");
      box.value = arguments[0];
      box.dispatchEvent(new Event("input"));
      document.querySelectorAll("#accuracy thead button")[5].click();
    """
    driver.execute_script(script, "")
    means = frame.loc[frame["metric"] == "metric2", "mean"].sort_values()
    cells = "return [...document.querySelectorAll('#accuracy tbody tr')].map((row) => +row.cells[5].dataset.value)"
    assert driver.execute_script(cells) == pytest.approx(means.tolist(), rel=5e-6)
    driver.execute_script(script, "m49")
    assert one(driver, "#accuracy .count").text == "11 of 500 rows"
