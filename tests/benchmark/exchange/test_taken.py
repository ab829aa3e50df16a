"""``mmbench merge``: what is whole is taken once, and never in place of what is here."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmbench.benchmark.core import atomic_files as files_module
from mmbench.benchmark.exchange.merge import merge
from mmbench.benchmark.launch.run import run
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.store import job_folder as store_module
from mmbench.benchmark.store.store import Store
from mmbench.leaderboards.render.csv_files import read_csv

from .colleague import Call, content, jobs, kinds, reason, reencode, replaced, swapped, without_tables


def test_a_second_store_is_taken_and_tabled_as_there(call: Call, theirs: Path, ours: Path):
    code, said = call("merge", theirs, "--store", ours)
    assert code == 0
    assert "2 taken" in said
    assert "verified" in said
    there, here = content(theirs / "jobs"), content(ours / "jobs")
    assert set(there) == set(here)
    for name in there:
        if name.endswith((".parquet", ".safetensors")):
            assert there[name] == here[name]
    assert call("leaderboard", "--store", ours, "--format", "csv")[0] == 0
    own = read_csv(ours / "leaderboards" / "accuracy.csv")
    assert own.equals(read_csv(theirs / "leaderboards" / "accuracy.csv"))
    assert set(own["audit_verified"]) == {"verified"}
    assert not (ours / "external").exists()


def test_merging_twice_changes_nothing(theirs: Path, ours: Path):
    assert merge(theirs, ours).ok
    before = content(ours)
    stamps = {file: file.stat().st_mtime_ns for file in ours.rglob("*.json")}
    again = merge(theirs, ours)
    assert again.ok
    assert kinds(again, "toyc") == ["already there"] * 2
    assert content(ours) == before
    assert {file: file.stat().st_mtime_ns for file in ours.rglob("*.json")} == stamps


def test_a_constant_answer_is_taken_and_one_that_has_no_error_is_not(
    call: Call, data_root: Path, ours: Path, tmp_path: Path
):
    """A constant has no correlation, and every other score; predictions that are out of all bounds have no error."""
    asked = {"methods": "majority,logistic", "datasets": "toy", "seeds": "0", "data_root": data_root}
    theirs = tmp_path / "theirs"
    assert run(Experiment.read({**asked, "store": theirs, "launcher": "debug", "device": "cpu"})).ok
    assert call("leaderboard", "--store", theirs, "--what", "accuracy", "--format", "csv")[0] == 0
    holes = read_csv(theirs / "leaderboards" / "accuracy.csv").query("hole != ''")
    assert list(holes["metric"]) == ["corr"]
    report = merge(theirs, ours)
    assert kinds(report, "toy-majority") == kinds(report, "toy-logistic") == ["taken"]
    assert report.ok
    (job,) = [job for job in jobs(without_tables(theirs)) if "logistic" in job.name]
    reencode(job, lambda table: replaced(table, "score", np.full(len(table), 1e308)))
    report = merge(theirs, tmp_path / "other")
    assert kinds(report, "toy-logistic") == ["refused"]
    assert "cannot be scored: 1 of 1 seeds undefined" in reason(report, "refused")


def test_every_row_of_every_table_is_rescored(trained: Path, ours: Path):
    report = merge(trained, ours)
    tables = {file.stem: read_csv(file) for file in (trained / "leaderboards").glob("*.csv")}
    scores = [frame for name, frame in tables.items() if "hole" in frame and name != "cost"]
    stated = sum((frame["hole"] == "").sum() for frame in scores)
    assert kinds(report).count("verified") == stated > 100


def test_rows_of_a_method_s_own_confidence_are_rescored(call: Call, theirs: Path, ours: Path):
    for job in jobs(without_tables(theirs)):
        reencode(job, lambda table: table.append_column("confidence_size", table["logit_0"]))
    assert call("leaderboard", "--store", theirs, "--what", "misd", "--format", "csv")[0] == 0
    stated = read_csv(theirs / "leaderboards" / "misd.csv")
    assert "own:size" in set(stated["condition"])
    report = merge(theirs, ours)
    assert report.ok
    assert kinds(report).count("verified") == (stated["hole"] == "").sum()


def test_a_dry_run_says_the_same_and_writes_nothing(call: Call, theirs: Path, ours: Path):
    planned = call("merge", theirs, "--store", ours, "--dry-run")
    assert not ours.exists()
    assert call("merge", theirs, "--store", ours) == planned


def test_only_what_is_lacking_is_taken(theirs: Path, ours: Path):
    without_tables(theirs)
    hidden = [shutil.move(file, theirs.parent) for file in jobs(theirs)[0].glob("evaluations/drift.*")]
    assert merge(theirs, ours).ok
    for file in hidden:
        shutil.move(file, jobs(theirs)[0] / "evaluations")
    report = merge(theirs, ours)
    assert [why for _, _, why in report.lines] == ["drift", ""]
    assert content(ours / "jobs").keys() == content(theirs / "jobs").keys()


def test_job_folders_beside_a_csv_are_found(theirs: Path, ours: Path, tmp_path: Path):
    published = tmp_path / "published"
    shutil.copytree(theirs / "jobs", published)
    shutil.copy(theirs / "leaderboards" / "accuracy.csv", published)
    report = merge(published, ours)
    assert report.ok
    assert kinds(report).count("taken") == 2
    assert "unverified" not in kinds(report)


def test_other_predictions_of_the_same_job_are_a_conflict_and_ours_stay(call: Call, theirs: Path, ours: Path):
    assert merge(without_tables(theirs), ours).ok
    before = content(ours)
    reencode(jobs(theirs)[0], swapped)
    code, said = call("merge", theirs, "--store", ours)
    assert code == 1
    assert "1 already there, 1 conflict" in said
    assert hashlib.sha256((jobs(theirs)[0] / "predictions.parquet").read_bytes()).hexdigest()[:12] in said
    assert content(ours) == before


def test_other_outputs_of_an_evaluation_are_a_conflict(theirs: Path, ours: Path):
    assert merge(without_tables(theirs), ours).ok
    before = content(ours)
    reencode(jobs(theirs)[0], swapped, "evaluations/drift")
    assert sorted(kinds(merge(theirs, ours))) == ["already there", "already there", "conflict"]
    assert content(ours) == before


def test_what_is_not_of_a_job_is_said_and_left(theirs: Path, ours: Path):
    job = jobs(without_tables(theirs))[0]
    (job / "notes.txt").write_text("mine")
    (job / "evaluations" / "odd.bin").write_text("mine")
    (job / "more").symlink_to("/etc")
    (theirs / "jobs" / "README").write_text("mine")
    report = merge(theirs, ours)
    assert report.ok
    assert sorted(kinds(report)) == ["ignored"] * 3 + ["taken"] * 2
    assert not {"notes.txt", "odd.bin", "more"} & {file.name for file in ours.rglob("*")}


def test_an_unfinished_job_is_said_and_not_taken(theirs: Path, ours: Path):
    first, second = jobs(without_tables(theirs))
    (first / "done.json").unlink()
    (second / "done.json").unlink()
    (second / "failed.json").write_text('{"reason": "out of memory"}')
    report = merge(theirs, ours)
    assert report.ok
    assert [why for _, _, why in report.lines] == ["not finished there", "failed there: out of memory"]
    assert not ours.exists()


@pytest.mark.parametrize("after", range(2, 10))
def test_a_merge_that_breaks_off_leaves_no_job_half_taken(
    theirs: Path, ours: Path, monkeypatch: pytest.MonkeyPatch, after: int
):
    """The disk is full at the nth file; the merge that follows takes all."""
    shutil.rmtree(jobs(without_tables(theirs))[1])
    count = 0
    write = store_module.write_atomic

    def full(file: Path, data: bytes) -> None:
        nonlocal count
        count += file.is_relative_to(ours)  # what is scored before it is taken lies elsewhere
        if count == after:
            raise OSError(28, "No space left on device")
        write(file, data)

    for module in (files_module, store_module):
        monkeypatch.setattr(module, "write_atomic", full)
    with pytest.raises(OSError, match="No space"):
        merge(theirs, ours)
    (name,) = [job.name for job in jobs(ours)]
    store = Store(ours)
    # job.json, four results, environment.json, then the marker
    assert store.job(name).is_done() == (after > 7)
    for evaluation in store.job(name).evaluation_names():
        assert store.job(name).read_evaluation(evaluation)
    monkeypatch.undo()
    assert merge(theirs, ours).ok
    assert content(ours / "jobs").keys() == content(theirs / "jobs").keys()
