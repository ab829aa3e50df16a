"""``mmbench merge``: neither names nor links lead out of a store."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.exchange.merge import merge
from mmbench.benchmark.store.names import StoreError
from mmbench.benchmark.store.store import Store

from .colleague import content, jobs, kinds, reason, without_tables


def test_links_are_refused(theirs: Path, ours: Path, tmp_path: Path):
    without_tables(theirs)
    first, second = jobs(theirs)
    secret = tmp_path / "secret"
    shutil.move(first / "predictions.parquet", secret)
    (first / "predictions.parquet").symlink_to(secret)
    shutil.move(second, tmp_path / "elsewhere")
    second.symlink_to(tmp_path / "elsewhere")
    (theirs / "accuracy.csv").symlink_to(secret)
    os.mkfifo(theirs / "pipe.csv")
    report = merge(theirs, ours)
    assert kinds(report) == ["refused"] * 4
    assert "is a link" in " ".join(why for _, _, why in report.lines)
    assert not ours.exists()


def test_a_linked_folder_of_jobs_is_refused(theirs: Path, ours: Path, tmp_path: Path):
    shutil.move(theirs / "jobs", tmp_path / "jobs")
    (theirs / "jobs").symlink_to(tmp_path / "jobs")
    assert "is a link" in reason(merge(without_tables(theirs), ours), "refused")


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/escaped", "..", "evaluations/../../x"])
def test_names_that_climb_are_refused(theirs: Path, ours: Path, tmp_path: Path, name: str):
    job = jobs(without_tables(theirs))[0]
    values = json.loads((job / "done.json").read_text())
    values["files"][name] = values["files"]["fit.json"]
    (job / "done.json").write_text(json.dumps(values))
    before = content(tmp_path)
    report = merge(theirs, ours)
    assert sorted(kinds(report)) == ["refused", "taken"]
    assert {name for name in content(tmp_path) if not name.startswith("ours/")} == set(before)
    store = Store(ours)
    for use in (store.job, lambda text: store.job("a").read_evaluation(text)):
        with pytest.raises(StoreError, match="no name"):
            use(name)
    with pytest.raises(UsageError, match="cannot name"):
        merge(theirs, ours, name=name)


def test_nothing_is_written_through_a_link_in_the_store(theirs: Path, ours: Path, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (ours / "jobs").mkdir(parents=True)
    for job in jobs(without_tables(theirs)):
        (ours / "jobs" / job.name).symlink_to(outside)
    assert kinds(merge(theirs, ours)) == ["refused"] * 2
    assert not list(outside.iterdir())
