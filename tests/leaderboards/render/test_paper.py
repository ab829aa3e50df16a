"""Tables for papers: what stands in them, and that LaTeX sets them within a page of one and of two columns."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mmbench.benchmark.report.paper import paper_name
from mmbench.leaderboards.metrics.registry import METRICS
from mmbench.leaderboards.render.paper import Layout, metric_name, paper_tables
from mmbench.leaderboards.tables import accuracy as tables
from mmbench.methods import METHODS

from ..conftest import make_result, make_table

METHOD_NAMES = {
    "good": 0.1,
    "ebmc(emc=false,width=64,contrast=sample)": 1.0,
    "a method with a long name that no column holds, Übung é & 100% _x^2": 2.0,
    "poor": 3.0,
}


def results(errors: dict[str, float], count: int = 40, **fields):
    draw = np.random.default_rng(0)
    target = draw.normal(size=count)
    found = []
    for method, error in errors.items():
        for seed in range(3):
            names = ("clean", "missing:text", "missing:audio")
            scores = {
                name: list(target + error * (1 + place) * draw.normal(size=count))
                for place, name in enumerate(names)
            }
            found.append(make_result(method, seed, make_table(scores, list(target)), **fields))
    return found


@pytest.fixture(scope="module")
def accuracy() -> pd.DataFrame:
    return tables.accuracy(results(METHOD_NAMES, family="mosi"), draws=50)


@pytest.fixture(scope="module")
def missing() -> pd.DataFrame:
    found = [
        *results({"good": 0.1, "poor": 3.0}),
        *results({"good": 0.1, "poor": 3.0}, task="sims", synthetic=True),
    ]
    return tables.missing([*found, make_result("other", 0, reason="out of memory")], draws=50)


def row_of(text: str, method: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"{method} &"))
    return line.removesuffix(r" \\").split(" & ")


def test_numbers_are_those_of_the_frame_with_a_small_deviation_and_the_best_is_bold(accuracy: pd.DataFrame):
    text = paper_tables(accuracy, "Accuracy", "one", name="accuracy", names={"good": "GOOD"})
    row = accuracy.loc[(accuracy["method"] == "good") & (accuracy["metric"] == "acc2_has0")].iloc[0]
    cell = row_of(text, "GOOD")[1]
    assert cell == rf"\bfseries {100 * row['mean']:.1f} {{\scriptsize\,$\pm$\,{100 * row['sd']:.1f}}}"
    assert not row_of(text, "poor")[1].startswith(r"\bfseries")
    assert "S[table-format=2.1" in text
    assert r"\toprule" in text
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    column = [float(value) for value in re.findall(r"^.*? & (?:\\bfseries )?([0-9.]+)", body, re.MULTILINE)]
    assert len(column) == len(METHOD_NAMES)
    assert column == sorted(column, reverse=True)  # best first


def test_nothing_is_lost_where_a_table_is_parted(accuracy: pd.DataFrame):
    for layout in ("one", "two"):
        text = paper_tables(accuracy, "Accuracy", layout)
        heads = [line for line in text.splitlines() if line.startswith("{Method}")]
        assert len(heads) > 1
        printed = [cell.strip(" {}\\").split(" $")[0] for line in heads for cell in line.split(" & ")[1:]]
        assert printed == [metric_name(metric) for metric in dict.fromkeys(accuracy["metric"])]


def test_a_table_that_is_higher_than_a_page_is_continued(accuracy: pd.DataFrame):
    one = accuracy.loc[accuracy["metric"] == "acc2_has0"]
    many = pd.concat([one.assign(metric=f"metric{number}") for number in range(60)])
    text = paper_tables(many, "Accuracy", "two")
    floats = re.findall(r"\\begin\{table\*?\}.*?\\end\{table\*?\}", text, re.DOTALL)
    assert len(floats) > 1
    assert text.count(r"\label") == 1
    assert text.count(r"\addtocounter{table}{-1}") == text.count("(continued)") == len(floats) - 1
    assert all(f"Metric{number} " in text.replace("Metric-", "Metric") for number in range(60))
    lines = [10 * part.count("\\\\\n") for part in floats]  # points of the rows
    assert max(lines) < 550  # the height of a page


def test_a_column_without_any_value_is_left_out(accuracy: pd.DataFrame):
    metric = accuracy["metric"] == "mae"
    holes = accuracy.assign(hole=accuracy["hole"].where(~metric, "not done"))
    assert "{MAE" in paper_tables(accuracy, "Accuracy", "two")
    assert "{MAE" not in paper_tables(holes, "Accuracy", "two")


def test_the_caption_says_what_stands_there(missing: pd.DataFrame):
    text = paper_tables(missing, "Missing modalities", "two", "condition", "missing")
    captions = re.findall(r"\\caption\{(.*)\}", text)
    assert captions[0].startswith(
        r"Missing modalities on mosi (text, audio; protocol fair): MAE, lower is better. "
        r"Mean $\pm$ standard deviation over 3 seeds."
    )
    assert "no value, as seeds are not done or the metric does not apply: other." in captions[0]
    assert "synthetic stand-in, which says nothing about the real dataset" in captions[1]
    assert "synthetic" not in captions[0]
    assert re.findall(r"\\label\{(.*)\}", text) == [
        "tab:missing-mosi-text-audio",
        "tab:missing-sims-text-audio",
    ]


def test_labels_of_different_tables_differ_also_where_names_have_no_latin_letter():
    found = [one for task in ("北京", "上海") for one in results({"a": 1.0, "b": 2.0}, task=f"x/{task}")]
    text = paper_tables(tables.accuracy(found, draws=20), "Accuracy", "one", name="accuracy")
    labels = re.findall(r"\\label\{(.*)\}", text)
    assert len(set(labels)) == 2
    assert all(re.fullmatch(r"tab:[a-z0-9-]+", label) for label in labels)
    assert "北京" in text
    assert text.startswith("% This table has characters beyond Latin-1")


@pytest.mark.needs("latex")
@pytest.mark.parametrize("layout", ["one", "two"])
def test_latex_sets_them_within_the_page(
    layout: Layout, accuracy: pd.DataFrame, missing: pd.DataFrame, tmp_path: Path
):
    texts = [
        paper_tables(accuracy, "Accuracy on complete test data", layout),
        paper_tables(missing, "Missing modalities", layout, "condition", "missing"),
    ]
    assert (r"\begin{table*}" in texts[0]) == (layout == "two")
    columns = ",twocolumn" if layout == "two" else ""
    document = rf"""\documentclass[10pt{columns}]{{article}}
