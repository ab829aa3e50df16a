"""Tables over tasks: what is compared with what, what is left out, and what is said about it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from mmbench.leaderboards.catalog import TABLES
from mmbench.leaderboards.render import plain
from mmbench.leaderboards.stats.power import seeds_needed
from mmbench.leaderboards.tables.accuracy import accuracy
from mmbench.leaderboards.tables.comparisons import comparisons, ranks, seeds
from mmbench.leaderboards.tables.seed_scores import fields, scores
from scipy import stats

from ..conftest import make_result, make_table

TARGET = [0.0, 1.0, 2.0, 3.0]


def row_of(method: str, task: str, errors: list[float], **more):
    """One method on one task: seed by seed, its MAE."""
    return [
        make_result(
            method, seed, make_table({"clean": [y + error for y in TARGET]}, TARGET), task=task, **more
        )
        for seed, error in enumerate(errors)
    ]


def frame_of(*rows) -> pd.DataFrame:
    return accuracy([result for row in rows for result in row], draws=20)


def wide(tasks: int, **errors: float) -> list:
    """Methods with one MAE each, a little larger from task to task."""
    return [row_of(name, f"t{i}", [e + i / 100] * 2) for i in range(tasks) for name, e in errors.items()]


def test_ranks_by_hand():
    frame = ranks(frame_of(*wide(7, erm=0.3, a=0.1, b=0.2)))
    assert frame["method"].tolist() == ["a", "b", "erm"]
    assert frame["average_rank"].tolist() == [1.0, 2.0, 3.0]
    assert frame["wins"].tolist() == [7, 0, 0]
    assert frame["better_than"].tolist() == ["erm, b", "erm", ""]
    assert set(frame["note"]) == {""}
    assert frame["friedman_p"].tolist()[0] == pytest.approx(stats.chi2.sf(14, 2))  # all agree: N (k - 1)
    pairs = comparisons(frame_of(*wide(7, erm=0.3, a=0.1, b=0.2)))
    assert pairs[["method", "other", "better", "worse", "verdict"]].to_numpy().tolist() == [
        ["a", "erm", 7, 0, "better"],
        ["b", "erm", 7, 0, "better"],
        ["a", "b", 7, 0, "better"],
    ]
    assert pairs["median_difference"].tolist() == pytest.approx([0.2, 0.1, 0.1])
    assert pairs["p"].tolist() == pytest.approx([2 / 2**7] * 3)
    assert pairs["p_holm"].tolist() == pytest.approx([6 / 2**7] * 3)


def test_too_few_tasks_say_how_many_it_takes():
    frame = frame_of(*wide(6, erm=0.3, a=0.1, b=0.2))
    assert set(ranks(frame)["better_than"]) == {""}
    assert set(ranks(frame)["note"]) == {"not enough tasks to tell any pair apart: 6, 7 needed"}
    assert set(comparisons(frame)["verdict"]) == {"not enough tasks: 7 needed"}


def test_a_task_that_a_method_lacks_is_left_out_and_said():
    rows = wide(8, erm=0.3, a=0.1)
    rows[-1] = [make_result("a", 0, task="t7", reason="out of memory")]  # failed
    rows.append(row_of("b", "t0", [0.2] * 2))
    rows.append([make_result("c", 0, task="t0")])
    (field,) = fields(frame_of(*rows))
    assert field.methods == ("erm", "a", "b")
    assert field.tasks == ("t0, text+audio",)
    assert field.left_out["t7, text+audio"] == "no value of a, b"
    assert field.without == ("c",)
    note = ranks(frame_of(*rows))["note"].tolist()[0]
    assert "not enough tasks to tell any pair apart: 1, 7 needed" in note
    assert "7 tasks left out: t1, text+audio (no value of b)" in note
    assert note.endswith("no value at all: c")


def test_protocols_data_and_units_are_never_mixed():
    rows = [
        *wide(2, erm=0.3, a=0.1),
        *[row_of(name, "t0", [0.5], protocol="as-published") for name in ("erm", "a")],
        *[row_of(name, "t0", [0.5], synthetic=True) for name in ("erm", "a")],
        *[row_of(name, task, [0.5], family=task) for name in ("erm", "a") for task in ("mosi", "sims")],
    ]
    found = {(f.protocol, f.data, f.metric): len(f.tasks) for f in fields(frame_of(*rows))}
    assert found == {
        ("fair", "real", "mae"): 2,
        ("as-published", "real", "mae"): 1,
        ("fair", "synthetic stand-in", "mae"): 1,
        ("fair", "real", "acc2_has0, sims_acc2"): 2,  # both are fractions
    }


def test_values_are_means_over_seeds_and_higher_is_better():
    frame = frame_of(row_of("erm", "t", [0.1, 0.3]), row_of("a", "t", [0.4, 0.2]))
    (field,) = fields(frame)
    assert field.values == pytest.approx(np.array([[-0.2, -0.3]]))
    assert scores(frame)[0].by_seed == pytest.approx({0: 0.1, 1: 0.3})


def test_draws_are_rows_of_their_own():
    frame = frame_of(row_of("a", "t", [0.1]), row_of("a", "t", [0.2], draw=1))
    assert [one.method for one in scores(frame)] == ["a (draw 0)", "a (draw 1)"]


def test_seeds_needed_by_hand():
    best, other = [0.10, 0.12, 0.11], [0.20, 0.13, 0.15]
    found = seeds(frame_of(row_of("other", "t", other), row_of("best", "t", best))).iloc[0]
    d = np.subtract(other, best)
    assert (found["best"], found["method"], found["n"]) == ("best", "other", 3)
    assert found["difference"] == pytest.approx(d.mean())
    assert found["sd"] == pytest.approx(d.std(ddof=1))
    assert found["seeds_needed"] == seeds_needed(d.mean(), d.std(ddof=1))
    assert found["verdict"] == f"{found['seeds_needed'] - 3} more"


@pytest.mark.parametrize(
    ("errors", "verdict"),
    [
        ([0.3], "other seeds than the best"),
        ([0.2, 0.3, 0.4], "3 seeds show no spread"),
        ([0.2, 0.1, 0.3], "no difference was seen"),
    ],
)
def test_where_no_number_of_seeds_can_be_given(errors: list[float], verdict: str):
    found = seeds(frame_of(row_of("best", "t", [0.1, 0.2, 0.3]), row_of("other", "t", errors))).iloc[0]
    assert found["seeds_needed"] is pd.NA
    assert verdict in found["verdict"]


def test_more_seeds_are_not_asked_of_methods_that_have_none():
    found = seeds(frame_of(row_of("logistic", "t", [0.1] * 3), row_of("majority", "t", [0.4] * 3))).iloc[0]
    assert found["seeds_needed"] is pd.NA
    assert found["verdict"] == "both answer alike in every seed: no further seed tells more"


def test_one_seed_has_no_spread():
    found = seeds(frame_of(row_of("best", "t", [0.1]), row_of("other", "t", [0.2]))).iloc[0]
    assert "run at least two" in found["verdict"]
    assert math.isnan(found["sd"])


@pytest.mark.parametrize("name", ["ranks", "comparisons", "seeds"])
def test_one_method_is_nothing_to_compare(name):
    frame = TABLES[name].make(frame_of(row_of("erm", "t", [0.1, 0.2])))
    assert frame.empty
    assert TABLES[name].notes_of(frame)[0].startswith("nothing to compare")


def test_files_hold_full_precision_and_texts_are_short(tmp_path):
    frame = comparisons(frame_of(*wide(7, erm=1 / 3, a=0.1, b=0.2)))
    path = plain.write_plain_csv(frame, tmp_path, "comparisons")
    again = pd.read_csv(path)
    assert again["median_difference"].tolist() == frame["median_difference"].tolist()
    assert plain.texts(frame)["p_holm"].tolist() == ["0.047"] * 3
    assert [plain.p_text(p) for p in (0.0004, 0.0312, 1.0)] == ["< 0.001", "0.031", "1.000"]
    assert "| a | erm | 7 |" in plain.plain_markdown(frame, "Pairs", ["a note"])
    assert r"p\_holm" in plain.plain_latex(frame, "Pairs", ["a note"])


def test_a_negative_number_is_no_formula_and_a_name_is(tmp_path):
    frame = pd.DataFrame(
        {"data": ["real"], "method": ["=1+1"], "difference": [-0.5], "n": pd.array([None], "Int64")}
    )
    text = plain.write_plain_csv(frame, tmp_path, "x").read_text()
    assert text.splitlines()[1] == "real,'=1+1,-0.5,"
    assert plain.texts(frame)["n"].tolist() == ["—"]
