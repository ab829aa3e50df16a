"""``mmbench merge``: the tables that mmbench itself writes of a store, taken back into it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mmbench.benchmark import Experiment, run
from mmbench.benchmark.exchange.merge import merge
from mmbench.leaderboards.render.csv_files import read_csv

from .colleague import Call, reason
from .test_tables import edit


@pytest.fixture(scope="module")
def two_methods(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The colleague's store with a second method."""
    store = tmp_path_factory.mktemp("two") / "demo"
    shutil.copytree(trained, store, ignore=shutil.ignore_patterns("leaderboards"))
    asked = {"methods": ["erm(layers=1)", "late_concat"], "datasets": ["toyc"], "seeds": [0, 1]}
    asked |= {"launcher": "debug", "device": "cpu", "corruptions": ["drift"], "protocol": {"epochs": 1}}
    assert run(Experiment.read({**asked, "data_root": trained.parent / "data", "store": store})).ok
    return store


WHAT = "accuracy,relative,cost,audit,ranks,comparisons,seeds"


@pytest.mark.parametrize("reference", ["", "late_concat"])
def test_every_own_table_is_verified_or_said_to_be_another(
    call: Call, two_methods: Path, tmp_path: Path, reference: str
) -> None:
    tables = tmp_path / "tables2"
    asked = ["leaderboard", "--store", two_methods, "--out", tables, "--what", WHAT]
    assert call(*asked, *(["--reference", reference] if reference else []))[0] == 0
    plain = {"audit.csv", "ranks.csv", "comparisons.csv", "seeds.csv"}
    assert plain <= {file.name for file in tables.iterdir()}
    report = merge(tables, two_methods)
    assert report.ok
    left = {name for kind, name, why in report.lines if why == "not a table of scores, left"}
    assert left == plain
    stated = sum((read_csv(tables / f"{name}.csv")["hole"] == "").sum() for name in ("accuracy", "relative"))
    assert [kind for kind, _, _ in report.lines].count("verified") == stated > 10
    assert not (two_methods / "external").exists()
    assert call("merge", tables, "--store", two_methods)[0] == 0


def test_a_relative_number_of_no_run_here_is_not_verified(
    call: Call, two_methods: Path, tmp_path: Path
) -> None:
    tables = tmp_path / "tables2"
    call("leaderboard", "--store", two_methods, "--out", tables, "--what", "relative", "--format", "csv")

    def better(raw) -> None:
        row = (raw["metric"] == "mce") & (raw["method"] == "late_concat")
        raw.loc[row, ["mean", "sd", "values"]] = ["0.1", "0.0", "0.1 0.1"]

    edit(tables / "relative.csv", better)
    store = Path(shutil.copytree(two_methods, tmp_path / "store"))
    report = merge(tables, store)
    assert reason(report, "unverified") == "relative to none of the 2 runs here do its predictions give that"
