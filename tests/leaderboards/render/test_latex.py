"""LaTeX tables: marked as the tests allow, escaped, and accepted by LaTeX."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mmbench.leaderboards.render import plain
from mmbench.leaderboards.render.latex import escape_latex, latex, write_latex
from mmbench.leaderboards.tables import accuracy as tables

from ..conftest import make_result, make_table


def results(errors: dict[str, float], count: int = 60, **fields):
    draw = np.random.default_rng(0)
    target = draw.normal(size=count)
    return [
        make_result(
            method,
            seed,
            make_table({"clean": list(target + error * draw.normal(size=count))}, list(target)),
            **fields,
        )
        for method, error in errors.items()
        for seed in range(3)
    ]


def cells(text: str, method: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(escape_latex(method) + " &"))
    return line.removesuffix(r" \\").split(" & ")


def test_the_best_is_bold_only_where_all_others_are_worse_and_the_second_underlined() -> None:
    clear = latex(tables.accuracy(results({"good": 0.1, "fair": 1.0, "poor": 3.0})), "Accuracy")
    assert re.fullmatch(r"\\textbf\{0\.\d{3} \$\\pm\$ 0\.\d{3}\}", cells(clear, "good")[2])
    assert cells(clear, "fair")[2].startswith(r"\underline{")
    assert not cells(clear, "poor")[2].startswith("\\")
    close = latex(tables.accuracy(results({"one": 1.0, "two": 1.01, "three": 1.02})), "Accuracy")
    assert r"\textbf" not in close
    assert r"$\approx$" not in close  # nothing tells them apart, and nothing shows them to be the same
    two = results({"one": 1.0, "poor": 3.0})
    again = [replace(one, method="again", job=f"again-{one.seed}") for one in two if one.method == "one"]
    same = latex(tables.accuracy([*two, *again]), "Accuracy")
    assert [cells(same, name)[2].endswith(r"$\approx$") for name in ("one", "again", "poor")] == [
        True,
        True,
        False,
    ]
    assert "the same as the best within 2" in same


def test_names_cannot_break_the_table() -> None:
    nasty = r"a_b & c% $x$ {y} \input{z} ~^#<é中→"
    text = latex(tables.accuracy(results({nasty: 1.0})), "Accuracy")
    assert r"\input" not in text
    row = next(line for line in text.splitlines() if "textbackslash" in line)
    heading = next(line for line in text.splitlines() if line.startswith("method &"))
    assert len(re.findall(r"(?<!\\)&", row)) == len(re.findall(r"(?<!\\)&", heading))
    assert "é中" in row


@pytest.mark.parametrize(
    "names",
    [
        ("北京", "上海", "广州"),
        ("a--b", "a—b", "a-b"),
        ("данные", "δ", "हिन्दी"),
        ('a"b', "a''b"),
        ("a\x07b", "ab"),
    ],
)
def test_different_names_stay_different_in_every_script(names: tuple[str, ...]) -> None:
    assert len({escape_latex(name) for name in names}) == len(names)
    found = [one for name in names for one in results({"erm": 1.0}, task=f"mine/{name}")]
    text = latex(tables.accuracy(found), "Accuracy")
    headings = [line for line in text.splitlines() if line.startswith(r"\multicolumn")]
    assert len(set(headings)) == len(names)
    assert all(any(escape_latex(name) in line for line in headings) for name in names)


def test_a_table_says_which_latex_it_needs_only_where_not_any_will_do() -> None:
    needs = "% This table has characters beyond Latin-1"
    for make in (
        lambda name: latex(tables.accuracy(results({name: 1.0})), "A"),
        lambda name: plain.plain_latex(pd.DataFrame({"method": [name, "b"]}), "A"),
    ):
        assert make("方法").startswith(needs)
        assert make("方法").count("%") - make("é").count("%") == 1
        assert make("Übung é").startswith(r"\begin{table}")


def test_a_hole_and_a_stand_in_are_said_in_the_caption() -> None:
    found = [
        *results({"erm": 1.0}, synthetic=True),
        make_result("other", 0, reason="out of memory", synthetic=True),
    ]
    text = latex(tables.accuracy(found), "Accuracy")
    assert set(cells(text, "other")[2:]) == {"--"}
    caption = next(line for line in text.splitlines() if "caption" in line)
    assert "synthetic stand-in" in caption
    assert "out of memory" in caption


def test_what_is_wider_than_a_page_is_parted_and_nothing_is_lost() -> None:
    long = "a method with a long name " * 3
    frame = tables.accuracy(results({long.strip(): 0.1, "poor": 3.0}))
    text = latex(frame, "Accuracy")
    headings = [line for line in text.splitlines() if line.startswith("method & n")]
    assert len(headings) > 1
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == len(headings)
    metrics = [name.strip().split()[0] for line in headings for name in line.rstrip("\\ ").split("&")[2:]]
    assert [name.replace("\\_", "_") for name in metrics] == list(dict.fromkeys(frame["metric"]))
    assert text.count("long name &") == text.count("poor &") == len(headings)


@pytest.mark.needs("latex")
def test_latex_compiles_it(tmp_path: Path) -> None:
    frame = tables.accuracy(results({r"a_b & c% $x$ {y} \z ~^#<é": 0.1, "fair": 1.0, "poor": 3.0}))
    table = write_latex(frame, tmp_path, "accuracy", "Accuracy")
    document = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}\input{{{table.name}}}\end{{document}}"
    (tmp_path / "paper.tex").write_text(document)
    ended = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 1000


def wide_frame(rows: int) -> pd.DataFrame:
    """A table with words that are the same in every row, and more columns than a page is wide."""
    draw = np.random.default_rng(1)
    told = {"best": "erm", "task": "mosi->sims", "protocol": "fair (epochs=8)", "method": list("abc")[:rows]}
    values = {f"a_long_name_of_a_number_{place}": draw.normal(size=rows) for place in range(9)}
    return pd.DataFrame({**told, **values})


@pytest.mark.parametrize("rows", [1, 3])
def test_a_table_of_its_own_form_says_once_what_is_the_same_and_loses_nothing(rows: int) -> None:
    frame = wide_frame(rows)
    text = plain.plain_latex(frame, "Pairs", ["a note"])
    caption = next(line for line in text.splitlines() if "caption" in line)
    assert "Pairs. task mosi-\\textgreater{}sims; protocol fair (epochs=8). a note" in caption
    headings = [
        line.removesuffix(r" \\").split(" & ") for line in text.splitlines() if line.startswith("method &")
    ]
    assert len(headings) > 1
    assert [name for line in headings for name in line if name.startswith("a")] == [
        escape_latex(name) for name in frame if name.startswith("a")
    ]
    for row, method in enumerate(frame["method"]):
        lines = [line for line in text.splitlines() if line.startswith(f"{method} & erm &")]
        found = [cell for line in lines for cell in line.removesuffix(r" \\").split(" & ")[2:]]
        assert found == [f"{value:.4g}" for value in frame.iloc[row, 4:]]


def test_a_table_of_nothing_but_the_same_words_shows_them() -> None:
    frame = pd.DataFrame({"method": ["a", "b"], "selected_by": "source validation split"})
    assert plain.plain_latex(frame, "Audit").count("source validation split") == 2


@pytest.mark.needs("latex")
def test_no_table_of_its_own_form_is_wider_than_a_page(tmp_path: Path) -> None:
    (tmp_path / "table.tex").write_text(plain.plain_latex(wide_frame(3), "Pairs"))
    document = (
        r"\documentclass{article}\usepackage{booktabs}\usepackage[textwidth=17cm]{geometry}"
        r"\begin{document}\input{table}\end{document}"
    )
    (tmp_path / "paper.tex").write_text(document)
    call = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    said = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "Overfull" not in said


def test_the_metrics_of_a_classification_stand_side_by_side_under_the_names_of_papers() -> None:
    draw, target = np.random.default_rng(0), np.arange(60) % 2
    part = {
        "split": "test",
        "condition": "clean",
        "sample_id": [f"s{row}" for row in range(60)],
        "domain": "d",
    }
    logit = target + draw.normal(size=60)
    frame = pd.DataFrame({**part, "target": target, "logit_0": 0.0, "logit_1": logit})
    text = latex(tables.accuracy([make_result(frame=frame, family="classification")]), "Accuracy")
    assert text.count(r"\begin{tabular}") == 1
    (head,) = (line for line in text.splitlines() if line.startswith("method &"))
    for name in ("accuracy", "bal. accuracy", r"f1\_macro", r"f1\_weighted", "AUROC", "AUPRC"):
        assert f"& {name} " in head
