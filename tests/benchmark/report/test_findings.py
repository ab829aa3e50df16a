"""Comparisons, findings and pictures of a real store, through the command; figures anew from its files."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mmbench.benchmark import Experiment, results, run
from mmbench.benchmark.report.chosen_tables import chosen_tables
from mmbench.benchmark.store.store import Store
from scipy import stats

from ..conftest import Command

METHODS = ["erm(layers=1)", "ebmc(layers=1)"]


def trained(tmp_path: Path, data_root: Path, **asked: Any) -> Path:
    common = {"launcher": "debug", "device": "cpu", "protocol": {"epochs": 1}}
    assert run(Experiment(**common, **asked, data_root=data_root, store=tmp_path / "runs")).ok
    return tmp_path / "runs"


@pytest.fixture
def store(tmp_path: Path, data_root: Path) -> Path:
    """Two methods, two seeds, six tasks: two datasets by three sets of modalities."""
    sets = {"datasets": ["toy", "toyw"], "modalities": ["T+A", "T", "A"]}
    return trained(tmp_path, data_root, methods=METHODS, seeds=[0, 1], **sets)


def errors(store: Path) -> dict[tuple[str, str], np.ndarray]:
    """Task and modalities -> MAE on clean test data [methods, seeds]; from the files themselves."""
    found: dict[tuple[str, str], np.ndarray] = {}
    for record in Store(store):
        job = record.job
        table = pd.read_parquet(store / "jobs" / job.id / "predictions.parquet")
        table = table[(table["split"] == "test") & (table["condition"] == "clean")]
        away = np.asarray(table["score"], np.float64) - np.asarray(table["target"], np.float64)
        row = found.setdefault((job.task, job.modality_set), np.full((2, 2), np.nan))
        row[METHODS.index(job.label), job.seed] = np.abs(away).mean()
    return found


@pytest.mark.slow
def test_a_store_through_the_commands(mmbench: Command, store: Path, tmp_path: Path):
    mae = errors(store)
    assert len(mae) == 6
    by_task = np.stack(list(mae.values())).mean(axis=2)  # [tasks, methods]
    erm, ebmc = by_task.T
    assert {"ranks", "comparisons", "seeds"} <= set(chosen_tables(None, results(store)))
    tables = tmp_path / "tables"

    boards = ("leaderboard", "--what", "ranks,comparisons,seeds", "--out", str(tables))
    ended = mmbench(*boards, "--format", "terminal,csv,md,latex")
    assert ended.returncode == 0, ended.stderr
    assert "Average ranks over tasks" in ended.stdout
    names = [f"{n}.{s}" for n, s in product(("ranks", "comparisons", "seeds"), ("csv", "md", "tex"))]
    assert sorted(file.name for file in tables.iterdir()) == sorted(names)
    ranks = pd.read_csv(tables / "ranks.csv").set_index("method")["average_rank"]
    expected = stats.rankdata(by_task, axis=1).mean(axis=0)
    assert [ranks[name] for name in METHODS] == pytest.approx(expected.tolist(), abs=1e-9)
    pair = pd.read_csv(tables / "comparisons.csv").to_dict("records")[0]
    sign = 1 if pair["method"] == METHODS[0] else -1
    d = sign * (ebmc - erm)
    assert pair["median_difference"] == pytest.approx(np.median(d), abs=1e-9)
    assert pair["p"] == pytest.approx(stats.wilcoxon(d, method="exact")[1], abs=1e-9)
    needed = pd.read_csv(tables / "seeds.csv")
    assert len(needed) == 6
    for row in needed.to_dict("records"):
        task = row["task"], row["modalities"]
        seen = mae[task][METHODS.index(row["method"])] - mae[task][METHODS.index(row["best"])]
        assert (row["difference"], row["sd"]) == pytest.approx((seen.mean(), seen.std(ddof=1)), abs=1e-9)

    ended = mmbench("findings", "--format", "terminal,md,json", "--out", str(tables))
    assert ended.returncode == 0, ended.stderr
    assert "Do three modalities fail to beat the best pair reliably? not enough data" in ended.stdout
    found = {one["number"]: one for one in json.loads((tables / "findings.json").read_text())}
    gains = (erm - ebmc) / erm
    low, high = stats.t.interval(0.95, 5, gains.mean(), stats.sem(gains))
    (one,) = found["1"]["estimates"]
    assert (one["mean"], one["low"], one["high"]) == pytest.approx((gains.mean(), low, high), abs=1e-9)
    assert found["1"]["answer"] == ("yes" if high < 0.02 else "no" if low > 0.02 else "undecided")
    assert found["3"]["answer"] == found["4"]["answer"] == "not enough data"
    assert {e["label"] for e in found["5a"]["estimates"]} == {f"{name}, missing" for name in METHODS}
    assert found["5a"]["estimates"][0]["over"] == "seeds"  # two tasks have two modalities
    assert (tables / "findings.md").read_text().startswith("## Findings (fair (epochs=1); real)")

    ended = mmbench("plot", "--out", "pictures")
    assert ended.returncode == 0, ended.stderr
    drawn = {file.name for file in (tmp_path / "pictures").iterdir()}
    names = ("critical-difference", "risk-coverage", "missing")
    assert drawn == {f"{n}.{s}" for n, s in product(names, ("png", "pdf"))}
    assert "not drawn: no corruption was tested" in ended.stdout
    ended = mmbench("plot", "--out", "fewer", "--datasets", "toy")
    assert "not enough tasks to tell any pair apart: 3, 6 needed" in ended.stdout
    assert not (tmp_path / "fewer" / "critical-difference.png").exists()


def test_questions_that_cannot_be_asked(mmbench: Command, tmp_path: Path, data_root: Path):
    store = trained(tmp_path, data_root, methods=METHODS[:1], datasets=["toy"], seeds=[0])
    ended = mmbench("findings", COLUMNS="200")
    assert ended.returncode == 0
    assert ended.stdout.count("not enough data") == 7  # one seed of one method answers nothing
    for arguments, message in (
        (("--format", "csv"), "unknown format 'csv'"),
        (("--margin", "0"), "must be above 0"),
        (("--methods", "ermm"), "no job in runs fits ermm"),
    ):
        ended = mmbench("findings", *arguments)
        assert ended.returncode == 2
        assert message in ended.stderr
        assert len(ended.stderr.strip().splitlines()) == 1
    assert not {"ranks", "comparisons", "seeds"} & set(chosen_tables(None, results(store)))
    ended = mmbench("leaderboard", "--what", "ranks")
    assert "nothing to compare" in ended.stdout
