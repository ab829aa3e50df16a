"""What a folder says of the queue that a job was in is nobody else's business."""

from __future__ import annotations

import json
from pathlib import Path

from mmbench.benchmark.exchange.merge import merge
from mmbench.benchmark.store.store import Store

from .colleague import jobs, kinds, without_tables


def test_where_a_job_was_queued_is_left_behind(theirs: Path, ours: Path):
    without_tables(theirs)
    new, old = jobs(theirs)
    (new / "submitted.json").write_text(json.dumps({"launcher": "slurm", "id": "12_0"}))
    (old / "slurm.json").write_text(json.dumps({"id": "11_0"}))  # as an earlier version wrote it
    report = merge(theirs, ours)
    assert report.ok
    assert kinds(report).count("taken") == 2
    assert not [name for _, name, _ in report.lines if "submitted" in name]
    assert not list(ours.rglob("submitted.json")) + list(ours.rglob("slurm.json"))
    assert [record.state for record in Store(theirs)] == ["done", "done"]
    (old / "done.json").unlink()
    assert Store(theirs).job(old.name).submission() is None
