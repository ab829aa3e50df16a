"""``mmbench merge``: tables of numbers, with and without the predictions that they come from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mmbench.benchmark.exchange.merge import merge
from mmbench.leaderboards.metrics.families import FAMILIES
from mmbench.leaderboards.render.csv_files import read_csv

from .colleague import Call, content, kinds, without_tables

#: A table of accuracy has a row for each metric.
MEASURES = len(FAMILIES["classification"])


def edit(file: Path, change: Callable[[pd.DataFrame], None]) -> None:
    raw = pd.read_csv(file, dtype=str, keep_default_na=False)
    change(raw)
    raw.to_csv(file, index=False)


def better(raw: pd.DataFrame) -> None:
    """Claims that every seed is right in all cases."""
    row = raw["metric"] == "accuracy"
    raw.loc[row, ["mean", "sd", "values"]] = ["1.0", "0.0", "1.0 1.0"]


@pytest.fixture
def published(theirs: Path, tmp_path: Path) -> Path:
    """A folder with nothing but the accuracy table."""
    folder = tmp_path / "published"
    folder.mkdir()
    shutil.copy(theirs / "leaderboards" / "accuracy.csv", folder)
    return folder


def test_a_number_that_its_predictions_do_not_give_differs(call: Call, theirs: Path, ours: Path):
    stated = read_csv(theirs / "leaderboards" / "accuracy.csv").set_index("metric")
    edit(theirs / "leaderboards" / "accuracy.csv", better)
    for file in theirs.glob("leaderboards/*.csv"):
        if file.stem != "accuracy":
            file.unlink()
    code, said = call("merge", theirs, "--store", ours)
    assert code == 1
    assert f"2 taken, {MEASURES - 1} verified, 1 differs" in said
    assert f"stated 1.0 1.0, its predictions give {stated.loc['accuracy', 'values']}" in said
    _, said = call("leaderboard", "--store", ours, "--format", "terminal,csv", "--what", "accuracy")
    shown = read_csv(ours / "leaderboards" / "accuracy.csv")
    rows = shown[shown["metric"] == "accuracy"].set_index("audit_verified")
    assert rows.loc["verified", "mean"] == stated.loc["accuracy", "mean"]
    assert rows.loc["differs, from theirs", "mean"] == 1.0
    assert "† 100.0" in said


def test_a_table_alone_is_unverified_shown_apart_and_never_compared(call: Call, published: Path, ours: Path):
    edit(published / "accuracy.csv", better)
    code, said = call("merge", published, "--store", ours, "--name", "cluster")
    assert code == 0
    assert f"{MEASURES} unverified" in said
    assert "the predictions of 2 of its 2 jobs are not here" in said
    formats = "terminal,csv,md,latex"
    code, said = call("leaderboard", "--store", ours, "--format", formats)
    assert code == 0
    assert "erm(layers=1) [unverified, from cluster]" in said
    assert "† unverified" in said
    frame = read_csv(ours / "leaderboards" / "accuracy.csv")
    assert set(frame["audit_verified"]) == {"unverified, from cluster"}
    assert not any(np.isfinite(frame["p_vs_best"].to_numpy()))
    assert set(frame["best"]) == {pd.NA}
    for suffix in ("md", "tex"):
        text = (ours / "leaderboards" / f"accuracy.{suffix}").read_text()
        assert "unverified, from cluster" in text
        assert "**" not in text
        assert "textbf" not in text
    before = content(ours / "external")
    assert merge(published, ours, name="cluster").ok
    assert content(ours / "external") == before


def test_beside_own_rows_nothing_of_theirs_is_compared(call: Call, theirs: Path, published: Path, ours: Path):
    assert merge(without_tables(theirs), ours).ok
    call("leaderboard", "--store", ours, "--format", "csv", "--what", "accuracy")
    alone = read_csv(ours / "leaderboards" / "accuracy.csv")
    edit(published / "accuracy.csv", lambda raw: raw.__setitem__("jobs", "toyc-erm-a toyc-erm-b"))
    assert merge(published, ours).ok
    call("leaderboard", "--store", ours, "--format", "csv", "--what", "accuracy")
    both = read_csv(ours / "leaderboards" / "accuracy.csv")
    own = both.loc[both["audit_verified"] == "verified"].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, alone)
    assert len(both) == 2 * len(own)
    call("leaderboard", "--store", ours, "--format", "csv", "--what", "accuracy", "--datasets", "other")
    assert call("leaderboard", "--store", ours, "--datasets", "other")[0] == 2


def test_predictions_that_come_later_verify(published: Path, theirs: Path, ours: Path):
    assert kinds(merge(published, ours)) == ["unverified"] * MEASURES
    report = merge(without_tables(theirs), ours)
    assert report.ok
    assert kinds(report, "published") == ["verified"] * MEASURES
    assert not list(ours.glob("external/*"))


def test_another_statement_under_the_same_name_is_a_conflict(published: Path, ours: Path):
    assert merge(published, ours).ok
    before = content(ours)
    edit(published / "accuracy.csv", better)
    report = merge(published, ours)
    assert sorted(kinds(report)) == ["conflict"] + ["unverified"] * (MEASURES - 1)
    assert content(ours) == before
    assert merge(published, ours, name="later").ok
    assert len(list(ours.glob("external/*.csv"))) == 2


ROWS: dict[str, dict[str, str]] = {
    "a metric of its own": {"metric": "goodness"},
    "a mean that is not that of its values": {"mean": "0.99"},
    "values out of range": {"mean": "2.0", "values": "2.0 2.0", "sd": "0.0"},
    "an infinite value": {"mean": "inf", "values": "inf inf"},
    "another direction": {"direction": "lower"},
    "fewer values than seeds": {"values": "1.0", "mean": "1.0"},
    "a job that climbs": {"jobs": "../../a ../../b"},
    "a method that steers terminals": {"method": "erm\x1b[2J"},
    "data of no kind": {"data": "realistic"},
}


@pytest.mark.parametrize("how", ROWS)
def test_a_row_that_mmbench_did_not_write_is_refused(published: Path, ours: Path, how: str):
    edit(
        published / "accuracy.csv",
        lambda raw: raw.loc.__setitem__((0, list(ROWS[how])), list(ROWS[how].values())),
    )
    report = merge(published, ours)
    assert sorted(kinds(report)) == ["refused"] + ["unverified"] * (MEASURES - 1)
    assert all(text.isprintable() for line in report.lines for text in line)


@pytest.mark.parametrize(
    ("column", "value"),
    [("method", "ebmc"), ("seeds", "0 2"), ("task", "mosi"), ("data", "synthetic stand-in")],
)
def test_a_row_that_is_not_of_its_jobs_differs(theirs: Path, ours: Path, column: str, value: str):
    edit(theirs / "leaderboards" / "accuracy.csv", lambda raw: raw.__setitem__(column, value))
    report = merge(theirs, ours)
    assert kinds(report, "accuracy.csv") == ["differs"] * MEASURES
    said = f"says {column.removesuffix('s')} {value.removeprefix('0 ')}, its job "
    assert all(said in why for kind, _, why in report.lines if kind == "differs")


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n", "metric\n", "task,metric\nx,accuracy\n", "\x00\xff", "mean\nmuch\n"]
)
def test_another_csv_is_said_and_left(published: Path, ours: Path, text: str):
    (published / "accuracy.csv").write_text(text, encoding="latin1")
    report = merge(published, ours)
    assert kinds(report) in (["ignored"], ["refused"])
    assert not ours.exists()


def test_a_folder_without_results_is_one_line(call: Call, tmp_path: Path, theirs: Path):
    (tmp_path / "empty").mkdir()
    assert "holds neither jobs nor" in call("merge", tmp_path / "empty", "--store", "ours")[1]
    assert "no folder" in call("merge", tmp_path / "nowhere", "--store", "ours")[1]
    code, said = call("merge", theirs, "--store", theirs)
    assert code == 2
    assert "is the store itself" in said
