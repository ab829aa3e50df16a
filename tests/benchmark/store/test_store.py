from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.core.job import Data, Job
from mmbench.benchmark.store.store import Store, StoreError, write_atomic, write_json

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
    with store.hold(job.id):
        assert store.record(job).state == "running"
        write_json(store.folder(job.id) / "progress.json", {"epoch": 3})
        assert store.record(job).progress == {"epoch": 3}
    assert store.record(job).state == "dead"
    store.fail(job.id, "the loss is not finite")
    assert (store.record(job).state, store.record(job).reason) == ("failed", "the loss is not finite")
    store.finish(job.id, FILES, {})
    assert store.record(job).state == "done"
    assert store.record(job).reason == ""


def test_what_is_queued_again_still_counts_as_failed_until_that_is_written_down(store: Store, job: Job):
    for cancelled, state in ((False, "failed"), (True, "cancelled")):
        store.fail(job.id, "out of memory", cancelled=cancelled)
        store.set_aside([job.id])  # and its launcher may be killed now
        assert (store.record(job).state, store.record(job).reason) == (state, "out of memory")
        assert not store.failure(job.id)  # what begins now is not kept from it
        assert not store.submission(job.id)
        store.submit({job.id: {"id": "12_0"}})
        assert (store.record(job).state, store.record(job).reason) == ("queued", "SLURM 12_0")
        store.set_aside([job.id])
        assert store.record(job).state == "queued"


def test_how_a_job_ended_stays_when_it_is_written_down_where_it_was_queued(store: Store, job: Job):
    store.set_aside([job.id])
    store.fail(job.id, "the loss is not finite")
    store.submit({job.id: {"id": "12_0"}})
    assert (store.record(job).state, store.record(job).reason) == ("failed", "the loss is not finite")
    store.finish(job.id, FILES, {})
    store.submit({job.id: {"id": "12_1"}})
    assert store.record(job).state == "done"


def test_a_job_without_its_marker_is_not_done(store: Store, job: Job):
    store.finish(job.id, FILES, {})
    (store.folder(job.id) / "done.json").unlink()
    assert not store.is_done(job.id)


@pytest.mark.parametrize("damage", ["truncate", "remove", "marker"])
def test_a_damaged_result_is_not_done(store: Store, job: Job, damage: str):
    store.finish(job.id, FILES, {})
    file = store.folder(job.id) / "predictions.parquet"
    if damage == "truncate":
        file.write_bytes(b"some")
    elif damage == "remove":
        file.unlink()
    else:
        (store.folder(job.id) / "done.json").write_text("{")
    assert not store.is_done(job.id)


def test_a_flipped_bit_is_found_when_read(store: Store, job: Job):
    store.finish(job.id, FILES, {})
    (store.folder(job.id) / "predictions.parquet").write_bytes(b"some rowt")
    with pytest.raises(
        StoreError, match=r"predictions\.parquet: its content or job.json has changed.*run again"
    ):
        store.read(job.id, "predictions.parquet")


def test_an_edited_label_is_found_when_read(store: Store, job: Job):
    store.finish(job.id, FILES, {})
    file = store.folder(job.id) / "job.json"
    file.write_text(file.read_text().replace('"label": ""', '"label": "better"'))
    with pytest.raises(StoreError, match=r"job\.json has changed"):
        store.read(job.id, "predictions.parquet")


def test_an_edited_job_is_refused(store: Store, job: Job):
    file = store.folder(job.id) / "job.json"
    file.write_text(file.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(StoreError, match="describes job"):
        list(store)


def test_adding_again_leaves_results(store: Store, job: Job):
    store.finish(job.id, FILES, {})
    store.add([job])
    assert store.read(job.id, "predictions.parquet") == b"some rows"


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

with Store(Path(sys.argv[1])).hold(sys.argv[2]):
    print("held", flush=True)
    os.kill(os.getpid(), 9)
"""


def test_the_hold_goes_with_the_process(store: Store, job: Job):
    command = [sys.executable, "-c", HOLD_AND_DIE, str(store.path), job.id]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (-9, "held\n")
    assert not store.is_held(job.id)
    with store.hold(job.id):
        assert store.is_held(job.id)
