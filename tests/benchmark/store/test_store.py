from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmbench.benchmark.core.atomic_files import write_atomic, write_json
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.core.job import Data, Job
from mmbench.benchmark.store.job_folder import Submission
from mmbench.benchmark.store.names import StoreError
from mmbench.benchmark.store.store import Store

FILES = {"predictions.parquet": b"some rows", "fit.json": b"{}"}


@pytest.fixture
def job() -> Job:
    return Job(
        "toy", "erm", {}, "1", ("text",), (Data("toy", "ab" * 32, "open", False),), {"name": "fair"}, 0
    )


@pytest.fixture
def store(tmp_path: Path, job: Job) -> Store:
    made = Store(tmp_path / "runs")
    made.add([job])
    return made


def test_states(store: Store, job: Job):
    assert [record.state for record in store] == ["planned"]
    with store.job(job.id).hold():
        assert store.record(job).state == "running"
        write_json(store.job(job.id).path / "progress.json", {"epoch": 3})
        assert store.record(job).progress == {"epoch": 3}
    assert store.record(job).state == "interrupted"
    assert store.record(job).reason == "ended without a result; the next run goes on with it"
    store.job(job.id).fail("the loss is not finite")
    assert (store.record(job).state, store.record(job).reason) == ("failed", "the loss is not finite")
    store.job(job.id).finish(FILES, {})
    assert store.record(job).state == "done"
    assert store.record(job).reason == ""


def test_what_is_queued_again_still_counts_as_failed_until_that_is_written_down(store: Store, job: Job):
    for cancelled, state in ((False, "failed"), (True, "cancelled")):
        store.job(job.id).fail("out of memory", cancelled=cancelled)
        store.job(job.id).set_aside_failure()  # and its launcher may be killed now
        assert (store.record(job).state, store.record(job).reason) == (state, "out of memory")
        assert not store.job(job.id).failure()  # what begins now is not kept from it
        assert not store.job(job.id).submission()
        store.submit({job.id: Submission("slurm", "12_0")})
        assert (store.record(job).state, store.record(job).reason) == ("queued", "slurm 12_0")
        store.job(job.id).set_aside_failure()
        assert store.record(job).state == "queued"


def test_how_a_job_ended_stays_when_it_is_written_down_where_it_was_queued(store: Store, job: Job):
    store.job(job.id).set_aside_failure()
    store.job(job.id).fail("the loss is not finite")
    store.submit({job.id: Submission("slurm", "12_0")})
    assert (store.record(job).state, store.record(job).reason) == ("failed", "the loss is not finite")
    store.job(job.id).finish(FILES, {})
    store.submit({job.id: Submission("slurm", "12_1")})
    assert store.record(job).state == "done"


def test_a_note_of_an_earlier_version_or_of_nobody_is_no_submission(store: Store, job: Job):
    folder = store.job(job.id).path
    write_json(folder / "slurm.json", {"id": "12_0"})
    for note in ({"id": "12_0"}, {"launcher": "slurm"}, {"launcher": "", "id": ""}, ["slurm"], 7):
        write_json(folder / "submitted.json", note)
        assert store.job(job.id).submission() is None
        assert store.record(job).state in ("planned", "failed")
    write_json(folder / "submitted.json", {"launcher": "slurm", "id": "12_0", "more": 1})
    assert store.job(job.id).submission() == Submission("slurm", "12_0")


def test_a_job_without_its_marker_is_not_done(store: Store, job: Job):
    store.job(job.id).finish(FILES, {})
    (store.job(job.id).path / "done.json").unlink()
    assert not store.job(job.id).is_done()


@pytest.mark.parametrize("damage", ["truncate", "remove", "marker"])
def test_a_damaged_result_is_not_done(store: Store, job: Job, damage: str):
    store.job(job.id).finish(FILES, {})
    file = store.job(job.id).path / "predictions.parquet"
    if damage == "truncate":
        file.write_bytes(b"some")
    elif damage == "remove":
        file.unlink()
    else:
        (store.job(job.id).path / "done.json").write_text("{")
    assert not store.job(job.id).is_done()


def test_a_flipped_bit_is_found_when_read(store: Store, job: Job):
    store.job(job.id).finish(FILES, {})
    (store.job(job.id).path / "predictions.parquet").write_bytes(b"some rowt")
    with pytest.raises(
        StoreError, match=r"predictions\.parquet: its content or job.json has changed.*run again"
    ):
        store.job(job.id).read("predictions.parquet")


def test_an_edited_label_is_found_when_read(store: Store, job: Job):
    store.job(job.id).finish(FILES, {})
    file = store.job(job.id).path / "job.json"
    file.write_text(file.read_text().replace('"label": ""', '"label": "better"'))
    with pytest.raises(StoreError, match=r"job\.json has changed"):
        store.job(job.id).read("predictions.parquet")


def test_an_edited_job_is_refused(store: Store, job: Job):
    file = store.job(job.id).path / "job.json"
    file.write_text(file.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(StoreError, match="describes job"):
        list(store)


def test_adding_again_leaves_results(store: Store, job: Job):
    store.job(job.id).finish(FILES, {})
    store.add([job])
    assert store.job(job.id).read("predictions.parquet") == b"some rows"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "a.json"
    write_atomic(file, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(file, b"new")
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_store_that_cannot_be_written_is_one_line(tmp_path: Path, job: Job):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(UsageError, match="cannot be written"):
        Store(tmp_path / "runs").add([job])


HOLD_AND_DIE = """
import os, sys
from pathlib import Path
from mmbench.benchmark.store.store import Store

with Store(Path(sys.argv[1])).job(sys.argv[2]).hold():
    print("held", flush=True)
    os.kill(os.getpid(), 9)
"""


def test_the_hold_goes_with_the_process(store: Store, job: Job):
    command = [sys.executable, "-c", HOLD_AND_DIE, str(store.path), job.id]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (-9, "held\n")
    assert not store.job(job.id).is_held()
    with store.job(job.id).hold():
        assert store.job(job.id).is_held()
