"""``mmbench export``: one page with every leaderboard and picture of a store."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from mmbench.benchmark.report.chosen_tables import chosen_tables, frames
from mmbench.benchmark.report.export_page import picture_name
from mmbench.benchmark.report.results import results
from mmbench.leaderboards.catalog import TABLES

from ..conftest import Command

RUN = (
    "run",
    "--methods",
    "erm(layers=1),ebmc(layers=1)",
    "--datasets",
    "toy",
    "--epochs",
    "1",
    "--launcher",
    "debug",
)
TESTED = ("--corruptions", "gaussian-noise,missing-rates", "--ood", "toyw")


def tables(text: str) -> list[str]:
    return re.findall(r'<table data-table="([^"]+)"', text)


@pytest.mark.slow
@pytest.mark.needs("chromium")
def test_it_has_every_leaderboard_and_picture_and_the_same_bytes(
    mmbench: Command, mmbench_process: Command, tmp_path: Path, look
) -> None:
    run = mmbench(*RUN, "--seeds", "0-1", *TESTED)
    assert run.returncode == 0, run.stdout + run.stderr
    for name in ("a.html", "folder/b.html"):
        ended = mmbench_process("export", "--out", name, PYTHONHASHSEED=str(len(name)))
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.splitlines()[-1] == f"wrote {name}"
    file = tmp_path / "a.html"
    assert file.read_bytes() == (tmp_path / "folder" / "b.html").read_bytes()
    text = file.read_text(encoding="utf-8")
    found = results(tmp_path / "runs")
    assert tables(text) == ["summary"] + [name for name in TABLES if TABLES[name].needs(found)]
    assert {"accuracy", "missing", "robustness", "ood", "audit"} <= set(tables(text))

    assert mmbench("plot", "--out", "pictures").returncode == 0
    drawn = {picture_name(picture) for picture in tmp_path.glob("pictures/*.png")}
    assert len(drawn) >= 3
    assert set(re.findall(r'<img alt="([^"]+)"', text)) == drawn
    inside = [base64.b64decode(data) for data in re.findall(r"data:image/png;base64,([^\"]+)", text)]
    files = sum(picture.stat().st_size for picture in tmp_path.glob("pictures/*.png"))
    assert sum(map(len, inside)) < files / 3  # a palette, and as many dots as a page shows

    driver = look(file)
    rows = driver.find_elements("css selector", "#summary tbody tr")
    assert {row.find_element("css selector", "th").text for row in rows} == {
        "erm(layers=1)",
        "ebmc(layers=1)",
    }
    assert "2 methods · 1 task ·" in driver.find_element("css selector", "body").text
    for name, frame in frames(chosen_tables(None, found), found):
        rows = driver.find_elements("css selector", f"#{name} tbody tr")
        assert {row.find_element("css selector", "th").text for row in rows} == set(frame["method"])
    for image in driver.find_elements("css selector", "figure img"):
        assert driver.execute_script("return arguments[0].naturalWidth", image) > 500


def test_filters_formats_and_holes(mmbench: Command, tmp_path: Path) -> None:
    assert mmbench(*RUN, "--seeds", "0").returncode == 0
    only = mmbench(
        "export", "--out", "one.html", "--methods", "erm(layers=1)", "--what", "accuracy", "--title", "A<b>"
    )
    assert only.returncode == 0, only.stderr
    assert only.stdout.splitlines()[-1] == "wrote one.html"
    text = (tmp_path / "one.html").read_text(encoding="utf-8")
    assert tables(text) == ["accuracy"]
    assert "ebmc" not in text
    assert "<title>A&lt;b&gt; (real data)</title>" in text

    also = mmbench("leaderboard", "--format", "html", "--out", "tables")
    assert also.returncode == 0, also.stderr
    page = (tmp_path / "tables" / "leaderboard.html").read_text(encoding="utf-8")
    assert "missing" in tables(page)
    assert "<img" not in page

    for file in tmp_path.glob("runs/jobs/*ebmc*/predictions.parquet"):
        file.write_bytes(file.read_bytes()[:-1])
    ended = mmbench("export", "--out", "holes.html")
    assert ended.returncode == 1
    assert ended.stdout.splitlines()[-1] == "wrote holes.html"
    assert 'class="number hole">—</td>' in (tmp_path / "holes.html").read_text(encoding="utf-8")

    for wrong in (("--what", "accurracy"), ("--store", "nowhere")):
        ended = mmbench("export", *wrong)
        assert ended.returncode == 2
        assert len(ended.stderr.splitlines()) == 1