\usepackage[T1]{{fontenc}}
\usepackage{{array,booktabs,siunitx}}
\begin{{document}}
{texts[0]}
{texts[1]}
Text.
\end{{document}}
"""
    (tmp_path / "paper.tex").write_text(document, encoding="utf-8")
    ended = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-2000:]
    assert "Float too large" not in ended.stdout
    assert "Overfull" not in ended.stdout, [line for line in ended.stdout.splitlines() if "Overfull" in line]


def test_names_are_as_papers_write_them():
    assert metric_name("acc2_has0") == "Acc-2 has0"
    assert metric_name("balanced_accuracy") == "Balanced accuracy"
    assert metric_name("misd_fpr95_correct_positive") == "MisD FPR95 correct positive"
    assert len({metric_name(name) for name in METRICS}) == len(METRICS)
    assert paper_name("ebmc(emc=false)") == "EBMC (emc=false)"
    assert paper_name("ogm_ge") == "OGM-GE"
    assert paper_name("self_mm") == "Self-MM"
    assert paper_name("random_forest") == "Random forest"
    assert paper_name("erm [version 2]") == "ERM [version 2]"
    assert paper_name("mine(width=3)") == "mine(width=3)"
    names = [paper_name(name) for name in METHODS]
    assert len(set(names)) == len(names)
    assert all(
        name.lower().replace("-", "_").replace(" ", "_") == old
        for name, old in zip(names, METHODS, strict=True)
    )
