"""Published numbers as data, and the table that puts ours beside them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mmbench.leaderboards.catalog import TABLES
from mmbench.leaderboards.metrics.registry import METRICS
from mmbench.leaderboards.published import numbers as store
from mmbench.leaderboards.render.plain import texts
from mmbench.leaderboards.tables.accuracy import accuracy
from mmbench.leaderboards.tables.published import has_published, notes_of_published, published

LABELS = np.random.default_rng(0).integers(-3, 4, 30).astype(float)
#: Metrics of publications that no table here has.
UNKNOWN = {"f1_binary"}
ROW = {
    "dataset": "mine",
    "modalities": "2",
    "method": "erm",
    "condition": "clean",
    "metric": "mae",
    "value": "0.5",
    "sd": "0.01",
    "seeds": "3",
    "selection": "last epoch",
    "features": "raw",
    "source": "a paper",
    "tag": "published",
}


@pytest.fixture
def own(table, result):
    """Two seeds of a method on a task, with what is asked of it."""

    def make(method: str, task: str = "mosi", modalities: str = "text+audio+vision", family: str = "mosi"):
        made = []
        for seed in (0, 1):
            answers = LABELS + np.random.default_rng(seed).normal(size=len(LABELS))
            conditions = {"clean": answers, "missing:text": answers + 1}
            fields = {"task": task, "modalities": modalities, "family": family}
            audit = {"selected_by": "source validation split", "features": "mosi: casp"}
            made.append(result(method, seed, table(conditions, LABELS), audit=audit, **fields))
        return made

    return make


def write(folder: Path, *rows: dict[str, str]) -> Path:
    file = folder / "numbers.csv"
    pd.DataFrame(rows, columns=list(rows[0])).to_csv(file, index=False)
    return file


@pytest.fixture
def forget():
    yield
    store.use([])


def test_every_number_is_of_a_metric_and_a_condition_that_tables_have():
    known = store.numbers()
    assert len(known) > 500
    assert {number.metric for number in known} - set(METRICS) <= UNKNOWN
    for number in known:
        unit = METRICS[number.metric].unit if number.metric in METRICS else "fraction"
        # a percentage that was copied as it is printed would be above 1
        assert -1 <= number.value <= (1 if unit == "fraction" else 3), number
        assert number.tag in store.TAGS
    keys = [(n.dataset, n.method, n.condition, n.metric, n.source, n.features) for n in known]
    assert len(keys) == len(set(keys))


def test_ours_stands_beside_what_was_published(own):
    ours = accuracy(own("mult")).set_index("metric")
    frame = published(own("mult")).query("method == 'mult'").set_index("metric")
    assert sorted(frame.index) == ["acc2_has0", "acc2_non0", "acc5", "acc7", "corr", "mae"]
    row = frame.loc["mae"]
    assert (row["published"], row["published_seeds"], row["status"]) == (0.8799, 5, "published")
    assert row["ours"] == ours.loc["mae", "mean"]
    assert row["sd"] == ours.loc["mae", "sd"]
    assert row["difference"] == pytest.approx(ours.loc["mae", "mean"] - 0.8799)
    assert (row["ours_low"], row["n"]) == (ours.loc["mae", "low"], 2)
    assert (row["selected_by"], row["features"]) == ("source validation split", "mosi: casp")
    assert "validation loss" in row["published_selected_by"]
    assert "MMSA" in row["source"]
    assert any("MMSA, results/result-stat.md" in note for note in notes_of_published(frame.reset_index()))
    assert "[" in texts(frame.reset_index())["ours"].iloc[0]


def test_methods_that_were_not_run_have_rows_without_a_value_of_ours(own):
    frame = published(own("mult"))
    rows = frame.loc[(frame["method"] == "self_mm") & (frame["metric"] == "mae")]
    assert rows["published"].tolist() == [0.708]
    assert rows["ours"].isna().all()
    assert "not in the store" in rows["note"].iloc[0]


def test_parameters_and_number_of_modalities_decide_what_stands_beside(own):
    assert has_published(own("mult(width=40)"))
    assert not has_published(own("mult", modalities="text+audio"))
    assert not has_published(own("erm"))
    frame = published([*own("erm"), *own("mult", modalities="text+audio")])
    alone = frame.loc[frame["ours"].notna()]
    assert dict(zip(alone["method"], alone["note"], strict=True)) == {
        "erm": "no published number for it on mosi",
        "mult": "published on mosi with 3 modalities, and not with 2",
    }
    assert alone["published"].isna().all()


def test_numbers_by_other_metrics_are_said_to_be_there(own, tmp_path, forget):
    store.use([write(tmp_path, {**ROW, "dataset": "mosi", "modalities": "3", "metric": "accuracy"})])
    note = published(own("erm"))["note"].iloc[0]
    assert note == "published on mosi by other metrics or under other conditions than it was tested"


def test_missing_modalities_are_matched_in_any_order(table, result, tmp_path, forget):
    store.use([write(tmp_path, {**ROW, "condition": "missing:audio+text", "modalities": "3"})])
    answers = table({"clean": LABELS, "missing:text+audio": LABELS + 2}, LABELS)
    given = result("erm", 0, answers, task="mine", modalities="text+audio+vision")
    frame = published([given])
    rows = frame.loc[frame["condition"] == "missing:text+audio"]
    assert (rows["published"].tolist(), rows["ours"].tolist()) == ([0.5], [2.0])


def test_a_hole_of_ours_keeps_its_reason(own, result):
    failed = result("mult", 2, task="mosi", modalities="text+audio+vision", family="mosi", reason="no memory")
    frame = published([*own("mult"), failed]).query("method == 'mult' and metric == 'mae'")
    assert set(frame["ours"].isna()) == {True}
    assert "no memory" in frame["note"].iloc[0]
    assert frame["published"].iloc[0] == 0.8799


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"value": "83%"}, "line 2: value '83%': expected a number"),
        ({"value": "nan"}, "expected a finite number"),
        ({"tag": "sure"}, "tag 'sure': expected one of published"),
        ({"seeds": "3.5"}, "seeds '3.5': expected a whole number"),
        ({"source": ""}, "line 2: no source"),
    ],
)
def test_a_bad_row_is_named(tmp_path, changed, reason):
    file = write(tmp_path, {**ROW, **changed})
    with pytest.raises(ValueError, match=reason):
        store.read(file)


def test_a_file_without_a_column_or_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="lacks the column 'tag'"):
        store.read(write(tmp_path, {name: value for name, value in ROW.items() if name != "tag"}))
    with pytest.raises(ValueError, match="cannot be read"):
        store.read(tmp_path / "none.csv")


def test_numbers_from_outside_stand_beside_ours_until_they_are_forgotten(own, tmp_path, forget):
    given = own("erm", "mine", "text+audio", "regression")
    assert not has_published(given)
    store.use([write(tmp_path, ROW)])
    row = published(given).iloc[0]
    assert (row["published"], row["published_sd"], row["published_seeds"]) == (0.5, 0.01, 3)
    store.use([])
    assert math.isnan(published(given).iloc[0]["published"])


def test_it_is_made_by_itself_only_where_something_was_published(own):
    needs = TABLES["published"].needs
    assert needs(own("mult"))
    assert not needs(own("erm", "mine"))
