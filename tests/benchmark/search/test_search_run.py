"""Searches as users run them: real processes, real networks, real files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from mmbench.benchmark.store.store import Store

from ..cli.test_run import until
from ..conftest import MMBENCH, Command

POOL = ("--workers", "1", "--device", "cpu")
HERE = ("--launcher", "debug", "--device", "cpu")

#: Waits after some steps until a file is gone; with a large weight it learns nothing, or fails.
PLUGIN = '''
import os, time
from dataclasses import dataclass
from pathlib import Path

from mmbench.methods.erm import ERM
from mmbench.methods.method import fixed, searched

METHODS = {"odd": "Odd"}


@dataclass(frozen=True)
class OddParams:
    width: int = fixed(40)
    layers: int = fixed(1)
    weight: float = searched(0.0, low=0.0, high=1.0)
    worst: float = fixed(2.0)


class Odd(ERM):
    """Worse the larger its weight."""

    Params = OddParams

    def loss(self, batch):
        here = Path(os.environ["ODD"])
        (here / f"started-{os.getpid()}").touch()
        while (here / "wait").exists() and len(list(here.glob("runs/jobs/*/done.json"))) >= 2:
            time.sleep(0.02)
        if self.params.weight > self.params.worst:
            raise RuntimeError(f"too large")
        terms = super().loss(batch)
        return {name: term * (1 - self.params.weight) ** 4 for name, term in terms.items()}
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    file = tmp_path / "odd.py"
    file.write_text(PLUGIN)
    return file


def jobs(tmp_path: Path) -> dict[str, dict]:
    """Job -> job.json."""
    return {file.parent.name: json.loads(file.read_text()) for file in tmp_path.glob("runs/jobs/*/job.json")}


@pytest.mark.slow
def test_a_search_from_the_command_to_one_row_a_method(mmbench: Command, tmp_path: Path):
    methods = "erm(layers=1),rna(layers=1)"
    run = [
        "run",
        "--methods",
        methods,
        "--datasets",
        "toy",
        "--draws",
        "2",
        "--repeats",
        "2",
        "--epochs",
        "2",
    ]
    run += ["--corruptions", "gaussian-noise", *HERE]
    first = mmbench(*run)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "all 10 jobs done" in first.stdout
    status = mmbench("status").stdout
    assert "of these 6 trials and 4 repeats of 2 searches: 2 chose" in status
    again = mmbench(*run)
    assert "10 jobs, 10 done before, 0 to do" in again.stdout
    board = mmbench("leaderboard", "--what", "accuracy,audit", "--out", "tables")
    assert board.returncode == 0, board.stderr
    frame = pd.read_csv(tmp_path / "tables" / "accuracy.csv")
    assert set(frame["method"]) == {"erm(layers=1)", "rna(layers=1)"}
    assert set(frame["protocol"]) == {"fair (epochs=2), search 1+2+2"}
    assert set(frame["n"]) == {3}
    assert bool(frame["p_vs_best"].notna().any())  # rows are paired by place, though their seeds differ
    audit = pd.read_csv(tmp_path / "tables" / "audit.csv")
    assert list(audit["n"]) == [3, 3]
    assert all(words.startswith("1+2+2, chosen by source validation") for words in audit["search"])
    records = {
        r["method"]: r
        for r in map(json.loads, (f.read_text() for f in tmp_path.glob("runs/searches/*.json")))
    }
    for method, record in records.items():
        # The choice, made again from what each network recorded of its own fit.
        store = Store(tmp_path / "runs")
        fits = [json.loads((store.job(t["job"]).path / "fit.json").read_text()) for t in record["trials"]]
        selected = [fit["epochs"][fit["selected_epoch"]] for fit in fits]
        keys = [(epoch["metric"], epoch["loss"], index) for index, epoch in enumerate(selected)]
        assert record["chosen"] == min(keys)[2]
        row = set(frame.loc[frame["method"] == method, "jobs"])
        assert row == {" ".join([record["trials"][record["chosen"]]["job"], *record["repeats"]])}
        asked = jobs(tmp_path)
        chosen = asked[record["trials"][record["chosen"]]["job"]]
        assert all(asked[job]["params"] == chosen["params"] for job in record["repeats"])
    assert len({job["seed"] for job in jobs(tmp_path).values()}) == 5  # the same five for both methods
    # Only what was chosen is tested under more conditions.
    evaluated = {file.parent.parent.name for file in tmp_path.glob("runs/jobs/*/evaluations/*.parquet")}
    assert evaluated == {job for jobs in set(frame["jobs"]) for job in jobs.split()}
    # Trials that were not chosen are nowhere in any table.
    others = set(jobs(tmp_path)) - evaluated
    assert len(others) == 4
    for file in (tmp_path / "tables").glob("*.csv"):
        assert not any(job in file.read_text() for job in others)


@pytest.mark.slow
def test_a_search_killed_in_the_middle_trains_only_what_is_missing(
    mmbench: Command, tmp_path: Path, data_root: Path, plugin: Path
):
    (tmp_path / "wait").touch()
    environment = {**os.environ, "ODD": str(tmp_path), "MMBENCH_DATA": str(data_root), "OMP_NUM_THREADS": "1"}
    command = ["run", "--methods", "odd", "--plugin", str(plugin), "--datasets", "toy", "--epochs", "1"]
    command += ["--draws", "3", "--repeats", "1", *POOL]
    launcher = subprocess.Popen(
        [str(MMBENCH), *command], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL
    )
    done = tmp_path.glob("runs/jobs/*/done.json")
    until(lambda: len(list(tmp_path.glob("runs/jobs/*/done.json"))) >= 2)
    workers = [int(file.name.removeprefix("started-")) for file in tmp_path.glob("started-*")]
    launcher.kill()
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    launcher.wait()
    before = {file: file.stat().st_mtime_ns for file in done}
    trained = len(before)
    assert 2 <= trained < 4
    hole = mmbench("leaderboard", "--what", "accuracy", ODD=str(tmp_path))
    assert hole.returncode == 1
    assert "of 4 trials" in hole.stdout
    (tmp_path / "wait").unlink()
    again = mmbench(*command, ODD=str(tmp_path))
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"5 jobs, {trained} done before, {5 - trained} to do" in again.stdout
    assert again.stdout.count("] done ") == 5 - trained
    assert all(file.stat().st_mtime_ns == written for file, written in before.items())
    assert Counter(job["search"]["role"] for job in jobs(tmp_path).values()) == {"trial": 4, "repeat": 1}
    assert "5 done" in mmbench("status").stdout


@pytest.mark.slow
def test_a_study_with_a_failed_trial_is_a_hole_with_its_name(mmbench: Command, tmp_path: Path, plugin: Path):
    draws = ("--draws", "4", "--repeats", "1", "--epochs", "1", *HERE)
    methods = "odd(worst=0.5),erm(layers=1)"
    run = ("run", "--methods", methods, "--plugin", str(plugin), "--datasets", "toy", *draws)
    ended = mmbench(*run, ODD=str(tmp_path))
    assert ended.returncode == 1
    asked = jobs(tmp_path)
    large = {job for job, values in asked.items() if values["params"].get("weight", 0) > 0.5}
    assert 0 < len(large) < 5
    assert all(f"  {job}: RuntimeError: too large" in ended.stdout for job in large)
    assert f"{len(large)} of 12 jobs failed; 1 wait for them" in ended.stdout
    assert "of 2 searches: 1 chose, 1 have a failed trial" in mmbench("status").stdout
    board = mmbench("leaderboard", "--what", "accuracy", "--out", "tables")
    assert board.returncode == 1
    frame = pd.read_csv(tmp_path / "tables" / "accuracy.csv").set_index("method")
    hole = frame.loc["odd(worst=0.5)"]
    assert hole["mean"].isna().all()
    assert hole["hole"].str.contains(f"{len(large)} of 5 trials failed (trial", regex=False).all()
    assert frame.loc["erm(layers=1)", "mean"].notna().all()


@pytest.mark.slow
def test_a_pruned_trial_is_neither_a_hole_nor_done_and_is_not_trained_again(
    mmbench: Command, tmp_path: Path, plugin: Path
):
    run = ("run", "--methods", "odd", "--plugin", str(plugin), "--datasets", "toy", "--draws", "9")
    run += ("--repeats", "1", "--epochs", "4", "--pruner", "median", *HERE)
    ended = mmbench(*run, ODD=str(tmp_path))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    store = Store(tmp_path / "runs")
    records = {
        record.job.search.index: record
        for record in store
        if record.job.search and record.job.search.role == "trial"
    }
    pruned = {index for index, record in records.items() if record.state == "pruned"}
    assert pruned
    assert min(pruned) >= 5  # the first five are always trained to the end
    assert f"{11 - len(pruned)} done, {len(pruned)} pruned" in mmbench("status").stdout
    # Of the later trials the worst is ended, that with the largest weight.
    weights = {index: records[index].job.params["weight"] for index in range(5, 10)}
    assert max(weights, key=weights.__getitem__) in pruned
    for index in pruned:
        assert not store.job(records[index].job.id).is_done()
        epochs = (store.job(records[index].job.id).pruning_record() or {})["epochs"]
        assert 1 < len(epochs) < 4  # not in the first quarter, and not after the last
    assert ended.stdout.count("] pruned ") == len(pruned)
    assert f"{11 - len(pruned)} jobs done, {len(pruned)} pruned" in ended.stdout
    again = mmbench(*run, ODD=str(tmp_path))
    assert again.returncode == 0
    counts = f"11 jobs, {11 - len(pruned)} done before, {len(pruned)} pruned, 0 to do"
    assert counts in again.stdout
    board = mmbench("leaderboard", "--what", "accuracy,audit", "--out", "tables")
    assert board.returncode == 0, board.stdout
    audit = pd.read_csv(tmp_path / "tables" / "audit.csv")
    assert audit["search"].item() == f"1+9+1, chosen by source validation, {len(pruned)} pruned"
