"""The options that say what tables show, on a stored store and through the command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mmbench.leaderboards.render.csv_files import read_csv

STORED = Path(__file__).parents[1] / "stored" / "store-0.1"
Call = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods on MOSI and MOSEI, two seeds each."""
    return shutil.copytree(STORED, tmp_path_factory.mktemp("shown") / "runs")


def shown(call: Call, store: Path, *options: str) -> str:
    code, said = call("leaderboard", "--store", store, "--format", "terminal", *options)
    assert code == 0, said
    return said


def as_json(call: Call, store: Path, *options: str) -> dict[str, pd.DataFrame]:
    code, said = call("leaderboard", "--store", store, "--json", *options)
    assert code == 0, said
    return {name: pd.DataFrame(table["rows"]) for name, table in json.loads(said)["tables"].items()}


def test_json_holds_every_number_of_the_csv_and_writes_no_file(store: Path, call: Call, tmp_path: Path):
    frame = as_json(call, store, "--what", "accuracy", "--tasks", "mosi")["accuracy"]
    assert not list(store.glob("leaderboards/*"))
    assert set(frame["task"]) == {"mosi"}
    code, said = call("leaderboard", "--store", store, "--what", "accuracy", "--datasets", "mosi", "--format", "csv", "--out", tmp_path)  # fmt: skip
    assert code == 0, said
    written = read_csv(next(tmp_path.glob("accuracy*.csv")))
    assert list(frame) == list(written)
    np.testing.assert_array_equal(frame["mean"], written["mean"])
    assert frame["p_vs_best"].isna().tolist() == written["p_vs_best"].isna().tolist()


def test_a_metric_leads_in_every_table_that_is_made_of_it(store: Path, call: Call):
    tables = as_json(call, store, "--metric", "mae", "--what", "accuracy,missing,seeds")
    for name in ("accuracy", "missing"):
        first = tables[name].groupby(["task", "method"], sort=False)["metric"].first()
        assert set(first) == {"mae"}
    assert set(tables["seeds"]["metric"]) == {"mae"}
    plain = as_json(call, store, "--what", "accuracy")["accuracy"]
    keys = ["task", "method", "metric"]
    one, other = (frame.sort_values(by=keys, ignore_index=True) for frame in (tables["accuracy"], plain))
    pd.testing.assert_frame_equal(one, other)  # nothing but the order is another
    of_one = as_json(
        call, store, "--metric", "rmse", "--what", "accuracy,contribution"
    )  # which is not in the list of MOSI
    assert set(of_one["contribution"]["metric"]) == {"rmse"}
    assert of_one["accuracy"].groupby(["task", "method"], sort=False)["metric"].first().unique().tolist() == [
        "rmse"
    ]
    said = shown(call, store, "--metric", "mae")
    assert "mae, clean ↓" in said


def test_the_best_methods_and_some_columns_are_shown_with_the_marks_of_all(store: Path, call: Call):
    whole = as_json(call, store, "--what", "accuracy,missing", "--tasks", "mosei", "--metric", "mae")
    best = whole["accuracy"].iloc[0]
    part = as_json(call, store, "--what", "accuracy,missing", "--tasks", "mosei", "--metric", "mae", "--top", "1",
                   "--columns", "mae,missing")  # fmt: skip
    assert set(part["missing"]["method"]) == {best["method"]} == {"erm(width=8)"}
    assert part["accuracy"]["metric"].tolist() == ["mae"]
    assert part["accuracy"]["mark"].tolist() == ["best"]  # of two, of which one is shown
    assert set(part["missing"]["condition"]) == {"missing:text", "missing:audio"}
    code, said = call(
        "plot", "--store", store, "--top", "1", "--metric", "mae", "--out", store.parent / "drawn", "--format", "svg"
    )  # fmt: skip
    assert code == 0, said
    drawn = list((store.parent / "drawn").iterdir())
    assert {file.suffix for file in drawn} == {".svg"}
    assert all(b"<svg" in file.read_bytes() for file in drawn)
    code, said = call("plot", "--store", store, "--format", "gif")
    assert code
    assert "unknown format 'gif'" in said


def test_rows_are_ordered_by_a_column_or_by_name(store: Path, call: Call):
    options = ("--what", "accuracy", "--tasks", "mosi", "--columns", "acc2_has0,corr")
    lines = {
        column: [line.split()[0] for line in shown(call, store, *options, "--sort", column).splitlines()
                 if line.startswith(("erm", "ebmc"))]
        for column in ("acc2_has0", "method")
    }  # fmt: skip
    assert lines == {
        "acc2_has0": ["erm(width=8)", "ebmc(width=8)"],
        "method": ["ebmc(width=8)", "erm(width=8)"],
    }


def test_sets_of_modalities_are_named_whole_or_by_initials(store: Path, call: Call):
    by_name, by_initial = (
        as_json(call, store, "--what", "accuracy", "--modalities", text)["accuracy"]
        for text in ("audio+text", "T+A")
    )
    pd.testing.assert_frame_equal(by_name, by_initial)
    code, said = call("leaderboard", "--store", store, "--modalities", "T+A+V")
    assert (code, "no job in" in said) == (2, True)


def test_votes_are_rows_of_the_command(store: Path, call: Call):
    tables = as_json(call, store, "--ensemble", "seeds", "--what", "accuracy,ensembles,cost")
    assert "erm(width=8) [mean of 2 seeds]" in set(tables["accuracy"]["method"])
    costs = (
        tables["cost"]
        .query("task == 'mosi' and metric == 'parameters'")
        .set_index("method")["mean"]
        .to_dict()
    )
    said = shown(
        call,
        store,
        "--ensemble",
        "seeds",
        "--what",
        "ensembles,seeds,audit",
        "--columns",
        "vote,gain,verdict",
    )
    assert "error_correlation: mean over pairs" in said  # notes are of the whole table
    assert "best_single  " not in said
    assert costs["erm(width=8) [mean of 2 seeds]"] == 2 * costs["erm(width=8)"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--metric", "acc9"), "--metric 'acc9': no table has it: did you mean"),
        (("--columns", "maee"), "--columns 'maee': no table has it: did you mean"),
        (("--columns", ","), "--columns names nothing"),
        (("--sort", "acc77"), "--sort 'acc77': no table has it: did you mean"),
        (("--top", "0"), "--top"),
        (("--ensemble", "votes"), "--ensemble 'votes': write folds, seeds or methods"),
        (("--ensemble", "folds"), "--ensemble folds: an ensemble needs two members"),
    ],
)
def test_what_cannot_be_shown_is_one_line(store: Path, call: Call, options: tuple[str, ...], message: str):
    code, said = call("leaderboard", "--store", store, "--what", "accuracy", *options)
    assert code == 2
    assert message in said
    assert "Traceback" not in said


def test_lists_plans_and_states_are_json_too(store: Path, call: Call):
    for command in (("list", "tables"), ("status", "--store", store)):
        outputs = [call(*command, *flag) for flag in (("--json",), ("--format", "json"))]
        assert outputs[0] == outputs[1]
        json.loads(outputs[0][1])
    code, said = call("status", "--store", store, "--json", "--watch")
    assert (code, "--json: goes with neither" in said) == (2, True)
